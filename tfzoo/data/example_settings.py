"""The options of pretraining examples."""

import dataclasses

from tfzoo.data.masking import WordMasking
from tfzoo.errors import refuse_unknown


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options that, with the corpus and the tokenizer, determine the examples.

    Args:
        max_sequence_length: Tokens S of an example.
        max_predictions: Masked words M of an example.
        masked_fraction: As in `WordMasking`.
        short_sequence_fraction: As in `sentence_pairs`.
        whole_word: As in `WordMasking`.
        seed: Seed of all random choices, an integer >= 0.
    """

    max_sequence_length: int = 128
    max_predictions: int = 20
    masked_fraction: float = 0.15
    short_sequence_fraction: float = 0.1
    whole_word: bool = False
    seed: int = 0

    @classmethod
    def of(cls, function, named):
        """The settings among a function's arguments; refuses names that are not one."""
        refuse_unknown(function, named, [f.name for f in dataclasses.fields(cls)])
        return cls(**named)

    def masking(self, tokenizer):
        """The `WordMasking` of these options."""
        return WordMasking(
            tokenizer,
            max_sequence_length=self.max_sequence_length,
            max_predictions=self.max_predictions,
            masked_fraction=self.masked_fraction,
            whole_word=self.whole_word,
        )

    @property
    def of_pairs(self):
        """Dict of the options of `sentence_pairs`."""
        names = ("max_sequence_length", "short_sequence_fraction", "seed")
        return {name: getattr(self, name) for name in names}
