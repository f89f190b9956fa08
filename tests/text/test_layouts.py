"""Layouts of special tokens, against the templates of `tokenizers`, in every engine."""

import copy
import itertools
import json
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from tfzoo.errors import TokenizerError
from tfzoo.text import (
    ByteBPETokenizer,
    Layout,
    WordPieceTokenizer,
    segments,
    tokenizer_from_preset,
)
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.templates import read_template

SPECIAL = ["<s>", "</s>", "<x>"]
IDS = {token: index for index, token in enumerate([*SPECIAL, "a", "b"])}
SPACES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def template(single, pair, tokens=SPECIAL):
    """A processor of `tokenizers`, in its own notation."""
    return processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(t, IDS[t]) for t in tokens]
    )


def as_json(processor):
    rust = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    rust.post_processor = processor
    return json.loads(rust.to_str())["post_processor"]


@st.composite
def templates(draw):
    """(Template of one text, of two texts) with an equivalent layout."""
    first, last = (
        draw(st.sampled_from(["", "<s> "])),
        draw(st.sampled_from(["", " </s>"])),
    )
    between = draw(st.lists(st.sampled_from(SPECIAL), max_size=3))
    segment = draw(st.sampled_from([0, 1]))
    again = f"<s>:{segment} " if first and draw(st.booleans()) else ""
    after = last and f"{last}:{segment}"
    pair = f"{first}$A {''.join(f'{t} ' for t in between)}{again}$B:{segment}{after}"
    return f"{first}$A{last}", pair


def flat(lengths, value):
    values = np.full(sum(lengths), value, np.int32)
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


FIRST, SECOND = np.array(list(itertools.product([0, 1, 2, 5, 9], repeat=2))).T


