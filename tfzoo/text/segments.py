"""One text or two with special tokens around them, as a `Layout` says.

BERT reads [CLS] a [SEP] or [CLS] a [SEP] b [SEP], RoBERTa <s> a </s> or
<s> a </s></s> b </s>. Written twice, in NumPy and in TensorFlow operations, with equal
results: N examples, whose ids stand one after the other in `values`, example i from
`row_splits[i]` to `row_splits[i + 1]`.

Source: Devlin et al. 2018, section 3, https://arxiv.org/abs/1810.04805; Liu et al.
2019, section 2.1, https://arxiv.org/abs/1907.11692, and its code in fairseq
"""

import itertools
import typing

import numpy as np


class Layout(typing.NamedTuple):
    """Which special tokens stand around texts.

    Attributes:
        cls_id: Id before the first text.
        sep_id: Id after either text.
        num_between: How many `sep_id` stand after the first of two texts.
        second_segment: Segment of the second text and of the `sep_id` after it.
    """

    cls_id: int
    sep_id: int
    num_between: int = 1
    second_segment: int = 1

    def num_special(self, num_texts):
        """How many special tokens stand around one text or two."""
        return 2 if num_texts == 1 else 2 + self.num_between


class Encoding(typing.NamedTuple):
    """One text or text pair, token by token; all lists have one length.

    Attributes:
        token_ids: Ids with the special tokens.
        segment_ids: 0 up to the second text, then the layout's `second_segment`.
        offsets: (start, end) of every token in the characters of its own text; (0, 0)
            for a special token.
        word_ids: Number of the word, from 0 in either text, that the token is part of;
            None for a special token.
        special_tokens_mask: 1 for a special token.
    """

    token_ids: list
    segment_ids: list
    offsets: list
    word_ids: list
    special_tokens_mask: list


