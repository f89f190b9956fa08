"""Learns the merges of a byte-level BPE from text, deterministically.

`tokenizers` merges the most frequent pair of neighboring tokens until the vocabulary is
full (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909). All letters are tokens
from the start, in the order of their characters, so that equally frequent pairs are
merged in the same order in every process.
"""

from tokenizers import models
from tqdm import tqdm

from tfzoo.errors import TokenizerError, require_whole
from tfzoo.text.trainer_process import trained
from tfzoo.text.training_text import passages, texts_of
from tfzoo.text.training_words import LongWords


def train_merges(
    source,
    tokenizer,
    letters,
    *,
    vocabulary_size,
    num_special,
    min_frequency,
    end_of_word_suffix,
    progress,
):
    """Pairs of tokens in the order of their ranks; see `ByteBPETokenizer.train`.

    Args:
        source: Iterable of texts, or of `pathlib.Path` of text files.
        tokenizer: `tokenizers.Tokenizer` that normalizes and splits texts.
        letters: The tokens that are not made by merges.
        vocabulary_size: Total number of letters, merges and special tokens.
        num_special: Number of special tokens.
        min_frequency: Minimum frequency of a pair of neighbors to be merged.
        end_of_word_suffix: What follows the last byte of a word, or "".
        progress: Whether progress bars are shown, if stderr is a terminal.
    """
    require_whole("vocabulary_size", vocabulary_size, 1)
    require_whole("min_frequency", min_frequency, 0)
    smallest = len(letters) + num_special
    if vocabulary_size < smallest:
        raise TokenizerError(
            f"vocabulary_size must be at least {smallest}, for the bytes and the "
            f"special tokens. Received: vocabulary_size={vocabulary_size}."
        )
    tokenizer.model = models.BPE(end_of_word_suffix=end_of_word_suffix)
    trainer = {
        "vocab_size": vocabulary_size - num_special,
        "min_frequency": min_frequency,
        "show_progress": progress,
        "special_tokens": letters,  # in this order, whichever word is counted first
        "end_of_word_suffix": end_of_word_suffix,
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
