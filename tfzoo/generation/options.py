"""What a caller of `generate` may ask for, checked.

Shapes: B prompts.
"""

import dataclasses
import numbers

import numpy as np

from tfzoo.errors import shown

DEFAULT_NEW_TOKENS = 64
# name: the value that changes nothing
SAMPLING = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1}
BEAMS = {"length_penalty": 1, "early_stopping": False}
PENALTIES = {"repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}
# Beyond them, either way, float32 overflows on the way from logits to probabilities.
SMALLEST, LARGEST = 1e-30, 1e30
MOST_TOKENS = 2**31  # beyond any context; larger numbers count as it

# name: (whole number, lowest, highest, whether the lowest itself is allowed)
RANGES = {
    "max_new_tokens": (True, 1, None, True),
    "max_length": (True, 1, None, True),
    "min_new_tokens": (True, 0, None, True),
    "min_length": (True, 0, None, True),
    "num_return_sequences": (True, 1, None, True),
    "num_beams": (True, 1, None, True),
    "num_assistant_tokens": (True, 1, None, True),
    "no_repeat_ngram_size": (True, 0, None, True),
    "top_k": (True, 0, None, True),
    "temperature": (False, 0, None, True),
    "top_p": (False, 0, 1, False),
    "min_p": (False, 0, 1, True),
    "typical_p": (False, 0, 1, False),
    "penalty_alpha": (False, 0, 1, True),
    "repetition_penalty": (False, 0, None, False),
    "presence_penalty": (False, None, None, True),
    "frequency_penalty": (False, None, None, True),
    "length_penalty": (False, -10, 10, True),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How to continue prompts. None is "not asked for".

    So is the value of an option that changes nothing, such as `top_p=1`.

    Args:
        max_new_tokens: Most tokens after the prompt; without it and `max_length`, 64 or
            what the context leaves.
        max_length: Most tokens with the prompt, in its place.
        min_new_tokens: No end token before that many.
        min_length: The same, with the prompt.
        eos_token_id: Id or ids that end a text; an empty list for none.
        num_return_sequences: Texts for each prompt.
        do_sample: Whether tokens are drawn or the best is taken. None draws if the
            temperature is given, or any of the next four at a value with an effect.
        temperature: Logits are divided by it; 0 takes the best token.
        top_k: Draws from the k likeliest tokens only; 0 from all.
        top_p: Draws from the likeliest tokens only that reach this probability.
        min_p: Draws from tokens at least so many times as likely as the likeliest.
        typical_p: Draws from those closest to the expected surprise, to this mass.
        seed: A whole number, or one for each prompt. What is drawn depends on it, the
            prompt and the number of the text among those of its prompt, not on the
            other prompts of the call; so like prompts draw like texts. None differs
            from call to call.
        repetition_penalty: Above 1 makes tokens rarer that occurred.
        presence_penalty: Subtracted from tokens that occurred after the prompt.
        frequency_penalty: Subtracted for each time that they did.
        no_repeat_ngram_size: No sequence of so many tokens comes twice; 0: any may.
        bad_words_ids: Lists of ids that must not come.
        num_beams: Beams of a beam search; 1 is none.
        length_penalty: Scores of beams are divided by their length raised to it; 1.
        early_stopping: False, True or `"never"`, see `beam_search.begin`.
        penalty_alpha: Contrastive search with this degeneration penalty, 0 to 1, among
            `top_k` (4) candidates.
        num_assistant_tokens: Tokens that a draft model proposes at a time; 4.

    Raises:
        ValueError: a value is outside its range, or two contradict one another.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int | None = None
    eos_token_id: int | list | None = None
    num_return_sequences: int = 1
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: int | list | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    bad_words_ids: list | None = None
    num_beams: int = 1
    length_penalty: float | None = None
    early_stopping: bool | str | None = None
    penalty_alpha: float | None = None
    num_assistant_tokens: int | None = None

    def __post_init__(self):
        for name, limits in RANGES.items():
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name), *limits)
        if self.do_sample not in (None, True, False):
            raise ValueError(
                f"do_sample must be True or False. Received: {self.do_sample!r}"
            )
        if self.early_stopping not in (None, True, False, "never"):
            raise ValueError(
                "early_stopping must be True, False or 'never'. "
                f"Received: {self.early_stopping!r}"
            )
        if self.max_new_tokens is not None and self.max_length is not None:
            raise ValueError(
                "Only one of max_new_tokens and max_length may be given. Received: "
                f"max_new_tokens={self.max_new_tokens}, max_length={self.max_length}"
            )
        self._check_seed()
        self._check_sampling()
        self._check_beams()

    def _check_seed(self):
        seeds = self.seed if isinstance(self.seed, list | tuple) else [self.seed]
        for seed in seeds:
            good = isinstance(seed, numbers.Integral) and -(2**63) <= seed < 2**63
            if not good and self.seed is not None:
                raise ValueError(
                    "seed must be a whole number of 64 bits with sign, or a list of "
                    f"them. Received: {shown(self.seed)}"
                )

    def _check_sampling(self):
        asked = self.asked(SAMPLING)
        if self.penalty_alpha is not None:
            asked.pop("top_k", None)  # its candidates
            if self.num_beams > 1 or self.do_sample or asked:
                raise ValueError(
                    "Contrastive search, penalty_alpha, goes with top_k, but neither "
                    "with beams nor with sampling. Received: "
                    f"num_beams={self.num_beams}, do_sample={self.do_sample}, "
                    f"{asked or 'no others'}"
                )
        elif self.do_sample is False and asked and asked != {"temperature": 0}:
            raise ValueError(
                "do_sample must not be False where sampling is asked for. "
                f"Received: do_sample=False, {asked}"
            )
        elif self.draws and self.num_beams > 1:
            raise ValueError(
                "A beam search draws nothing: num_beams must be 1 with sampling. "
                f"Received: num_beams={self.num_beams}, {asked}"
            )

    def _check_beams(self):
        if self.num_beams == 1 and (asked := self.asked(BEAMS)):
            raise ValueError(
                "num_beams must be above 1 for options of a beam search. "
                f"Received: num_beams=1, {asked}"
            )
        if not self.draws and self.num_return_sequences > self.num_beams:
            raise ValueError(
                "Unless tokens are drawn, num_return_sequences must be at most "
                "num_beams. Received: num_return_sequences="
                f"{self.num_return_sequences}, num_beams={self.num_beams}"
            )

    def asked(self, neutral):
        """Those of the options in the dict `neutral` that have another value there."""
        values = {name: getattr(self, name) for name in neutral}
        return {
            name: value
            for name, value in values.items()
            if value is not None and value != neutral[name]
        }

    @property
    def draws(self):
        """Whether tokens are drawn."""
        if self.temperature == 0 or self.penalty_alpha is not None:
            return False
        if self.do_sample is not None:
            return self.do_sample
        given = self.temperature is not None and self.num_beams == 1
        return given or bool(self.asked(SAMPLING))

    @property
    def rows_per_prompt(self):
        """Sequences that are on their way at once, for each prompt."""
        return self.num_beams if self.num_beams > 1 else self.num_return_sequences

    def limits(self, lengths, context):
        """New tokens of each prompt, int (B,).

        Args:
            lengths: (B,) tokens of the prompts.
            context: Most tokens of prompt and text together.

        Raises:
            ValueError: a prompt and what is to come do not fit, or nothing may come.
        """
        lengths = np.asarray(lengths, np.int64)
        if self.max_length is not None:
            limits = min(self.max_length, MOST_TOKENS) - lengths
            if limits.min() < 1:
                raise ValueError(
                    "max_length must be above the length of every prompt. Received: "
                    f"max_length={self.max_length}, a prompt of {lengths.max()} tokens"
                )
        elif self.max_new_tokens is not None:
            limits = np.full_like(lengths, min(self.max_new_tokens, MOST_TOKENS))
        else:
            limits = np.clip(context - lengths, 1, DEFAULT_NEW_TOKENS)
        if (lengths + limits).max() > context:
            row = (lengths + limits).argmax()
            raise ValueError(
                f"A prompt and what comes after it must fit into {context} tokens, the "
                f"context. Received: a prompt of {lengths[row]} tokens, "
                f"{self.max_new_tokens or limits[row]} new ones"
            )
        self._check_minimum(limits, self.minimum(lengths))
        return limits

    def _check_minimum(self, limits, minimum):
        if minimum is not None and (minimum > limits).any():
            row = int((minimum - limits).argmax())
            raise ValueError(
                "min_new_tokens and min_length must not be above what may come. "
                f"Received: at least {minimum[row]}, at most {limits[row]} new tokens"
            )

    def minimum(self, lengths):
        """Fewest new tokens of each prompt, int (B,), or None."""
        if self.min_new_tokens is None and self.min_length is None:
            return None
        with_prompt = min(self.min_length or 0, MOST_TOKENS) - np.asarray(lengths)
        return np.maximum(with_prompt, min(self.min_new_tokens or 0, MOST_TOKENS))


def _check_range(name, value, whole, lowest, highest, lowest_allowed):
    kind = numbers.Integral if whole else numbers.Real
    good = isinstance(value, kind) and not isinstance(value, bool) and value == value
    if good and lowest is not None:
        good = value >= lowest if lowest_allowed else value > lowest
    if good and highest is not None:
        good = value <= highest
    if good and not whole and value:
        good = SMALLEST <= abs(value) <= LARGEST
    if good:
        return
    what = "a whole number" if whole else "a number"
    if lowest is not None:
        what += f" {'of at least' if lowest_allowed else 'above'} {lowest}"
    if highest is not None:
        what += f" and at most {highest}"
    elif not whole:
        zero = "0 or " if lowest is None or lowest_allowed else ""
        what += f", in size {zero}{SMALLEST} to {LARGEST}"
    raise ValueError(f"{name} must be {what}. Received: {shown(value)}")
