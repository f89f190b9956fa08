"""Texts that are hard to tokenize, and vocabularies in which mistakes show."""

import gzip
import itertools
import json
import pathlib
import random
import unicodedata

import pytest

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_RANGES = (  # the characters that most rules concern, and how often they are drawn
    (30, 0x20, 0x7E),  # ASCII
    (10, 0xA0, 0x24F),  # Latin with accents
    (12, 0x300, 0x36F),  # combining marks
    (4, 0x590, 0x6FF),  # Hebrew, Arabic
    (4, 0x900, 0xDFF),  # scripts of India: marks that are spacing, or of class 0
    (4, 0x1B00, 0x1BFF),  # Balinese, Batak: spacing marks that are reordered
    (4, 0x1E00, 0x1FFF),  # letters that decompose into several
    (6, 0x2000, 0x206F),  # spaces, joiners, directions, dashes
    (4, 0x4E00, 0x9FFF),  # ideographs
    (3, 0xAC00, 0xD7A3),  # Hangul syllables
    (2, 0xE000, 0xE010),  # private
    (3, 0xF900, 0xFAFF),  # compatibility ideographs
    (4, 0x1D150, 0x1D1FF),  # musical marks
    (4, 0x1E000, 0x1E02A),  # marks newer than the engine's list of them
    (4, 0x1F300, 0x1F9FF),  # emoji
    (8, 0x0, 0xD7FF),
    (4, 0xE000, 0x10FFFF),
)
_SINGLE = "\0\t\n\r\x0b\x7f\x85\xa0\xad\u0130\u0345\u034f\u1680\u180e\u200b\u200d\u2028"
_SINGLE += "\u2029\u202e\u3000\ufb01\ufe0f\ufeff\ufffd\uffff\U0001f468\U0010ffff"
_INVALID = (b"\xff", b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf5\x80", b"\x80")


def hostile_texts(count, seed=0):
    """Texts of 0 to 24 such characters; every tenth is bytes that are not UTF-8."""
    source = random.Random(seed)
    weights = [weight for weight, _, _ in _RANGES]
    texts = []
    while len(texts) < count:
        characters = []
        for _ in range(source.randrange(25)):
            if source.random() < 0.1:
                characters.append(source.choice(_SINGLE))
                continue
            _, first, last = source.choices(_RANGES, weights)[0]
            code_point = source.randint(first, last)
            if not 0xD800 <= code_point < 0xE000:
                characters.append(chr(code_point))
        text = "".join(characters)
        if len(texts) % 10 == 0:
            content = bytearray(text.encode())
            for _ in range(source.randrange(1, 4)):
                place = source.randint(0, len(content))
                content[place:place] = source.choice(_INVALID)
            text = bytes(content)
        texts.append(text)
    return texts


def telling_vocabulary(texts):
    """Special tokens, every character of the texts alone and inside a word, and pairs.

    No character is unknown, so that a wrong one changes the ids.
    """
    texts = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in texts]
    forms = [
        form
        for text in texts
        for form in (text, text.lower(), unicodedata.normalize("NFD", text.lower()))
    ]
    forms += [unicodedata.normalize("NFD", text) for text in texts]
    characters = sorted({c for form in forms for c in form} - {"\n", "\r"})
    pairs = sorted(
        {
            first + second
            for form in forms[:: max(1, len(forms) // 500)]
            for first, second in itertools.pairwise(form)
            if first.isalpha() and second.isalpha()
        }
    )
    tokens = [*characters, *pairs, "the", "ing", "[MASK"]
    return [*SPECIAL_TOKENS, *tokens, *(f"##{token}" for token in tokens)]


@pytest.fixture(scope="session")
def hostile():
    """2,000 hostile texts."""
    return hostile_texts(2000)


@pytest.fixture(scope="session")
def make_hostile():
    """The function `hostile_texts`, to make more of them."""
    return hostile_texts


@pytest.fixture(scope="session")
def make_vocabulary():
    """The function `telling_vocabulary`."""
    return telling_vocabulary


@pytest.fixture(scope="session")
def cased_and_uncased(hostile):
    """Uncased and cased tokenizers with a vocabulary of the hostile texts, by name."""
    from tfzoo.text import WordPieceTokenizer

    vocabulary = telling_vocabulary(hostile)
    return {
        "uncased": WordPieceTokenizer(vocabulary),
        "cased": WordPieceTokenizer(vocabulary, lowercase=False),
    }


@pytest.fixture(scope="session")
def byte_bpe():
    """A `ByteBPETokenizer` with the merges of byte_bpe_vectors.json."""
    from tfzoo.text import ByteBPETokenizer

    vectors = json.loads(
        pathlib.Path(__file__).with_name("byte_bpe_vectors.json").read_text()
    )
    return ByteBPETokenizer(vectors["vocabulary"], vectors["merges"])


@pytest.fixture(scope="session")
def gpt2_directory(shared_data, tmp_path_factory):
    """A directory with GPT-2's own vocab.json and merges.txt."""
    directory = tmp_path_factory.mktemp("gpt2")
    for name in ("vocab.json", "merges.txt"):
        path = shared_data / "vocab" / f"gpt2-{name}.gz"
        if not path.is_file():
            pytest.skip(f"no {path.name} in {shared_data}")
        (directory / name).write_bytes(gzip.decompress(path.read_bytes()))
    return directory


@pytest.fixture(scope="session")
def gpt2(gpt2_directory):
    """GPT-2's own tokenizer."""
    from tfzoo.text import ByteBPETokenizer

    return ByteBPETokenizer.from_preset(gpt2_directory)


@pytest.fixture(scope="session")
def roberta():
    """A `ByteBPETokenizer` with the same merges and RoBERTa's special tokens."""
    from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer

    vectors = json.loads(
        pathlib.Path(__file__).with_name("byte_bpe_vectors.json").read_text()
    )
    first, last = ["<s>", "<pad>", "</s>", "<unk>"], ["madeupword0000", "<mask>"]
    vocabulary = [*first, *vectors["vocabulary"][:-1], *last]
    return ByteBPETokenizer(vocabulary, vectors["merges"], **ROBERTA_TOKENS)