@given(templates(), st.sampled_from([None, *range(12)]))
def test_any_template_is_read_and_texts_are_joined_as_in_tokenizers(pieces, most):
    processor = template(*pieces)
    layout = read_template(as_json(processor), IDS, "tokenizer.json").map(IDS.get)
    rust = Tokenizer(models.WordLevel(IDS, unk_token="a"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.post_processor = processor
    columns = [(FIRST, IDS["a"]), (SECOND, IDS["b"])]
    for num_texts in (1, 2):
        options = {"layout": layout, "max_length": most}
        texts = [flat(*column) for column in columns[:num_texts]]
        num_special = rust.num_special_tokens_to_add(num_texts == 2)
        assert layout.num_special(num_texts) == num_special
        if most is not None and most < num_special:
            with pytest.raises(ValueError, match=f">= {num_special}, .*={most}"):
                segments.pack(*texts, **options)
            continue
        if most is not None:
            rust.enable_truncation(most, strategy="longest_first")
        rows = [("a " * i, "b " * j) for i, j in zip(FIRST, SECOND, strict=True)]
        rows = rows if num_texts == 2 else [first for first, _ in rows]
        expected = rust.encode_batch(rows)
        batch = segments.pack(*texts, **options)
        assert batch.token_ids.tolist() == [i for e in expected for i in e.ids]
        assert batch.segment_ids.tolist() == [i for e in expected for i in e.type_ids]
        assert batch.lengths.tolist() == [len(e) for e in expected]
        ragged = [tf.RaggedTensor.from_row_splits(*text) for text in texts]
        inside = segments.pack_in_graph(*ragged, **options)
        for name, received in inside.items():
            np.testing.assert_array_equal(received.flat_values, getattr(batch, name))
            np.testing.assert_array_equal(received.row_splits, batch.row_splits)
        for i, j, e in zip(FIRST, SECOND, expected, strict=True):
            words = [
                [(index, (2 * k, 2 * k + 1), k) for k in range(count)]
                for count, index in ((i, IDS["a"]), (j, IDS["b"]))
            ]
            one = segments.join(words[:num_texts], layout, most)
            assert one.token_ids == e.ids
            assert one.segment_ids == e.type_ids
            assert one.special_tokens_mask == e.special_tokens_mask
            assert one.word_ids == e.word_ids
            assert one.offsets == e.offsets


FORMS = {  # single, pair, the layout
    "first": ("<s> $A", "<s> $A <s>:1 $B:1", Layout("start", repeats_first=True)),
    "last": (
        "$A </s>",
        "$A </s> $B </s>",
        Layout(last="end", between=("end",), second_segment=0),
    ),
    "none": ("$A", "$A $B:1", Layout()),
    "both": (
        "<s> $A </s>",
        "<s> $A </s> $B:1 </s>:1",
        Layout("cls", "sep", between=("sep",)),
    ),
    "three": (
        "<s> $A </s>",
        "<s> $A </s> </s> </s> $B </s>",
        Layout("cls", "sep", between=("sep",) * 3, second_segment=0),
    ),
}
TEXTS = ["ab  \u00e9 abc", "", "b a ab", "\U0001f981 a", "abc " * 5]


def byte_bpe(processor):
    """A `tokenizers` tokenizer with the merges of a small byte-level BPE."""
    tokens = ["<s>", "</s>", "<x>", *sorted(CHARACTERS), "ab", "abc"]
    merges = [("a", "b"), ("ab", "c")]
    rust = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    byte_level = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    rust.post_processor = processors.Sequence([byte_level, processor])
    return rust


def wordpiece(processor):
    tokens = ["<s>", "</s>", "<x>", "[UNK]", "a", "##b", "b", "e", "##c"]
    ids = {token: index for index, token in enumerate(tokens)}
    rust = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    rust.normalizer = normalizers.BertNormalizer()
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.post_processor = processor
    return rust


def saved(rust, directory, config=None):
    """The directory of a file of `tokenizers`, and the tokenizer read from it."""
    directory.mkdir(exist_ok=True)
    rust.save(str(directory / "tokenizer.json"))
    if config is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer_from_preset(directory)


def assert_encodes_as(tokenizer, rust, most, *, graph=False):
    pairs = TEXTS[1:] + TEXTS[:1]
    for second in (None, pairs):
        rust.no_truncation()
        least = rust.num_special_tokens_to_add(second is not None)
        rust.enable_truncation(max(most, least), strategy="longest_first")
        rows = TEXTS if second is None else list(zip(TEXTS, second, strict=True))
        expected = rust.encode_batch(rows)
        options = {"max_length": max(most, least)}
        batch = tokenizer.encode_batch(TEXTS, second, **options)
        assert batch.token_ids.tolist() == [i for e in expected for i in e.ids]
        inside = tokenizer.graph.encode(TEXTS, second, **options) if graph else {}
        for name, value in inside.items():
            np.testing.assert_array_equal(value.flat_values, getattr(batch, name))
        for i, e in enumerate(expected):
            other = None if second is None else second[i]
            one = tokenizer.encode(TEXTS[i], other, **options)
            assert one.token_ids == e.ids
            assert one.segment_ids == e.type_ids
            assert one.offsets == e.offsets
            assert one.special_tokens_mask == e.special_tokens_mask
            assert one.word_ids == e.word_ids


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("make", [byte_bpe, wordpiece], ids=["byte_bpe", "wordpiece"])
def test_the_layout_in_a_file_is_read_and_written_again(tmp_path, make, name):
    single, pair, layout = FORMS[name]
    rust = make(template(single, pair))
    tokenizer = saved(rust, tmp_path / "theirs")
    if make is wordpiece:
        roles = {"start": "cls", "end": "sep"}
        layout = layout.map(lambda role: roles.get(role, role))
    assert tokenizer.layout == layout
    (tmp_path / "ours").mkdir()
    tokenizer.save_to_preset(tmp_path / "ours")
    again = tokenizer_from_preset(tmp_path / "ours")
    assert again.get_config() == tokenizer.get_config()
    ours = Tokenizer.from_file(str(tmp_path / "ours" / "tokenizer.json"))
    ours.encode_special_tokens = True
    # Tracing takes seconds; the graph is compared with every template above.
    graph = (make, name) in ((byte_bpe, "first"), (wordpiece, "last"))
    for most in (4, 6, 40):
        assert_encodes_as(tokenizer, rust, most, graph=graph)
        assert_encodes_as(tokenizer, ours, most)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("make", [byte_bpe, wordpiece], ids=["byte_bpe", "wordpiece"])
@pytest.mark.parity
def test_transformers_opens_a_saved_layout_with_the_same_results(tmp_path, make, name):
    transformers = pytest.importorskip("transformers")
    tokenizer = saved(make(template(*FORMS[name][:2])), tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    tokenizer.save_to_preset(tmp_path / "ours")
    other = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    for text, second in itertools.product(["ab abc", "b"], [None, "ab"]):
        encoded = other(text, second, return_token_type_ids=True)
        mine = tokenizer.encode(text, second)
        assert encoded["input_ids"] == mine.token_ids
        assert encoded["token_type_ids"] == mine.segment_ids


NAMED = [
    ("<s> $A", {"bos_token": "<s>", "eos_token": "</s>"}, Layout("start")),
    ("<s> $A", {"cls_token": "<s>", "bos_token": "<s>"}, Layout("cls")),
    ("<s> $A", {"bos_token": "<s>", "eos_token": "<s>"}, Layout("end")),
    ("<s> $A", {"bos_token": "<x>"}, Layout("cls")),
    ("$A </s>", {"eos_token": "</s>"}, Layout(last="end")),
    ("$A </s>", {"sep_token": "</s>", "eos_token": "<x>"}, Layout(last="sep")),
    ("$A </s>", {"eos_token": "<x>"}, Layout(last="sep")),
    ("<s> $A </s>", {"bos_token": "<s>", "eos_token": "</s>"}, Layout("cls", "sep")),
]


@pytest.mark.parametrize(("single", "config", "layout"), NAMED, ids=str)
def test_a_token_around_texts_has_the_role_named_in_the_files(
    tmp_path, single, config, layout
):
    before, text, after = single.partition("$A")
    last = after and f"{after}:1"
    tokenizer = saved(
        byte_bpe(template(single, f"{before}$A $B:1{last}")), tmp_path, config
    )
    assert tokenizer.layout == layout
    text = tokenizer.encode("a").token_ids
    assert [tokenizer.id_to_token(i) for i in text] == single.replace("$A", "a").split()


SEPARATED = ("<s> $A", "<s> $A </s> $B:1")


def test_a_separator_only_between_texts_has_its_role(tmp_path):
    config = {"sep_token": "</s>", "cls_token": "<s>"}
    for make in (byte_bpe, wordpiece):
        rust = make(template(*SEPARATED))
        tokenizer = saved(rust, tmp_path / make.__name__, config)
        assert tokenizer.layout == Layout("cls", between=("sep",))
        assert_encodes_as(tokenizer, rust, 40)


def piece(kind, name, segment=0):
    return {kind: {"id": name, "type_id": segment}}


A, B = piece("Sequence", "A"), piece("Sequence", "B", 1)
S, E = piece("SpecialToken", "<s>"), piece("SpecialToken", "</s>")
TOKENS = {t: {"id": t, "ids": [IDS[t]], "tokens": [t]} for t in SPECIAL}
UNSAYABLE = [
    (
        {"single": [S, S, A]},
        r"single: .* at most one .* before.*\[.<s>., .<s>.\]",
    ),
    ({"single": [A, E, S]}, "single: There must be at most one special token after"),
    ({"single": [A, A]}, r"single: The template must contain A, once.*\[.A., .A.\]"),
    ({"single": [S]}, r"single: The template must contain A, once.*Received: \[\]"),
    ({"pair": [B, A]}, "pair: The template must contain A and B, once, in this"),
    ({"pair": [S, A, B]}, "pair: Two texts must begin and end with the same tokens"),
    ({"single": [S, A]}, "pair: Two texts must begin and end with the same tokens"),
    ({"pair": [A, piece("SpecialToken", "<x>", 1), B]}, "pair: Two texts must begin"),
    ({"pair": [piece("Sequence", "A", 1), B]}, "pair: Two texts must begin"),
    (
        {"pair": [A, piece("Sequence", "B", 2)]},
        "pair: The second text must be in segment",
    ),
    ({"single": [piece("Sequence", "A", 1)]}, "single: A single text.* segment 0"),
    ({"single": [A, 3]}, "single: This must be a list of Sequence and SpecialToken"),
    ({"single": [{"Sequence": {"id": "A"}}]}, "single: This must be a list of"),
    ({"single": [piece("Sequence", "A", 0.0)]}, "single: This must be a list of"),
    ({"pair": None}, "pair: This must be a list of .*Received: null"),
    (
        {"single": [S, A], "pair": [S, A, B], "special_tokens": {}},
        "special_tokens: The only id of '<s>' must be.* Received: null",
    ),
    (
        {
            "single": [S, A],
            "pair": [S, A, B],
            "special_tokens": {"<s>": {"ids": [0, 1]}},
        },
        r"special_tokens: The only id of '<s>' must be.* Received: \[0, 1\]",
    ),
    (
        {"pair": [A, piece("SpecialToken", "<x>"), B]},
        "pair: A token between two texts must be named.*<x>",
    ),
]


@pytest.mark.parametrize(("changes", "rule"), UNSAYABLE, ids=str)
@pytest.mark.parametrize("make", [byte_bpe, wordpiece], ids=["byte_bpe", "wordpiece"])
def test_a_template_without_an_equivalent_layout_is_refused_with_the_reason(
    tmp_path, make, changes, rule
):
    processor = {"type": "TemplateProcessing", "single": [A], "pair": [A, B]}
    processor |= {"special_tokens": TOKENS, **changes}
    content = json.loads(make(template("$A", "$A $B:1")).to_str())
    content["post_processor"] = processor
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=f"json: post_processor.{rule}") as raised:
        tokenizer_from_preset(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_token_without_a_free_role_is_refused(tmp_path):
    names = {"cls_token": "<x>", "bos_token": "</s>"}
    with pytest.raises(TokenizerError, match="post_processor.single: The token '<s>'"):
        saved(byte_bpe(template("<s> $A", "<s> $A $B:1")), tmp_path, names)


@pytest.mark.parametrize("processors", [[SPACES], [SPACES, SPACES], 3, [{}, {}]])
def test_a_sequence_of_other_processors_is_refused(tmp_path, processors):
    content = json.loads(byte_bpe(template("$A", "$A $B:1")).to_str())
    content["post_processor"] = {"type": "Sequence", "processors": processors}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match="post_processor: This must be .*Template"):
        tokenizer_from_preset(tmp_path)


LETTERS = sorted(CHARACTERS)
DECODER = Layout("start", repeats_first=True)


@pytest.fixture
def decoders_tokenizer():
    return ByteBPETokenizer(
        ["<s>", *LETTERS, "</s>"],
        [],
        start_token="<s>",
        end_token="</s>",
        layout=DECODER,
    )


def test_a_layout_survives_keras_serialization_copy_and_pickle(decoders_tokenizer):
    through_keras = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(decoders_tokenizer)))
    )
    for other in (
        through_keras,
        copy.deepcopy(decoders_tokenizer),
        pickle.loads(pickle.dumps(decoders_tokenizer)),
    ):
        assert other.layout == DECODER
        assert other.encode("a", "b") == decoders_tokenizer.encode("a", "b")
        assert other.get_config() == decoders_tokenizer.get_config()


