"""Learns the merges of a byte-level BPE from text, deterministically.

`tokenizers` merges the most frequent pair of neighboring tokens until the vocabulary is
full (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909). All letters are tokens
from the start, in the order of their characters, so that equally frequent pairs are
merged in the same order in every process.
"""

from tokenizers import models
from tqdm import tqdm

from tfzoo.errors import TokenizerError, about, require_whole
from tfzoo.text.byte_bpe import byte_alphabet, declaration
from tfzoo.text.byte_bpe.asset_files import END_TOKEN
from tfzoo.text.trainer_process import trained
from tfzoo.text.training_text import named_files, passages, texts_of
from tfzoo.text.training_words import LongWords


class LearnsMerges:
    """Mixin of `ByteBPETokenizer`: `train`."""

    @classmethod
    def train(
        cls,
        source,
        *,
        vocabulary_size,
        split="gpt-2",
        normalizer=None,
        end_of_word_suffix="",
        min_frequency=2,
        end_token=END_TOKEN,
        start_token=None,
        pad_token=None,
        unknown_token=None,
        cls_token=None,
        sep_token=None,
        mask_token=None,
        progress=True,
    ):
        """Trains a tokenizer on text; the result is deterministic.

        As in GPT-2, the 256 bytes come first (as in CLIP, also each with the suffix),
        then the results of the merges, and the end token last. As in RoBERTa
        (`**ROBERTA_TOKENS`), the special tokens <s>, <pad>, </s>, <unk> come before the
        bytes, and the mask token last. A start token comes first of all.

        Args:
            source: Iterable of texts, or list of `pathlib.Path` of text files (UTF-8;
                gzip if their name ends in .gz).
            vocabulary_size: Maximum number of tokens; fewer if the text is too small.
            split: As in the constructor. Text is also split like this to train.
            normalizer: As in the constructor; likewise.
            end_of_word_suffix: As in the constructor.
            min_frequency: Minimum frequency of a pair of neighbors to be merged.
            end_token: Token that ends a text.
            start_token: Token that starts a text, or None.
            pad_token: As in the constructor, or None.
            unknown_token: As in the constructor, or None.
            cls_token: As in the constructor, or None.
            sep_token: As in the constructor, or None.
            mask_token: As in the constructor, or None.
            progress: Whether progress bars are shown, if stderr is a terminal.

        Raises:
            TokenizerError: a file cannot be read, the text is empty, or
                `vocabulary_size` is too small for the bytes and special tokens.
        """
        first = [start_token, cls_token, pad_token, sep_token, unknown_token]
        first = [token for token in dict.fromkeys(first) if token is not None]
        last = [t for t in (end_token, mask_token) if t is not None and t not in first]
        declaration.check(split, normalizer, end_of_word_suffix)
        letters = byte_alphabet.letters(end_of_word_suffix)
        with about(named_files(source)):
            merges = train_merges(
                source,
                declaration.rust_without_model(normalizer, split),
                letters,
                vocabulary_size=vocabulary_size,
                num_special=len(first) + len(last),
                min_frequency=min_frequency,
                end_of_word_suffix=end_of_word_suffix,
                progress=progress,
            )
        return cls(
            [*first, *letters, *map("".join, merges), *last],
            merges,
            end_token=end_token,
            start_token=start_token,
            pad_token=pad_token,
            unknown_token=unknown_token,
            cls_token=cls_token,
            sep_token=sep_token,
            mask_token=mask_token,
            split=split,
            normalizer=normalizer,
            end_of_word_suffix=end_of_word_suffix,
        )


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
    """Pairs of tokens in the order of their ranks; see `LearnsMerges.train`.

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
