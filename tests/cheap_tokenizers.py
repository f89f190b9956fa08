"""Tokenizers whose graphs have few operations, for tests of what is done with ids.

A real tokenizer is most of the graph of a small served model, and datasets trace and
instantiate it again in every call of `fit`.
"""

import functools

import keras
import tensorflow as tf

from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.byte_bpe.graph import ByteBPEGraph
from tfzoo.text.graph_engine import GraphEngine


@keras.saving.register_keras_serializable("tests")
class WholeWords(WordPieceTokenizer):
    """Like `WordPieceTokenizer` for known words separated by spaces, and only these.

    The mask token is always recognized.
    """

    @functools.cached_property
    def graph(self):
        return _WholeWordsGraph(self, "whole_words")


class _WholeWordsGraph(GraphEngine):
    def __call__(self, texts):
        words = tf.strings.split(texts)
        known = tf.equal(words.flat_values[:, None], self._tokenizer.vocabulary)
        ids = tf.argmax(known, axis=1, output_type=tf.int32)
        are_known = tf.debugging.Assert(tf.reduce_all(ids > 0), [words.flat_values])
        with tf.control_dependencies([are_known]):
            return words.with_flat_values(tf.identity(ids))

    def _places(self, texts):
        words = tf.strings.split(texts)
        lengths = tf.strings.length(words.flat_values, "UTF8_CHAR")
        behind = tf.pad(tf.cumsum(lengths + 1), [[1, 0]])
        starts = behind[:-1] - tf.gather(
            behind, tf.gather(words.row_starts(), words.value_rowids())
        )
        found = {"starts": starts, "ends": starts + lengths}
        found["starts_word"] = tf.ones_like(starts, tf.bool)
        return {"token_ids": self(texts)} | {
            name: words.with_flat_values(value) for name, value in found.items()
        }

    def places_in_bounds(self, texts):
        return self._places(texts)

    def in_bounds(self, texts, token=None):
        return self(texts)


@keras.saving.register_keras_serializable("tests")
class PlainBytes(ByteBPETokenizer):
    """A token for every byte, and the end token, which is never recognized in texts.

    Texts must be UTF-8: the graph does not replace invalid bytes.
    """

    @functools.cached_property
    def graph(self):
        return _PlainBytesGraph(self, "plain_bytes")


class _PlainBytesGraph(GraphEngine):
    detokenize, _contents = ByteBPEGraph.detokenize, ByteBPEGraph._contents
    _without_suffix = ByteBPEGraph._without_suffix
    continuations = ByteBPEGraph.continuations

    def __call__(self, texts, *, end_token=False):
        content = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
        lengths = tf.cast(tf.strings.length(texts), tf.int64)
        ids = tf.cast(content, tf.int32)
        return tf.RaggedTensor.from_row_lengths(ids, lengths, validate=False)

    def in_bounds(self, texts, token=None):
        return self(texts)


def plain_bytes():
    """A `PlainBytes`, whose ids are the bytes and 256."""
    return PlainBytes([*CHARACTERS, "<|endoftext|>"], [])
