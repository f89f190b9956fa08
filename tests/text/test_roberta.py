"""Byte-level BPE with RoBERTa's special tokens, against `tokenizers`."""

import copy
import functools
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from tfzoo.errors import TokenizerError
from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer, EncodedBatch
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS

SPACES = "\t\n\x0b\x0c\r\x1c\x1f \x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029"
SPACES += "\u202f\u205f\u2060\u3000\ufeff"
MASKED = [
    "The quick brown <mask> jumps over the lazy dog.",
    "<mask><mask> <mask>  a\t<mask>b",
    " <mask> ",
    "<mask>",
    "a \n <mask>\n b <mask",
    "caf\u00e9\u3000\u2028<mask>\u3000\u52d5",
    "\0 \0<mask>\0 \0",
    b"\xff <mask>\xe2\x82 <mask>\xc3",
    "<s> </s> <pad> <mask>",
    "".join(f"a{space}<mask>{space}<mask>b" for space in SPACES),
    "",
]


def reference(tokenizer, *, mask=False):
    """`tokenizers`, configured as `transformers` does for RoBERTa."""
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
    rust = Tokenizer(models.BPE(ids, list(tokenizer.merges)))
    prefix = tokenizer.add_prefix_space
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    rust.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.sep_id),
        ("<s>", tokenizer.cls_id),
        trim_offsets=True,
        add_prefix_space=prefix,
    )
    if mask:
        token = AddedToken("<mask>", lstrip=tokenizer.mask_lstrip, special=True)
        rust.add_special_tokens([token])
    return rust


@functools.cache
def changed(tokenizer, *, prefix, lstrip=True):
    """The tokenizer with other options, cached because it is traced."""
    if (prefix, lstrip) == (False, True):
        return tokenizer
    options = dict(add_prefix_space=prefix, mask_lstrip=lstrip)
    return ByteBPETokenizer(**{**tokenizer.get_config(), **options})


def valid(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def as_bytes(texts):
    return [text.encode() if isinstance(text, str) else text for text in texts]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "prefix"])
def tokenizer(request, roberta):
    """Without and with a space added before every text."""
    return changed(roberta, prefix=request.param)


@pytest.mark.parametrize("max_length", [None, 4, 5, 9, 20])
def test_an_encoding_equals_that_of_tokenizers(tokenizer, hostile, max_length):
    rust = reference(tokenizer)
    if max_length is not None:
        rust.enable_truncation(max_length, strategy="longest_first")
    texts = [*hostile[:300], "", " ", "  a", "a  b ", "\u00e9 \u00e9", "\n\n a"]
    for first, second in zip(texts, texts[::-1], strict=True):
        for pair in (None, second):
            mine = tokenizer.encode(first, pair, max_length=max_length)
            theirs = rust.encode(valid(first), None if pair is None else valid(pair))
            assert mine.token_ids == theirs.ids
            assert mine.offsets == theirs.offsets, ascii((first, pair))
            assert mine.word_ids == theirs.word_ids
            assert mine.special_tokens_mask == theirs.special_tokens_mask
            assert mine.segment_ids == theirs.type_ids


@pytest.mark.parametrize("max_length", [None, 4, 7, 20])
@pytest.mark.parametrize("pair", [False, True])
def test_batches_of_both_engines_equal_those_of_tokenizers(
    tokenizer, hostile, max_length, pair
):
    rust = reference(tokenizer)
    if max_length is not None:
        rust.enable_truncation(max_length, strategy="longest_first")
    texts, pairs = hostile[:200], hostile[200:400] if pair else None
    columns = zip(texts, pairs or texts, strict=True)
    inputs = [(valid(a), valid(b)) if pair else valid(a) for a, b in columns]
    assert_batches(
        tokenizer,
        [encoding.ids for encoding in rust.encode_batch(inputs)],
        texts,
        pairs,
        max_length=max_length,
    )


