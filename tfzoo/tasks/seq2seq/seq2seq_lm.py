"""Sequence-to-sequence learning: from a source text to a target text.

Shapes: N pairs, B batch, S source sequence, T target sequence, V vocabulary_size.
"""

import logging

import keras
import numpy as np

from tfzoo.generation.rules import check_ids
from tfzoo.layers.keywords import named_parameters
from tfzoo.tasks.causal_lm.generation_config import as_field, write_end_ids
from tfzoo.tasks.learned_tokens import LearnsTokens
from tfzoo.tasks.seq2seq.decoder_tokens import fields_of, stored_tokens
from tfzoo.tasks.seq2seq.pair_feeding import PairFeeding
from tfzoo.tasks.seq2seq.pair_scoring import PairScoring
from tfzoo.tasks.seq2seq.served_pairs import seq2seq_signatures
from tfzoo.tasks.seq2seq.translating import Translating
from tfzoo.text.preset_tokenizer import tokenizer_from_preset
from tfzoo.training.perplexity import NextTokenMetrics

TARGET_TOKENIZER = "target_tokenizer"  # directory of a tokenizer of its own
logger = logging.getLogger("tfzoo")


@keras.saving.register_keras_serializable("tfzoo")
class Seq2SeqLM(Translating, PairScoring, LearnsTokens, PairFeeding):
    """Trains on pairs of a source and a target; translates, summarizes, scores.

    Args:
        backbone: An encoder-decoder: `TransformerEncoderDecoder`, `BartEncoderDecoder`,
            `T5EncoderDecoder` or `MarianEncoderDecoder`.
        tokenizer: The tokenizer of sources, with an end token.
        target_tokenizer: The tokenizer of targets. Defaults to `tokenizer`, or, for
            Marian's, to its `target`.
        max_sequence_length: Maximum number of tokens of either side. Defaults to the
            backbone's.
        start_token_id: The id with which the decoder starts. Defaults to that of the
            backbone's family: the end token for BART, the pad token for T5 and Marian,
            otherwise the start token or, if there is none, the end token.
        end_token_ids: The id, or a list of ids, at which a generated text ends.
            Defaults to the target tokenizer's end token.
        forced_first_id: The id that every generated text begins with, or None.
        forced_last_id: The id that ends a generated text that has no room left, or
            None.
        forbidden_ids: Ids that are never generated.

    In `fit` and `evaluate`, `x` has the sources and `y` the targets, or `x` both: as a
    dict or a table with the columns `source` and `target`, as pairs, or as a dataset of
    these. The loss is the mean over all tokens of the targets, their end tokens
    included, in nats.

    Returns:
        (B, T, V) float32 logits of the next token of the target at each position.

    Source: Sutskever et al. 2014, https://arxiv.org/abs/1409.3215; Vaswani et al. 2017,
    https://arxiv.org/abs/1706.03762
    """

    capability = "Seq2SeqLM"
    peft_task = "SEQ_2_SEQ_LM"
    heads = ()
    learned_at = "decoder_token_ids"
    argument_types = {"max_sequence_length": int}

    def __init__(
        self,
        backbone,
        tokenizer,
        *,
        target_tokenizer=None,
        max_sequence_length=None,
        start_token_id=None,
        end_token_ids=None,
        forced_first_id=None,
        forced_last_id=None,
        forbidden_ids=(),
        **kwargs,
    ):
        if target_tokenizer is None:
            target_tokenizer = getattr(tokenizer, "target", tokenizer)
        limit = backbone.vocabulary_size
        if target_tokenizer.vocabulary_size > limit:
            raise ValueError(
                "Every id of the target tokenizer must be within the decoder's "
                "vocabulary. Received: target_tokenizer.vocabulary_size="
                f"{target_tokenizer.vocabulary_size}, backbone.vocabulary_size={limit}"
            )
        super().__init__(
            backbone,
            tokenizer,
            backbone.output_head(backbone.output["decoder_sequence_output"]),
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        self.target_tokenizer = backbone.family.laid_out(target_tokenizer)
        end_id = self.target_tokenizer.required_id("end")
        if self.target_tokenizer.layout_ids.last != end_id:
            raise ValueError(
                "The layout of targets must end in the end token. Received: the layout "
                f"{self.target_tokenizer.layout}"
            )
        if start_token_id is None:
            start_token_id = self._usual_start()
        ids = end_id if end_token_ids is None else end_token_ids
        self.end_token_ids = np.atleast_1d(ids).tolist()
        self.start_token_id = start_token_id
        self.forced_first_id, self.forced_last_id = forced_first_id, forced_last_id
        self.forbidden_ids = [*forbidden_ids]
        for name in ("start_token_id", "forced_first_id", "forced_last_id"):
            given = getattr(self, name)
            check_ids(name, [] if given is None else [given], limit)
        check_ids("end_token_ids", self.end_token_ids, limit)
        check_ids("forbidden_ids", self.forbidden_ids, limit)

    def _usual_start(self):
        tokenizer, role = self.target_tokenizer, self.backbone.family.decoder_start
        if role == "start" and tokenizer.start_id is None:
            role = "end"
        return tokenizer.required_id(role)

    def task_arguments(self):
        names = ("start_token_id", "forced_first_id", "forced_last_id")
        return {
            **super().task_arguments(),
            **{name: getattr(self, name) for name in names},
            "end_token_ids": [*self.end_token_ids],
            "forbidden_ids": [*self.forbidden_ids],
        }

    @property
    def has_two_tokenizers(self):
        """Whether the target tokenizer is not part of the files of `tokenizer`."""
        usual = getattr(self.tokenizer, "target", self.tokenizer)
        return self.target_tokenizer.get_config() != usual.get_config()

    def get_config(self):
        config = super().get_config()
        if self.has_two_tokenizers:
            target = keras.saving.serialize_keras_object(self.target_tokenizer)
            config["target_tokenizer"] = target
        return config

    @classmethod
    def from_config(cls, config):
        if "target_tokenizer" in config:
            target = keras.saving.deserialize_keras_object(config["target_tokenizer"])
            config = {**config, "target_tokenizer": target}
        return super().from_config(config)

    @classmethod
    def stored_arguments(cls, config, path):
        stored = super().stored_arguments(config, path) | stored_tokens(config, path)
        directory = path.parent / TARGET_TOKENIZER
        if directory.is_dir():
            stored["target_tokenizer"] = tokenizer_from_preset(directory)
        return stored

    @classmethod
    def backbone_of_size(cls, name, tokenizer, *, target_tokenizer=None, **arguments):
        """The backbone of a named size with random weights, for one or two tokenizers.

        Args:
            name: Name of the size.
            tokenizer: As in the constructor.
            target_tokenizer: As in the constructor.
            **arguments: Constructor arguments that override the size's.
        """
        if target_tokenizer is None:
            target_tokenizer = getattr(tokenizer, "target", tokenizer)
        if list(target_tokenizer.vocabulary) == list(tokenizer.vocabulary):
            return super().backbone_of_size(name, tokenizer, **arguments)
        return super().backbone_of_size(
            name,
            target_tokenizer,
            source_vocabulary_size=tokenizer.vocabulary_size,
            **arguments,
        )

    @classmethod
    def _of_size(cls, preset, tokenizer, given, arguments):
        target = arguments.get("target_tokenizer")
        return super()._of_size(
            preset, tokenizer, {**given, "target_tokenizer": target}, arguments
        )

    def token_fields(self):
        return {
            "pad_token_id": self.target_tokenizer.pad_id,
            "eos_token_id": as_field(self.end_token_ids),
            **fields_of(self),
        }

    def save_more(self, directory):
        tokenizer = self.target_tokenizer
        write_end_ids(
            directory,
            self.end_token_ids,
            tokenizer.begin_id,
            pad_token_id=tokenizer.pad_id,
            **fields_of(self),
        )
        if self.has_two_tokenizers:
            (directory / TARGET_TOKENIZER).mkdir()
            tokenizer.save_to_preset(
                directory / TARGET_TOKENIZER,
                max_sequence_length=self.max_sequence_length,
            )

    def _config_fields(self):
        fields = super()._config_fields()
        # The tokens are in the fields of transformers, which users may edit.
        fields["tfzoo"] = {
            name: value
            for name, value in fields["tfzoo"].items()
            if name in ("class_name", "frozen", *self.argument_types)
        }
        return fields

    def default_metrics(self):
        return [NextTokenMetrics(one_pass=self.jit_compiled)]

    def served_options(self):
        return named_parameters(seq2seq_signatures)[1:]

    def served(self, **options):
        """The `ServedModel` of an export, with options of `seq2seq_signatures`."""
        return seq2seq_signatures(self.in_float32(), **options)
