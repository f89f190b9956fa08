"""A model card is a table of facts, whatever the names in it are."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.checkpoints.preset_files import model_card

HOSTILE = "<img src=x onerror=alert(1)> [a](javascript:b) **c** `d` | e\n# f"


def rows(card):
    """The cells of the table rows of a card, as a reader of Markdown sees them."""
    lines = [line for line in card.split("\n") if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    plain = [
        [re.sub(r"\\(.)", r"\1", html.unescape(c)).strip() for c in r] for r in cells
    ]
    return {name: value for name, value in plain}


def card_of(**facts):
    return model_card("Title", model_type="toy", facts=facts)


def test_no_value_is_html_a_link_or_another_row():
    card = card_of(labels=HOSTILE, sizes=3)
    assert "<img" not in card and "\n# f" not in card
    assert not re.search(r"(?<!\\)\]\(", card)
    assert rows(card)["labels"] == " ".join(HOSTILE.split())
    assert rows(card)["sizes"] == "3"
    card = model_card("Title", model_type="toy", facts={}, metrics={HOSTILE: 1.0})
    assert "<img" not in card and rows(card)[" ".join(HOSTILE.split())] == "1"


@given(value=st.text(st.characters(codec=None)))
def test_any_label_is_one_row(value):
    card = card_of(labels=value, end="here")
    assert [*rows(card)][-2:] == ["labels", "end"]
    assert not {"\x1b", "\u202e", "\u2028", "<"} & {*card}
    card.encode("utf-8")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-12, "1e-12"), (1e-05, "1e-05"), (0.1, "0.1"), (0.93214567, "0.932146")],
)
def test_a_small_number_is_not_zero(value, text):
    assert rows(card_of(layer_norm_eps=value))["layer_norm_eps"] == text
