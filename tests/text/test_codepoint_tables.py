"""The tables against the normalizer and pre-tokenizer, code point by code point."""

import numpy as np
import pytest
from tokenizers import normalizers, pre_tokenizers

from tfzoo.text.wordpiece import codepoint_tables

ALL = [c for c in range(codepoint_tables.NUM_CODE_POINTS) if not 0xD800 <= c < 0xE000]
SOME = [*range(0x3000), *ALL[0x3000::37], 0x2028, 0xFDFA, 0xFFFD, 0x1D15E, 0x2F800]


def becomes(tables, code_point):
    single = int(tables.single[code_point])
    return [single] if single >= 0 else list(tables.expansions[~single])


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False])
def test_code_points_are_normalized_as_in_the_engine(lowercase, strip_accents):
    tables = codepoint_tables.normalization(
        lowercase=lowercase, strip_accents=strip_accents
    )
    normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=False
    )
    for code_point in SOME:
        expected = list(map(ord, normalizer.normalize_str(chr(code_point))))
        assert becomes(tables, code_point) == expected, hex(code_point)


@pytest.mark.slow
def test_code_points_are_classified_as_in_the_engine():
    tables = codepoint_tables.normalization(lowercase=True, strip_accents=True)
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    ideographs = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    for code_point in ALL:
        num_pieces = len(split(f"a{chr(code_point)}a"))
        assert tables.space[code_point] == (num_pieces == 2), hex(code_point)
        assert tables.punctuation[code_point] == (num_pieces == 3), hex(code_point)
        padded = ideographs.normalize_str(chr(code_point)) == f" {chr(code_point)} "
        assert tables.ideograph[code_point] == padded, hex(code_point)


def test_two_levels_represent_the_table():
    table = np.random.default_rng(0).integers(-5, 5, codepoint_tables.NUM_CODE_POINTS)
    table = np.where(np.arange(len(table)) < 70_000, table, 3).astype(np.int32)
    pages, blocks = codepoint_tables.two_level(table)
    code_points = np.arange(len(table))
    bits = codepoint_tables.BLOCK_BITS
    rebuilt = blocks[pages[code_points >> bits] + code_points % (1 << bits)]
    np.testing.assert_array_equal(rebuilt, table)
    assert len(blocks) < 71_000
    assert pages.dtype == blocks.dtype == np.int32
