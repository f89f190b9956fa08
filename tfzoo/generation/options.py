"""The options of `generate`, and their checks.

Shapes: B prompts.
"""

import dataclasses
import numbers

import numpy as np

from tfzoo.errors import is_whole, require_flags, shown

DEFAULT_NEW_TOKENS = 64
# name: neutral value
SAMPLING = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1}
BEAMS = {"length_penalty": 1, "early_stopping": False}
PENALTIES = {"repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}
# Outside this range, float32 overflows between logits and probabilities.
SMALLEST, LARGEST = 1e-30, 1e30
MOST_TOKENS = 2**31  # beyond any context; larger numbers are clipped to it

# name: (whether an integer, lowest, highest, whether the lowest itself is allowed)
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
    """Options for continuing prompts. None means not set.

    An option at its neutral value, such as `top_p=1`, counts as not set.

    Args:
        max_new_tokens: Maximum number of tokens after the prompt. If neither this nor
            `max_length` is set, 64 or what fits the context.
        max_length: Maximum number of tokens including the prompt; instead of
            `max_new_tokens`.
        min_new_tokens: Minimum number of tokens before an end token.
        min_length: The same, including the prompt.
        eos_token_id: Id or ids that end a text; an empty list for none.
        num_return_sequences: Number of texts per prompt.
        do_sample: Whether to sample tokens or take the most likely. None samples if
            `temperature` is set, or one of the next four to a value with an effect.
        temperature: Divisor of the logits; 0 takes the most likely token.
        top_k: Sample only from the k most likely tokens; 0 for all.
        top_p: Sample only from the most likely tokens whose probabilities add up to
            this.
        min_p: Sample only from tokens with at least this fraction of the highest
            probability.
        typical_p: Sample only from the tokens closest to the expected information
            content, up to this probability mass.
        seed: Integer, or one per prompt. The samples depend on the seed, the prompt and
            the index of the text among those of its prompt, not on other prompts of the
            call; so equal prompts give equal texts. None differs from call to call.
        repetition_penalty: A value above 1 makes tokens that have occurred less likely.
        presence_penalty: Subtracted from the logits of tokens that have occurred after
            the prompt.
        frequency_penalty: The same, subtracted for each occurrence.
        no_repeat_ngram_size: No n-gram of this size occurs twice; 0 for no limit.
        bad_words_ids: Lists of ids that must not be generated.
        num_beams: Number of beams; 1 for no beam search.
        length_penalty: Beam scores are divided by their length raised to this power;
            default 1.
        early_stopping: False, True or `"never"`; see `BeamSearch`.
        penalty_alpha: Use contrastive search with this degeneration penalty, 0 to 1,
            among `top_k` (default 4) candidates.
        num_assistant_tokens: Number of tokens that a draft model proposes at a time;
            default 4.

    Raises:
        ValueError: a value is out of range, or options contradict each other.
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
        if self.do_sample is not None:
            require_flags(do_sample=self.do_sample)
        early = self.early_stopping
        if not isinstance(early, bool | np.bool_ | None) and early != "never":
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
            good = is_whole(seed) and -(2**63) <= seed < 2**63
            if not good and self.seed is not None:
                raise ValueError(
                    "seed must be a signed 64-bit integer, or a list of them. "
                    f"Received: {shown(self.seed)}"
                )

    def _check_sampling(self):
        asked = self.asked(SAMPLING)
        if self.penalty_alpha is not None:
            asked.pop("top_k", None)  # its candidates
            if self.num_beams > 1 or self.do_sample or asked:
                raise ValueError(
                    "penalty_alpha (contrastive search) can be combined with top_k, "
                    "but not with beams or sampling. Received: "
                    f"num_beams={self.num_beams}, do_sample={self.do_sample}, "
                    f"{asked or 'no others'}"
                )
        elif self.do_sample is False and asked and asked != {"temperature": 0}:
            raise ValueError(
                "do_sample must not be False with sampling options. "
                f"Received: do_sample=False, {asked}"
            )
        elif self.draws and self.num_beams > 1:
            raise ValueError(
                "num_beams must be 1 with sampling: beam search does not sample. "
                f"Received: num_beams={self.num_beams}, {asked}"
            )

    def _check_beams(self):
        if self.num_beams == 1 and (asked := self.asked(BEAMS)):
            raise ValueError(
                "num_beams must be above 1 with options of beam search. "
                f"Received: num_beams=1, {asked}"
            )
        if not self.draws and self.num_return_sequences > self.num_beams:
            raise ValueError(
                "Without sampling, num_return_sequences must be at most num_beams. "
                "Received: num_return_sequences="
                f"{self.num_return_sequences}, num_beams={self.num_beams}"
            )

    def asked(self, neutral):
        """The options in the dict `neutral` that are set to a non-neutral value."""
        values = {name: getattr(self, name) for name in neutral}
        return {
            name: value
            for name, value in values.items()
            if value is not None and value != neutral[name]
        }

    @property
    def draws(self):
        """Whether tokens are sampled."""
        if self.temperature == 0 or self.penalty_alpha is not None:
            return False
        if self.do_sample is not None:
            return self.do_sample
        given = self.temperature is not None and self.num_beams == 1
        return given or bool(self.asked(SAMPLING))

    @property
    def rows_per_prompt(self):
        """Number of sequences in progress per prompt."""
        return self.num_beams if self.num_beams > 1 else self.num_return_sequences

    def limits(self, lengths, context):
        """Maximum number of new tokens for each prompt, int (B,).

        Args:
            lengths: (B,) lengths of the prompts in tokens.
            context: Maximum number of tokens of prompt and text together.

        Raises:
            ValueError: a prompt and its new tokens do not fit the context, or
                `max_length` leaves no new tokens.
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
                "A prompt and its new tokens must fit the context of "
                f"{context} tokens. Received: a prompt of {lengths[row]} tokens, "
                f"{self.max_new_tokens or limits[row]} new tokens"
            )
        self._check_minimum(limits, self.minimum(lengths))
        return limits

    def _check_minimum(self, limits, minimum):
        if minimum is not None and (minimum > limits).any():
            row = int((minimum - limits).argmax())
            raise ValueError(
                "min_new_tokens and min_length must not exceed the maximum length. "
                f"Received: at least {minimum[row]}, at most {limits[row]} new tokens"
            )

    def minimum(self, lengths):
        """Minimum number of new tokens for each prompt, int (B,), or None."""
        if self.min_new_tokens is None and self.min_length is None:
            return None
        with_prompt = min(self.min_length or 0, MOST_TOKENS) - np.asarray(lengths)
        return np.maximum(with_prompt, min(self.min_new_tokens or 0, MOST_TOKENS))


def _check_range(name, value, whole, lowest, highest, lowest_allowed):
    good = is_whole(value) if whole else isinstance(value, numbers.Real)
    good = good and not isinstance(value, bool) and value == value
    if good and lowest is not None:
        good = value >= lowest if lowest_allowed else value > lowest
    if good and highest is not None:
        good = value <= highest
    if good and not whole and value:
        good = SMALLEST <= abs(value) <= LARGEST
    if good:
        return
    what = "an integer" if whole else "a number"
    if lowest is not None:
        what += f" {'of at least' if lowest_allowed else 'above'} {lowest}"
    if highest is not None:
        what += f" and at most {highest}"
    elif not whole:
        zero = "0 or " if lowest is None or lowest_allowed else ""
        what += f", of magnitude {zero}{SMALLEST} to {LARGEST}"
    raise ValueError(f"{name} must be {what}. Received: {shown(value)}")