class EncodedBatch(typing.NamedTuple):
    """N texts or text pairs, one after the other.

    Attributes:
        token_ids: int32 (T,), T tokens of all examples.
        segment_ids: int32 (T,).
        row_splits: int64 (N + 1,) where the examples begin and end.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    row_splits: np.ndarray

    @classmethod
    def of(cls, encodings):
        """The batch of a list of `Encoding`s."""
        lengths = [len(encoding.token_ids) for encoding in encodings]
        columns = [
            np.fromiter(itertools.chain.from_iterable(column), np.int32)
            for column in zip(*(e[:2] for e in encodings), strict=True)
        ]
        columns = columns or [np.zeros(0, np.int32)] * 2
        return cls(*columns, np.cumsum([0, *lengths]))

    @property
    def lengths(self):
        """int64 (N,) tokens of every example."""
        return np.diff(self.row_splits)


def truncated(lengths, max_length, num_special, xp=np):
    """How many tokens of one text, or of two, are kept beside the special tokens.

    Args:
        lengths: List of one or two integers, arrays or tensors (N,).
        max_length: Longest result in tokens, special tokens included, or None.
        num_special: Number of special tokens.
        xp: Module that computes: numpy or tensorflow.

    Returns:
        List of as many.
    """
    if max_length is None:
        return lengths
    if max_length < num_special:
        raise ValueError(
            f"max_length must be at least {num_special}, the number of special tokens. "
            f"Received: max_length={max_length}"
        )
    room = max_length - num_special
    if len(lengths) == 1:
        return [xp.minimum(lengths[0], room)]
    return longest_first(*lengths, room, xp)


def longest_first(first, second, room, xp=np):
    """How many tokens of two texts are kept: the longer is cut until both fit.

    The rule of `tokenizers`: where both must be cut, each gets half of the room, and
    an odd token goes to the longer text (to the second of equal ones).

    Args:
        first: Lengths (N,) of the first texts.
        second: Lengths (N,) of the second texts.
        room: Number of tokens for both.
        xp: Module that computes: numpy or tensorflow.

    Returns:
        List of two arrays or tensors (N,).
    """
    first_is_longer = xp.minimum(xp.maximum(first - second, 0), 1)
    half = (room + first_is_longer) // 2
    return [
        xp.minimum(first, xp.maximum(room - second, half)),
        xp.minimum(second, xp.maximum(room - first, room - half)),
    ]


def join(texts, layout, max_length=None):
    """The `Encoding` of one text or two.

    Args:
        texts: List of one or two lists of tokens: (id, offsets, number of the word).
        layout: A `Layout`.
        max_length: Longest result in tokens, special tokens included, or None.
    """
    num_special = layout.num_special(len(texts))
    kept = truncated(list(map(len, texts)), max_length, num_special)
    tokens = [(layout.cls_id, 0, (0, 0), None, 1)]
    for number, (text, length) in enumerate(zip(texts, kept, strict=True)):
        segment = layout.second_segment if number else 0
        tokens += [(i, segment, place, word, 0) for i, place, word in text[:length]]
        is_last = number == len(texts) - 1
        num_separators = 1 if is_last else layout.num_between
        tokens += [(layout.sep_id, segment, (0, 0), None, 1)] * num_separators
    return Encoding(*map(list, zip(*tokens, strict=True)))


def pack(*texts, layout, max_length=None):
    """Joins texts with their special tokens, in NumPy.

    Args:
        *texts: One or two pairs of int arrays `values` (T,), `row_splits` (N + 1,).
        layout: A `Layout`.
        max_length: Longest result in tokens, special tokens included, or None.

    Returns:
        An `EncodedBatch`.
    """
    starts, lengths = _parts(texts, layout, max_length, np)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    index = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
    values = np.concatenate([*(values for values, _ in texts), _special(layout)])
    num_parts = 2 * len(texts) + 1
    part = np.repeat(np.arange(len(starts)) % num_parts, lengths)
    return EncodedBatch(
        token_ids=values.astype(np.int32)[index],
        segment_ids=layout.second_segment * (part > 2).astype(np.int32),
        row_splits=ends[::num_parts],
    )


def pack_in_graph(*texts, layout, max_length=None):
    """The same as `pack` in TensorFlow operations.

    Args:
        *texts: One or two ragged int32 tensors (N, None).
        layout: A `Layout`.
        max_length: Longest result in tokens, special tokens included, or None.

    Returns:
        {"token_ids", "segment_ids"}: ragged int32 tensors (N, None).
    """
    import tensorflow as tf

    pairs = [(text.flat_values, text.row_splits) for text in texts]
    starts, lengths = _parts(pairs, layout, max_length, tf)
    index = tf.ragged.range(starts, starts + lengths)
    values = tf.concat([*(values for values, _ in pairs), _special(layout)], 0)
    num_parts = 2 * len(texts) + 1
    token_ids = tf.gather(values, index.flat_values)
    if len(texts) == 1 or not layout.second_segment:
        segment_ids = tf.zeros_like(token_ids)
    else:
        segment_ids = tf.cast(index.value_rowids() % num_parts > 2, tf.int32)
        segment_ids *= layout.second_segment
    row_splits = index.row_splits[::num_parts]
    return {
        name: tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
        for name, values in (("token_ids", token_ids), ("segment_ids", segment_ids))
    }


def _special(layout):
    return [layout.cls_id, *[layout.sep_id] * layout.num_between]


def _parts(texts, layout, max_length, xp):
    """Where the parts of all examples start in the joined values, and their lengths.

    Joined are the values of all texts and the special tokens, as many separators as
    stand between texts; the parts of one example are the first special token, a, the
    separators after it, and for two texts b and the last separator.
    """
    kept = truncated(
        [ends[1:] - ends[:-1] for _, ends in texts],
        max_length,
        layout.num_special(len(texts)),
        xp,
    )
    one = xp.ones_like(kept[0])
    cls_at = sum(splits[-1] for _, splits in texts)
    separators = [layout.num_between, 1][-len(texts) :]
    starts, lengths, text_at = [one * cls_at], [one], 0
    for (_, splits), length, count in zip(texts, kept, separators, strict=True):
        starts += [splits[:-1] + text_at, one * (cls_at + 1)]
        lengths += [length, one * count]
        text_at += splits[-1]
    return tuple(xp.reshape(xp.stack(x, axis=1), [-1]) for x in (starts, lengths))
