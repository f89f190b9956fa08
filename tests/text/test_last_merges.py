"""The merges that are possible, against byte-pair encoding in plain Python."""

import itertools
import random

import numpy as np
import pytest

from tfzoo.text.sentencepiece.last_merges import possible_merges


def merges_made(text, rank_of):
    """Triples of (left, right, piece) that merging `text` makes, in order."""
    parts, made = list(text), []
    while True:
        pairs = [
            (rank_of[a + b], place)
            for place, (a, b) in enumerate(itertools.pairwise(parts))
            if a + b in rank_of
        ]
        if not pairs:
            return made
        _, place = min(pairs)
        a, b = parts[place : place + 2]
        made.append((a, b, a + b))
        parts[place : place + 2] = [a + b]


def found(pieces, ranks):
    symbols = {piece: index for index, piece in enumerate(pieces)}
    for character in sorted({*"".join(pieces)}):
        symbols.setdefault(character, len(symbols))
    names = {index: text for text, index in symbols.items()}
    left, right, made = possible_merges(pieces, symbols, np.array(ranks))
    return {
        (names[a], names[b], pieces[z])
        for a, b, z in zip(left.tolist(), right.tolist(), made.tolist(), strict=True)
    }


@pytest.mark.parametrize("seed", range(8))
def test_every_merge_that_a_text_makes_is_possible(seed):
    source = random.Random(seed)
    words = ["".join(source.choices("abc", k=source.randint(2, 6))) for _ in range(40)]
    pieces = list(dict.fromkeys([*"abc", *words]))
    ranks = [source.randint(0, 15) for _ in pieces]  # with equals
    rank_of = {p: rank for p, rank in zip(pieces, ranks, strict=True) if len(p) > 1}
    possible = found(pieces, ranks)
    for length in range(2, 8):
        for letters in itertools.product("abc", repeat=length):
            assert possible.issuperset(merges_made("".join(letters), rank_of))
    made_by = {piece: [m for m in possible if m[2] == piece] for piece in pieces}
    for piece, merges in made_by.items():
        assert len(merges) <= 1, piece
        own = merges_made(piece, rank_of)
        several = sum(
            piece[:i] in {*pieces} and piece[i:] in {*pieces}
            for i in range(1, len(piece))
        )
        if several > 1:  # the others are not followed
            ends = own and own[-1][2] == piece
            assert merges == ([own[-1]] if ends else []), piece


def test_a_piece_is_made_by_its_last_merge_or_never():
    pieces = ["a", "b", "c", "d", "ab", "bc", "abc", "cd", "bcd", "abcd", "da", "dab"]
    ranks = [9, 9, 9, 9, 1, 5, 2, 0, 3, 4, 6, 7]
    possible = found(pieces, ranks)
    assert {m for m in possible if m[2] == "abc"} == {("ab", "c", "abc")}
    # "cd" is merged first, and then "ab"; "ab" and "cd" are merged last
    assert {m for m in possible if m[2] == "abcd"} == {("ab", "cd", "abcd")}
    # "dab" becomes "d" and "ab"
    assert {m for m in possible if m[2] == "dab"} == {("d", "ab", "dab")}
