"""A long text is tokenized in pieces with the same results."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer, in_parts

LINES = ["the dog runs fast.", "a cat sleeps, a dog's run isn't it?"] * 5
PARTS = [
    b"dog",
    b" ",
    b"  ",
    b" cat",
    b"\n",
    b"'s",
    b"[MASK]",
    b" [MASK] ",
    b"e\xcc\x81",
]
PARTS += [
    b"\xe2\x82",
    b"\xff",
    b"\xe3\x80\x80",
    b"!",
    b"\0",
    b"\xe7\x8b\x97",
    b"\xc2\xa0",
]
TEXTS = st.lists(st.sampled_from(PARTS), min_size=12, max_size=60).map(b"".join)
STRINGS = [tf.TensorSpec([None], tf.string)]


def byte_bpe(**options):
    names = {name: f"<{name}>" for name in ("pad", "unknown", "cls", "sep")}
    tokens = {f"{name}_token": token for name, token in names.items()}
    tokenizer = ByteBPETokenizer.train(
        LINES, vocabulary_size=300, mask_token="[MASK]", progress=False, **tokens
    )
    return ByteBPETokenizer.from_config({**tokenizer.get_config(), **options})


@pytest.fixture(
    scope="module",
    params=[
        "wordpiece",
        "byte_bpe",
        "with_space",
        pytest.param("lstrip", marks=pytest.mark.slow),
    ],
)
def engine(request):
    """The functions of a graph engine, and the same with pieces of 8 bytes."""
    tokenizer = {
        "wordpiece": lambda: WordPieceTokenizer.train(
            LINES, vocabulary_size=70, progress=False
        ),
        "byte_bpe": byte_bpe,
        "with_space": lambda: byte_bpe(add_prefix_space=True),
        "lstrip": lambda: byte_bpe(mask_lstrip=True),
    }[request.param]()
    graph, patch = tokenizer.graph, pytest.MonkeyPatch()
    patch.setattr(in_parts, "PIECE", 8)
    pieces = {
        "ids": lambda texts: graph.in_bounds(texts),
        "mask": lambda texts: graph.in_bounds(texts, "mask"),
        "places": graph.places_in_bounds,
    }
    traced = {
        name: tf.function(function, input_signature=STRINGS).get_concrete_function()
        for name, function in pieces.items()
    }
    patch.undo()
    whole = {
        "ids": graph,
        "mask": graph._tokenize_with_mask,
        "places": graph.places,
    }
    return whole, traced


@given(text=TEXTS)
def test_pieces_have_the_ids_and_offsets_of_the_whole_text(engine, text):
    whole, pieces = engine
    for name, function in whole.items():
        expected, found = (
            function(tf.constant([text])),
            pieces[name](tf.constant([text])),
        )
        if name != "places":
            expected, found = {name: expected}, {name: found}
        for key, value in expected.items():
            assert found[key].to_list() == value.to_list(), (name, key)


def test_a_text_is_split_only_after_printable_characters():
    seen = []

    def note(texts):
        seen.append(texts[0].numpy())
        return {"texts": texts}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_parts, "PIECE", 4)
        text = b"dog cat  mouse\xc3\xa9 \xff a b c d " + b"x" * 20
        in_parts.in_pieces(note, tf.constant(text))
    assert seen == [
        b"dog cat",
        b"  mouse\xc3\xa9 \xff a",
        b" b c",
        b" d " + b"x" * 20,
    ]