def test_the_default_layout_is_not_in_the_config(decoders_tokenizer):
    tokenizer = WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "a"])
    assert {"layout", "start_token"}.isdisjoint(tokenizer.get_config())
    assert tokenizer.with_layout(tokenizer.usual_layout) is tokenizer
    only_last = tokenizer.with_layout(Layout(last="sep"))
    assert only_last.encode("a").token_ids == [3, 2]
    assert tokenizer.encode("a").token_ids == [1, 3, 2]
    usual = only_last.with_layout(tokenizer.usual_layout)
    assert usual.get_config() == tokenizer.get_config()


def test_training_puts_the_start_token_first():
    tokenizer = ByteBPETokenizer.train(
        ["ab ab"], vocabulary_size=259, start_token="<s>", progress=False
    )
    assert tokenizer.vocabulary[0] == "<s>" and tokenizer.start_id == 0
    assert tokenizer.layout == Layout()
    assert tokenizer.detokenize([0, *tokenizer.tokenize("ab")]) == "ab"


@pytest.mark.parametrize(
    ("layout", "error", "rule"),
    [
        (Layout("cls"), TokenizerError, "must contain the cls token for this"),
        (Layout("bos"), ValueError, "among 'cls', 'sep', 'start', 'end'.*'bos'"),
        (Layout("mask"), ValueError, "among 'cls', 'sep', 'start', 'end'.*'mask'"),
        ({"first": "start"}, ValueError, "layout must be a Layout. Received: {'first'"),
    ],
)
def test_a_layout_unsupported_by_the_tokenizer_is_refused(layout, error, rule):
    with pytest.raises(error, match=rule):
        ByteBPETokenizer(LETTERS, [], layout=layout)
    with pytest.raises(ValueError, match="among 'cls', 'sep'. Received: 'start'"):
        WordPieceTokenizer(["[UNK]"], layout=Layout("start"))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"second_segment": 2}, "must be 0 or 1. Received: second_segment=2"),
        ({"repeats_first": True}, "requires a first token.*first=None"),
    ],
)
def test_an_invalid_layout_is_refused(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        Layout(**arguments)


def test_a_layout_is_printed_in_order():
    assert str(Layout("cls", "sep", between=("sep",))) == (
        "cls a sep, cls a sep b:1 sep:1"
    )
    assert str(DECODER) == "start a, start a start:1 b:1"
    assert str(Layout(second_segment=0)) == "a, a b"


def test_a_repeated_token_in_segment_0_equals_a_token_between():
    repeated = Layout("start", repeats_first=True, second_segment=0)
    assert repeated == Layout("start", between=("start",), second_segment=0)
