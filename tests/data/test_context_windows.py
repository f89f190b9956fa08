import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from tfzoo.data.context_windows import answer_targets, encode_windows
from tfzoo.text import Layout, WordPieceTokenizer
from tfzoo.text.wordpiece.rust import rust_tokenizer

WORDS = "ab cd ef gh ij kl".split()
TOKENIZER = WordPieceTokenizer(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "a", "##b", "?"]
)


def template(single, rest):
    return TemplateProcessing(
        single=single,
        pair=f"[CLS] $A {rest}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )


LAYOUTS = {  # and the same in `tokenizers`
    "bert": (
        Layout("cls", "sep", between=("sep",)),
        template("[CLS] $A [SEP]", "[SEP] $B:1 [SEP]:1"),
    ),
    # Its templates set the segments of the first window alone.
    "roberta": (
        Layout("cls", "sep", between=("sep", "sep"), second_segment=0),
        RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
    ),
    "repeated": (
        Layout("cls", repeats_first=True),
        template("[CLS] $A", "[CLS]:1 $B:1"),
    ),
    "between": (Layout("cls", between=("sep",)), template("[CLS] $A", "[SEP] $B:1")),
}


def windows_of(
    questions,
    contexts,
    max_length=16,
    max_question_length=6,
    stride=3,
    tokenizer=TOKENIZER,
):
    return encode_windows(
        questions,
        contexts,
        tokenizer,
        max_length=max_length,
        max_question_length=max_question_length,
        stride=stride,
    )


def rows_of(encoded):
    splits = encoded.row_splits[1:-1]
    return [np.split(x, splits) for x in (encoded.token_ids, encoded.segment_ids)]


@pytest.mark.parametrize("name", LAYOUTS)
@given(
    st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join),
    st.integers(0, 6),
)
def test_windows_are_those_of_tokenizers(name, question, context, stride):
    theirs = rust_tokenizer(TOKENIZER)
    layout, theirs.post_processor = LAYOUTS[name]
    room = 16 - len(question.split()) - layout.num_special(2)
    assume(stride < room)  # theirs panics, ours refuses
    theirs.enable_truncation(16, stride=stride, strategy="only_second")
    first = theirs.encode(question, context)
    tokenizer = TOKENIZER.with_layout(layout)
    windows = windows_of([question], [context], stride=stride, tokenizer=tokenizer)
    ids, segments = rows_of(windows.encoded)
    both = [first, *first.overflowing]
    assert [list(row) for row in ids] == [e.ids for e in both]
    assert [list(row) for row in segments] == [e.type_ids for e in both]


def test_every_context_token_is_where_its_window_says():
    contexts = ["ab cd ef gh ij kl " * 5, "ab", ""]
    windows = windows_of(["ab ?", "cd " * 20, "?"], contexts)
    ids, _ = rows_of(windows.encoded)
    assert windows.question.tolist() == sorted(windows.question.tolist())
    assert set(windows.question.tolist()) == {0, 1, 2}
    for row, (n, offset, first, count) in zip(
        ids, zip(*windows[1:5], strict=True), strict=True
    ):
        own = windows.contexts[n].ids[first : first + count]
        np.testing.assert_array_equal(row[offset : offset + count], own)
        assert len(row) == offset + count + 1 <= 16


def test_an_answer_is_found_in_every_window_that_holds_all_of_it():
    context = " ".join(WORDS * 4)
    start = context.index("gh ij", 20)
    windows = windows_of(["ab ?"] * 2, [context] * 2)
    targets = answer_targets(windows, [(start, start + 5), None])
    ids, _ = rows_of(windows.encoded)
    token = int(np.searchsorted(windows.contexts[0].starts, start))
    found = 0
    for row, target, n, first, count in zip(
        ids, targets, windows.question, windows.first, windows.count, strict=True
    ):
        holds = n == 0 and first <= token and token + 1 < first + count
        found += holds
        if holds:
            pieces = row[target[0] : target[1] + 1]
            assert [TOKENIZER.id_to_token(i) for i in pieces] == ["gh", "ij"]
        else:
            assert target.tolist() == [0, 0]
    assert found >= 1


@pytest.mark.parametrize(
    ("span", "tokens"), [((0, 2), (4, 4)), ((1, 4), (4, 5)), ((2, 3), (0, 0))]
)
def test_an_answer_includes_every_token_it_touches(span, tokens):
    windows = windows_of(["ab ?"], ["ab cd ef"])
    assert tuple(answer_targets(windows, [span])[0]) == tokens
