"""Learns the merges of a byte-level BPE from text, deterministically.

`tokenizers` merges the most frequent pair of neighboring tokens until the vocabulary is
full (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909). All 256 bytes are tokens
from the start, in the order of their characters, so that equally frequent pairs are
merged in the same order in every process.
"""

from tokenizers import Tokenizer, models, pre_tokenizers
from tqdm import tqdm

from tfzoo.errors import TokenizerError, require_whole
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.trainer_process import trained
from tfzoo.text.training_text import passages, texts_of
from tfzoo.text.training_words import LongWords


def train_merges(source, *, vocabulary_size, num_special, min_frequency, progress):
    """Pairs of tokens in the order of their ranks; see `ByteBPETokenizer.train`.

    Args:
        source: Iterable of texts, or of `pathlib.Path` of text files.
        vocabulary_size: Total number of bytes, merges and special tokens.
        num_special: Number of special tokens.
        min_frequency: Minimum frequency of a pair of neighbors to be merged.
        progress: Whether progress bars are shown, if stderr is a terminal.
    """
    require_whole("vocabulary_size", vocabulary_size, 1)
    require_whole("min_frequency", min_frequency, 0)
    smallest = len(CHARACTERS) + num_special
    if vocabulary_size < smallest:
        raise TokenizerError(
            f"vocabulary_size must be at least {smallest}, for the bytes and the "
            f"special tokens. Received: vocabulary_size={vocabulary_size}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = {
        "vocab_size": vocabulary_size - num_special,
        "min_frequency": min_frequency,
        "show_progress": progress,
        "special_tokens": [],
        "initial_alphabet": pre_tokenizers.ByteLevel.alphabet(),
    }
    texts = tqdm(
        texts_of(source, join=passages),
        "words",
        disable=None if progress else True,
        unit=" texts",
    )
    num_characters = 0

    def counted():
        nonlocal num_characters
        for text in texts:
            num_characters += len(text)
            yield text

    long_words = LongWords(tokenizer.pre_tokenizer.pre_tokenize_str)
    result = trained(tokenizer, ("BpeTrainer", trainer), long_words.cut(counted()))
    long_words.tell("cut")
    if not num_characters:
        raise TokenizerError("The text to train the tokenizer on must not be empty.")
    return [tuple(pair) for pair in result["model"]["merges"]]