def assert_batches(tokenizer, expected, texts, pairs=None, **options):
    batch = tokenizer.encode_batch(texts, pairs, **options)
    assert isinstance(batch, EncodedBatch)
    rows = np.split(batch.token_ids, batch.row_splits[1:-1])
    for text, row, ids in zip(texts, rows, expected, strict=True):
        assert row.tolist() == ids, ascii(text)
    assert not batch.segment_ids.any()
    inside = tokenizer.graph.encode(
        as_bytes(texts), None if pairs is None else as_bytes(pairs), **options
    )
    for text, row, ids in zip(
        texts, inside["token_ids"].to_list(), expected, strict=True
    ):
        assert row == ids, ascii(text)
    assert inside["segment_ids"].dtype == inside["token_ids"].dtype == tf.int32
    assert not np.any(inside["segment_ids"].flat_values)


@pytest.mark.parametrize("lstrip", [True, False])
def test_a_mask_in_a_text_is_recognized_as_in_tokenizers(roberta, tokenizer, lstrip):
    tokenizer = changed(roberta, prefix=tokenizer.add_prefix_space, lstrip=lstrip)
    assert tokenizer.mask_lstrip == lstrip
    rust = reference(tokenizer, mask=True)
    expected = [rust.encode(valid(text)).ids for text in MASKED]
    assert_batches(tokenizer, expected, MASKED, mask_token=True)
    pairs = [
        rust.encode(valid(a), valid(b)).ids
        for a, b in zip(MASKED, MASKED[::-1], strict=True)
    ]
    assert_batches(tokenizer, pairs, MASKED, MASKED[::-1], mask_token=True)
    plain = tokenizer.encode_batch(MASKED).token_ids
    assert tokenizer.mask_id not in plain
    assert sum(tokenizer.mask_id in ids for ids in expected) == len(MASKED) - 1


pieces = st.lists(
    st.sampled_from(["<mask>", "<mas", "k>", " ", "\n", "\u2003", "a", "\0", "the"])
    | st.text(max_size=3),
    max_size=8,
).map("".join)


@given(texts=st.lists(pieces, min_size=1, max_size=4), prefix=st.booleans())
def test_any_text_with_masks_gets_the_ids_of_tokenizers(roberta, texts, prefix):
    tokenizer = changed(roberta, prefix=prefix)
    assert tokenizer.add_prefix_space == prefix
    rust = reference(tokenizer, mask=True)
    expected = [encoding.ids for encoding in rust.encode_batch(texts)]
    assert_batches(tokenizer, expected, texts, mask_token=True)


@pytest.mark.slow
def test_code_points_before_a_mask_are_stripped_or_kept_as_in_tokenizers(roberta):
    rust = reference(roberta, mask=True)
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(characters), 1 << 16):
        texts = [f"a{c}<mask>" for c in characters[start : start + (1 << 16)]]
        expected = [encoding.ids for encoding in rust.encode_batch_fast(texts)]
        inside = roberta.graph.encode(texts, mask_token=True)["token_ids"]
        assert inside.to_list() == expected


def test_a_space_before_a_text_is_added_once(tokenizer):
    texts = ["ab", " ab", "", " ", "\nab", "  ab"]
    assert tokenizer.graph(texts).to_list() == tokenizer.tokenize(texts)
    same = tokenizer.tokenize("ab") == tokenizer.tokenize(" ab")
    assert same == tokenizer.add_prefix_space


def test_ids_and_names_of_special_tokens(roberta):
    names = ("cls", "pad", "sep", "unknown", "mask", "end")
    assert [getattr(roberta, f"{name}_id") for name in names] == (
        [0, 1, 2, 3, roberta.vocabulary_size - 1, 2]
    )
    assert [roberta.required_id(name) for name in names][:3] == [0, 1, 2]
    assert set(roberta.special_ids) == {0, 1, 2, 3, roberta.vocabulary_size - 1}
    assert np.flatnonzero(roberta.special).tolist() == sorted(roberta.special_ids)
    assert roberta.detokenize(roberta.encode("Caf\u00e9 au").token_ids) == (
        "Caf\u00e9 au"
    )


