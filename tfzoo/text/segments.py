"""Adds special tokens to one or two texts according to a `Layout`.

BERT reads [CLS] a [SEP] or [CLS] a [SEP] b [SEP], RoBERTa <s> a </s> or
<s> a </s></s> b </s>, T5 a </s>, Llama <s> a, and GPT-2 only the text. There are two
implementations with equal results, in NumPy and in TensorFlow operations. The ids of N
examples are concatenated in `values`; those of example i go from `row_splits[i]` to
`row_splits[i + 1]`.

Source: Devlin et al. 2018, section 3, https://arxiv.org/abs/1810.04805; Liu et al.
2019, section 2.1, https://arxiv.org/abs/1907.11692, and its code in fairseq
"""

import itertools
import typing

import numpy as np

from tfzoo.errors import is_whole, shown


class Encoding(typing.NamedTuple):
    """One text or text pair; all lists have one element per token.

    Attributes:
        token_ids: Ids including the special tokens.
        segment_ids: 0, or the layout's `second_segment` for the second text and its
            special tokens.
        offsets: (start, end) of the token in characters of its own text; (0, 0) for a
            special token.
        word_ids: Number of the token's word, from 0 in each text; None for a special
            token.
        special_tokens_mask: 1 for a special token, otherwise 0.
    """

    token_ids: list
    segment_ids: list
    offsets: list
    word_ids: list
    special_tokens_mask: list


class EncodedBatch(typing.NamedTuple):
    """N texts or text pairs, concatenated.

    Attributes:
        token_ids: int32 (T,), with T tokens of all examples.
        segment_ids: int32 (T,).
        row_splits: int64 (N + 1,), the indices at which the examples start and end.
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
        """int64 (N,) number of tokens of each example."""
        return np.diff(self.row_splits)


def truncated(lengths, max_length, num_special, xp=np):
    """Number of tokens of one or two texts that fit next to the special tokens.

    Args:
        lengths: List of one or two integers, arrays or tensors (N,).
        max_length: Maximum number of tokens including special tokens, or None.
        num_special: Number of special tokens.
        xp: Module to compute with: numpy or tensorflow.

    Returns:
        List of the same size.
    """
    if max_length is None:
        return lengths
    if not is_whole(max_length) or max_length < num_special:
        raise ValueError(
            f"max_length must be an integer >= {num_special}, the number of special "
            f"tokens. Received: max_length={shown(max_length)}"
        )
    room = max_length - num_special
    if len(lengths) == 1:
        return [xp.minimum(lengths[0], room)]
    return longest_first(*lengths, room, xp)


def longest_first(first, second, room, xp=np):
    """Number of tokens of two texts after truncating the longer one until both fit.

    The rule of `tokenizers`: if both must be truncated, each gets half of the room, and
    an odd token goes to the longer text (to the second if they are equally long).

    Args:
        first: Lengths (N,) of the first texts.
        second: Lengths (N,) of the second texts.
        room: Number of tokens for both.
        xp: Module to compute with: numpy or tensorflow.

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
    """The `Encoding` of one or two texts.

    Args:
        texts: List of one or two lists of tokens: (id, offsets, word number).
        layout: A `Layout` of ids.
        max_length: Maximum number of tokens including special tokens, or None.
    """
    around = layout.around(len(texts))
    kept = truncated(list(map(len, texts)), max_length, sum(map(len, around)))
    tokens = _special_tokens(around[0])
    for number, (text, length) in enumerate(zip(texts, kept, strict=True)):
        segment = layout.second_segment if number else 0
        tokens += [(i, segment, place, word, 0) for i, place, word in text[:length]]
        tokens += _special_tokens(around[number + 1])
    columns = zip(*tokens, strict=True) if tokens else [()] * 5
    return Encoding(*map(list, columns))


def _special_tokens(group):
    return [(index, segment, (0, 0), None, 1) for index, segment in group]


def pack(*texts, layout, max_length=None):
    """Adds special tokens to one or two texts per example, in NumPy.

    Args:
        *texts: One or two pairs of int arrays `values` (T,), `row_splits` (N + 1,).
        layout: A `Layout` of ids.
        max_length: Maximum number of tokens including special tokens, or None.

    Returns:
        An `EncodedBatch`.
    """
    around = layout.around(len(texts))
    starts, lengths = _parts(texts, around, max_length, np)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    index = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
    values = [values for values, _ in texts]
    special_ids, special_segments = _special_values(around)
    segments = [
        np.full(len(ids), layout.second_segment if number else 0)
        for number, ids in enumerate(values)
    ]
    segments = np.concatenate([*segments, special_segments]).astype(np.int32)
    return EncodedBatch(
        token_ids=np.concatenate([*values, special_ids]).astype(np.int32)[index],
        segment_ids=segments[index],
        row_splits=ends[:: len(texts) + len(around)],
    )


def pack_in_graph(*texts, layout, max_length=None):
    """The same as `pack`, in TensorFlow operations.

    Args:
        *texts: One or two ragged int32 tensors (N, None).
        layout: A `Layout` of ids.
        max_length: Maximum number of tokens including special tokens, or None.

    Returns:
        {"token_ids", "segment_ids"}: ragged int32 tensors (N, None).
    """
    import tensorflow as tf

    around = layout.around(len(texts))
    pairs = [(text.flat_values, text.row_splits) for text in texts]
    starts, lengths = _parts(pairs, around, max_length, tf)
    index = tf.ragged.range(starts, starts + lengths)
    values = [values for values, _ in pairs]
    special_ids, special_segments = _special_values(around)
    token_ids = tf.gather(tf.concat([*values, special_ids], 0), index.flat_values)
    if len(texts) == 1 or not layout.second_segment:
        segment_ids = tf.zeros_like(token_ids)
    else:
        segments = [tf.zeros_like(values[0]), tf.ones_like(values[1]), special_segments]
        segment_ids = tf.gather(tf.concat(segments, 0), index.flat_values)
    row_splits = index.row_splits[:: len(texts) + len(around)]
    return {
        name: tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
        for name, values in (("token_ids", token_ids), ("segment_ids", segment_ids))
    }


def _special_values(around):
    """Ids and segments of the special tokens, in order, int32."""
    tokens = [token for group in around for token in group]
    return np.array(tokens, np.int32).reshape(-1, 2).T


def _parts(texts, around, max_length, xp):
    """Starts of the parts of all examples in the joined values, and their lengths.

    The joined values are those of all texts, followed by the special tokens. The parts
    of an example are the special tokens before its first text, that text, the special
    tokens after it, and so on.
    """
    counts = list(map(len, around))
    kept = truncated(
        [ends[1:] - ends[:-1] for _, ends in texts], max_length, sum(counts), xp
    )
    one = xp.ones_like(kept[0])
    text_at, special_at = 0, sum(splits[-1] for _, splits in texts)
    starts, lengths = [], []
    for number, count in enumerate(counts):
        starts.append(one * special_at)
        lengths.append(one * count)
        special_at += count
        if number < len(texts):
            _, splits = texts[number]
            starts.append(splits[:-1] + text_at)
            lengths.append(kept[number])
            text_at += splits[-1]
    return tuple(xp.reshape(xp.stack(x, axis=1), [-1]) for x in (starts, lengths))
