"""Learns a WordPiece vocabulary from text, deterministically.

`tokenizers` merges the most frequent pair of neighboring tokens until the vocabulary is
full (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909). Among equally frequent
pairs it takes the one with the lowest ids, but it numbers characters in the order of a
hash table, which differs between processes. Therefore characters are counted here
first, and passed to it in a fixed order.
"""

import collections
import contextlib
import tempfile

from tokenizers import Tokenizer, models, pre_tokenizers
from tqdm import tqdm

from tfzoo.errors import TokenizerError, require_whole
from tfzoo.text.trainer_process import trained
from tfzoo.text.training_text import check_source, texts_of
from tfzoo.text.training_words import LongWords
from tfzoo.text.wordpiece.rust import PREFIX

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_vocabulary(
    source, normalizer, *, vocabulary_size, min_frequency, alphabet_size, progress
):
    """The tokens in the order of their ids; see `WordPieceTokenizer.train`."""
    require_whole("vocabulary_size", vocabulary_size, 1)
    require_whole("min_frequency", min_frequency, 0)
    require_whole("alphabet_size", alphabet_size, 1)
    with _readable_twice(source) as read:
        alphabet = _alphabet(
            tqdm(
                read(), "characters", disable=None if progress else True, unit=" texts"
            ),
            normalizer,
            alphabet_size,
        )
        fixed = [*SPECIAL_TOKENS, *alphabet, *_continuing(alphabet, normalizer)]
        if vocabulary_size < len(fixed):
            raise TokenizerError(
                f"vocabulary_size must be at least {len(fixed)} for "
                f"{len(alphabet)} different characters. Received: "
                f"vocabulary_size={vocabulary_size}.",
                fix="Raise it, or lower alphabet_size.",
            )
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = {
            "vocab_size": vocabulary_size,
            "min_frequency": min_frequency,
            "show_progress": progress,
            "special_tokens": fixed,
            "initial_alphabet": alphabet,
            "limit_alphabet": len(alphabet),
            "continuing_subword_prefix": PREFIX,
        }
        long_words = LongWords(tokenizer.pre_tokenizer.pre_tokenize_str)
        texts = tqdm(read(), "words", disable=None if progress else True, unit=" texts")
        texts = long_words.left_out(texts, normalizer.normalize_str)
        result = trained(tokenizer, ("WordPieceTrainer", trainer), texts)
        long_words.tell("left out")
    ids = result["model"]["vocab"]
    return sorted(ids, key=ids.get)


def _alphabet(texts, normalizer, size):
    """The most frequent characters of normalized words, in Unicode order."""
    raw, counts = collections.Counter(), collections.Counter()
    for text in texts:
        raw.update(text)
    for character, count in raw.items():
        for part in normalizer.normalize_str(character):
            counts[part] += count
    for space in [part for part in counts if part.isspace()]:
        del counts[space]
    if not counts:
        raise TokenizerError("The text to train the tokenizer on must contain words.")
    return sorted(sorted(counts, key=lambda c: (-counts[c], c))[:size])


def _continuing(alphabet, normalizer):
    """Tokens for the characters that can continue a word."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = {c: split(normalizer.normalize_str(f"a{c}a")) for c in alphabet}
    return [PREFIX + c for c in alphabet if len(words[c]) == 1]


@contextlib.contextmanager
def _readable_twice(source):
    """Yields a function that iterates over the texts of `source` from the start."""
    check_source(source)
    if iter(source) is not source:
        yield lambda: texts_of(source)
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n") as copy:
        for text in texts_of(source):
            copy.write(text.replace("\n", " ") + "\n")

        def read():
            copy.seek(0)
            return iter(copy)

        yield read
