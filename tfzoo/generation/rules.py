"""Converts options to tensors for the search loops.

Shapes: B prompts, R rows (B times rows_per_prompt), V vocabulary_size.
"""

import numpy as np
import tensorflow as tf

from tfzoo.errors import is_whole, shown
from tfzoo.generation.options import PENALTIES


def rules_for(
    options,
    lengths,
    end_ids,
    vocabulary_size,
    num_prompts,
    num_tokens=None,
    forced=None,
    limits=None,
):
    """The rules of `next_ids` for R rows.

    Args:
        options: `GenerationOptions`.
        lengths: (B,) lengths of the prompts in tokens, including padding rows.
        end_ids: Ids that end a text; may be empty.
        vocabulary_size: V; larger ids are rejected.
        num_prompts: Number of real prompts among the B; they come first.
        num_tokens: Only ids below it are chosen, those with a token. Defaults to V.
        forced: The first and the last token of every text, -1 for none, a pair; None
            for neither. See `processors.forced`.
        limits: (B,) maximum numbers of new tokens, for `forced`.
    """
    copies = options.rows_per_prompt
    rows = len(lengths) * copies
    check_ids("eos_token_id", end_ids, vocabulary_size)
    if options.top_k is not None and options.top_k > vocabulary_size:
        raise ValueError(
            f"top_k must be at most the vocabulary size, {vocabulary_size}. "
            f"Received: top_k={options.top_k}"
        )
    rules = {"end_ids": tf.constant(end_ids or [-1], tf.int32)}
    for name, value in options.asked(PENALTIES).items():
        rules[name] = tf.fill([rows], float(value))
    if options.no_repeat_ngram_size:
        rules["no_repeat_ngram"] = tf.range(options.no_repeat_ngram_size)
    minimum = options.minimum(lengths)
    if minimum is not None and end_ids:
        minimum = tf.constant(np.repeat(minimum, copies), tf.int32)
        rules["min_new_tokens"] = (minimum, rules["end_ids"])
    if forced is not None:
        first, last = (tf.constant(index, tf.int32) for index in forced)
        most = tf.constant(np.repeat(limits, copies), tf.int32)
        rules["forced"] = (first, last, most)
    rules |= _bad_words(options.bad_words_ids or [], vocabulary_size, num_tokens)
    if options.draws:
        rules |= _sampling(options, len(lengths), vocabulary_size, num_prompts)
    if options.num_beams > 1:
        penalty = 1.0 if options.length_penalty is None else options.length_penalty
        rules["length_penalty"] = tf.constant(penalty, tf.float32)
    if options.penalty_alpha is not None:
        rules["penalty_alpha"] = tf.constant(options.penalty_alpha, tf.float32)
    return rules


def _bad_words(words, vocabulary_size, num_tokens):
    """Rules for bad words: a mask for single tokens, padded ids for longer words."""
    for word in words:
        if not isinstance(word, list | tuple | np.ndarray) or not len(word):
            raise ValueError(
                "bad_words_ids must be a list of non-empty lists of ids, one per word. "
                f"Received: a list with {shown(word)}"
            )
        check_ids("bad_words_ids", word, vocabulary_size)
    rules = {}
    singles = [word[0] for word in words if len(word) == 1]
    unused = range(vocabulary_size)[num_tokens:] if num_tokens is not None else ()
    if singles or unused:
        bad = np.zeros(vocabulary_size, bool)
        bad[[*singles, *unused]] = True
        rules["bad_ids"] = tf.constant(bad)
    longer = [list(word) for word in words if len(word) > 1]
    if longer:
        width = max(map(len, longer))
        rules["bad_words"] = tf.constant(
            [[-1] * (width - len(word)) + word for word in longer], tf.int32
        )
    return rules


def _sampling(options, rows, vocabulary_size, num_prompts):
    copies = options.rows_per_prompt
    temperature = 1.0 if options.temperature is None else options.temperature
    seeds = np.zeros(rows, np.int64)
    seeds[:num_prompts] = _seeds(options.seed, num_prompts)
    rules = {
        "temperature": tf.fill([rows * copies], float(temperature)),
        "seeds": tf.constant(np.repeat(seeds, copies)),
        "counters": tf.constant(np.tile(np.arange(copies), rows), tf.int32),
    }
    if options.top_k:
        rules["top_k"] = tf.fill([rows * copies], int(options.top_k))
    for name in ("top_p", "min_p", "typical_p"):
        if getattr(options, name) is not None:
            rules[name] = tf.fill([rows * copies], float(getattr(options, name)))
    return rules


def _seeds(seed, num_prompts):
    """int64 (num_prompts,)."""
    if seed is None:
        return np.random.default_rng().integers(2**63, size=num_prompts)
    seeds = [seed] * num_prompts if is_whole(seed) else list(seed)
    if len(seeds) != num_prompts:
        raise ValueError(
            "seed must be an integer or a list of one per prompt. "
            f"Received: {len(seeds)} seeds, {num_prompts} prompts"
        )
    return np.array(seeds, np.int64)


def check_ids(name, ids, vocabulary_size):
    """Raises `ValueError` if an id is not in the vocabulary."""
    for value in ids:
        if not is_id(value, vocabulary_size):
            raise ValueError(
                f"{name} must contain ids from 0 to {vocabulary_size - 1}. "
                f"Received: {shown(value)}"
            )


def is_id(value, vocabulary_size):
    """Whether a value is an integer from 0 to `vocabulary_size` - 1."""
    return is_whole(value) and 0 <= value < vocabulary_size