def test_gpt2_has_no_tokens_around_texts(byte_bpe):
    assert byte_bpe.pad_token is byte_bpe.cls_id is byte_bpe.mask_id is None
    ids = [byte_bpe.tokenize(text) for text in ("a caf\u00e9", " b")]
    assert byte_bpe.encode("a caf\u00e9", " b").token_ids == ids[0] + ids[1]
    inside = byte_bpe.graph.encode(["a caf\u00e9", ""])["token_ids"]
    assert inside.to_list() == [ids[0], []]
    absent = ByteBPETokenizer(
        **{**byte_bpe.get_config(), "cls_token": "<s>", "sep_token": "</s>"}
    )
    rule = "must contain the cls token <s> for this"
    for engine in (absent.encode, absent.encode_batch, absent.graph.encode):
        with pytest.raises(TokenizerError, match=rule):
            engine(["a"])
    tokenizer = ByteBPETokenizer(
        [*CHARACTERS, "<s>", "</s>"], [], cls_token="<s>", sep_token="</s>"
    )
    for engine in (tokenizer.encode_batch, tokenizer.graph.encode):
        with pytest.raises(
            TokenizerError, match="must contain the mask token for this"
        ):
            engine(["a"], mask_token=True)


def test_a_token_has_its_text_and_a_special_token_its_name():
    tokens = [*CHARACTERS, "\u0120a", "\u00c3\u00a9", "ab", None, "\u52d5", "<mask>"]
    tokenizer = ByteBPETokenizer(
        tokens, [("\u0120", "a"), ("\u00c3", "\u00a9")], mask_token="<mask>"
    )
    read = [tokenizer.token_text(index) for index in range(256, len(tokens))]
    assert read == [" a", "\u00e9", "ab", "", "\u52d5", "<mask>"]
    assert tokenizer.token_text(0xC3) == "\ufffd"
    with pytest.raises(ValueError, match="< the vocabulary size.*id=262"):
        tokenizer.token_text(262)


def test_letters_numbers_and_parts_of_characters_continue_a_word():
    tokenizer = ByteBPETokenizer([*CHARACTERS, "<mask>"], [], mask_token="<mask>")
    text = "Don't walk, lions2! (x) caf\u00e9\u0301s\n\u52d5\u7269 \U0001f981"
    words = []
    for index in tokenizer.tokenize(text):
        if not tokenizer.continues[index]:
            words.append(b"")
        words[-1:] = [b"".join(words[-1:]) + tokenizer.bytes_of(index)]
    assert [word.decode() for word in words] == [
        *("Don", "'t", " walk", ",", " lions2", "!", " ", "(x", ")"),
        *(" caf\u00e9\u0301s", "\n\u52d5\u7269", " \U0001f981"),
    ]
    assert tokenizer.continues.dtype == bool
    assert not tokenizer.continues[tokenizer.mask_id]


def test_keras_serialization_copy_and_pickle_round_trip(roberta, tokenizer):
    prefix = tokenizer.add_prefix_space
    tokenizer = changed(roberta, prefix=prefix, lstrip=False)
    through_keras = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(tokenizer)
    )
    for other in (
        through_keras,
        copy.deepcopy(tokenizer),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert other.get_config() == tokenizer.get_config()
        assert other.encode("a", " b") == tokenizer.encode("a", " b")


def test_training_places_the_special_tokens_as_in_roberta():
    tokenizer = ByteBPETokenizer.train(
        ["walk, walks, walking"] * 3,
        vocabulary_size=270,
        progress=False,
        **ROBERTA_TOKENS,
    )
    assert tokenizer.vocabulary[:4] == ("<s>", "<pad>", "</s>", "<unk>")
    assert tokenizer.vocabulary[-1] == "<mask>"
    assert len(tokenizer.merges) == tokenizer.vocabulary_size - 256 - 5 > 0
    with pytest.raises(TokenizerError, match="at least 261.*vocabulary_size=260"):
        ByteBPETokenizer.train(
            ["a"], vocabulary_size=260, progress=False, **ROBERTA_TOKENS
        )
