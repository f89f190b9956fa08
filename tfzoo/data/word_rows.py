"""Rows of ids for sentences that are already split into words.

Letters: N sentences, W words in all of them, T tokens, S length of the longest row in a
batch.
"""

import itertools

import numpy as np
import tensorflow as tf

from tfzoo.text.segments import pack_in_graph

NO_WORD = -1


def encode_sentences(sentences, tokenizer, *, max_length):
    """Lists of words -> rows of ids, with the tokenizer's Rust engine.

    Args:
        sentences: List of N lists of words.
        tokenizer: A tokenizer with the special tokens of an encoder.
        max_length: Maximum number of tokens in a row, including special tokens.

    Returns:
        As in `word_rows`.
    """
    lengths = [len(words) for words in sentences]
    words = [_as_a_word(word) for words in sentences for word in words]
    distinct = [*dict.fromkeys(words)]  # few: most words occur often
    known = dict(zip(distinct, tokenizer.tokenize(distinct), strict=True))
    ids = [known[word] for word in words]
    flat = np.fromiter(itertools.chain.from_iterable(ids), np.int32)
    return word_rows(
        tf.RaggedTensor.from_row_lengths(flat, np.array([*map(len, ids)], np.int64)),
        tf.constant(np.cumsum([0, *lengths]), tf.int64),
        tokenizer,
        max_length=max_length,
    )


def encode_ragged(words, tokenizer, *, max_length):
    """The same for a ragged string tensor (N, None), in TensorFlow operations."""
    ids = tokenizer.graph(tf.strings.join([" ", words.flat_values]))
    return word_rows(ids, words.row_splits, tokenizer, max_length=max_length)


def word_rows(ids, row_splits, tokenizer, *, max_length):
    """Joins the ids of words to rows and adds special tokens.

    Args:
        ids: Ragged int32 (W, None), the ids of each word.
        row_splits: int64 (N + 1,), the words at which sentences begin and end.
        tokenizer: A tokenizer with the special tokens of an encoder.
        max_length: Maximum number of tokens in a row; longer rows are truncated.

    Returns:
        Two ragged int32 tensors (N, None): the ids; and, for the first token of every
        word, the word's index in its sentence, NO_WORD for all other tokens.
    """
    layout = tokenizer.layout_ids
    word = ids.value_rowids()
    is_first = tf.equal(
        tf.range(tf.size(word, tf.int64)), tf.gather(ids.row_starts(), word)
    )
    sentence = tf.ragged.row_splits_to_segment_ids(row_splits, out_type=tf.int64)
    sentence_start = tf.gather(row_splits, tf.gather(sentence, word))
    number = tf.cast(word - sentence_start, tf.int32)
    splits = tf.gather(ids.row_splits, row_splits)

    def packed(values, layout):
        rows = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return pack_in_graph(rows, layout=layout, max_length=max_length)["token_ids"]

    return (
        packed(ids.flat_values, layout),
        packed(tf.where(is_first, number, NO_WORD), layout.map(lambda index: NO_WORD)),
    )


def targets_of_tokens(labels, row_splits, first_words):
    """Token targets and weights from word labels.

    Args:
        labels: int32 (W,), the labels of the words of all sentences; negative for words
            to ignore.
        row_splits: int64 (N + 1,), the words at which sentences begin and end.
        first_words: Ragged int32 (N, None), the second result of `word_rows`.

    Returns:
        Two ragged tensors (N, None): int32 labels, 0 where the weight is 0; float32
        weights, 1 for the first token of each labeled word and 0 for all others.
    """
    number = tf.cast(first_words.flat_values, tf.int64)
    starts = tf.gather(row_splits, first_words.value_rowids())
    is_word = number >= 0
    places = tf.where(is_word, starts + number, tf.size(labels, tf.int64))
    labels = tf.gather(tf.concat([labels, [-1]], 0), places)
    weights = tf.cast(labels >= 0, tf.float32)
    labels = tf.maximum(labels, 0)
    return first_words.with_flat_values(labels), first_words.with_flat_values(weights)


def _as_a_word(word):
    """Puts a space before the word, as in running text: it matters for byte BPE."""
    if isinstance(word, bytes):
        word = word.decode("utf-8", "replace")
    return f" {word}"
