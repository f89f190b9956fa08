"""OpenAI's file of CLIP's merges, from which the vocabulary follows.

Source: `simple_tokenizer.py` of Radford et al. 2021, https://github.com/openai/CLIP
"""

import itertools

from tfzoo.errors import TokenizerError
from tfzoo.text.byte_bpe.byte_alphabet import letters
from tfzoo.text.lines import numbered_lines

NAME = "bpe_simple_vocab_16e6.txt.gz"
SPECIAL_TOKENS = ["<|startoftext|>", "<|endoftext|>"]
SUFFIX = "</w>"
_NUM_MERGES = 49152 - 256 - 2  # the file has more


def read_clip_file(path):
    """The vocabulary and the merges: lists of tokens and of pairs of tokens.

    Raises:
        TokenizerError: the file is not UTF-8 or not gzip data.
    """
    lines = itertools.islice(numbered_lines(path, TokenizerError), 1, _NUM_MERGES + 1)
    merges = [tuple(line.rstrip("\r\n").split(" ")) for _, line in lines]
    made = map("".join, merges)
    return list(dict.fromkeys([*letters(SUFFIX), *made, *SPECIAL_TOKENS])), merges
