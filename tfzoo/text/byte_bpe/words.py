"""The words of texts, by the name of their split in `declaration`, in TensorFlow."""

import functools

import tensorflow as tf

from tfzoo.text.byte_bpe import clip_words, gpt2_words, llama_words
from tfzoo.text.byte_bpe.code_point_kinds import CLASS, SPACE
from tfzoo.text.byte_bpe.declaration import WITHOUT_SPACES
from tfzoo.text.vectors import following, where

_STARTS = {
    "gpt-2": gpt2_words.word_starts,
    "smollm-2": functools.partial(gpt2_words.word_starts, digits_alone=True),
    "qwen-2": functools.partial(llama_words.word_starts, most_numbers=1),
    "llama-3": functools.partial(llama_words.word_starts, most_numbers=3),
    "clip": functools.partial(clip_words.word_starts, special_tokens=True),
    "clip-words": functools.partial(clip_words.word_starts, special_tokens=False),
}


def words_of(split, code_points, kinds, splits):
    """The characters at which words start and end.

    Args:
        split: A name in `declaration.SPLITS`.
        code_points: int32 (N,), the code points of all texts.
        kinds: int32 (N,), see `code_point_kinds`.
        splits: int64 (B + 1,), the indices at which the texts start and end.

    Returns:
        int64 (W,) and (W,), for W words.
    """
    starts = _STARTS[split](code_points, kinds, splits)
    ends = following(starts, last=splits[-1])
    if split in WITHOUT_SPACES:
        stay = where(tf.not_equal(tf.gather(kinds, starts) & CLASS, SPACE))
        starts, ends = tf.gather(starts, stay), tf.gather(ends, stay)
    return starts, ends
