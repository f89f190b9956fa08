"""Byte-level byte-pair encoding, as GPT-2 and RoBERTa have it: text to ids and back.

Text is split into words by a pattern, and of the bytes of every word neighbours are
merged: first the pair that was learned first, and so on. Every text has ids, none is
unknown, and they give back the text. A word has the space before it as its first
letter, written "\u0120".

Source: Radford et al. 2019, section 2.2, and its `encoder.py`,
https://github.com/openai/gpt-2; merging: Sennrich et al. 2016, section 3.2,
https://arxiv.org/abs/1508.07909; RoBERTa: Liu et al. 2019, section 4.4,
https://arxiv.org/abs/1907.11692
"""

import functools
import unicodedata

import keras
import numpy as np

from tfzoo.text.byte_bpe import asset_files, byte_alphabet, rules, training
from tfzoo.text.byte_bpe.asset_files import END_TOKEN
from tfzoo.text.byte_bpe.rust import ByteBPERust
from tfzoo.text.layout import Layout
from tfzoo.text.text_stream import TextStream
from tfzoo.text.tokenizer import AROUND_TEXTS, Tokenizer


@keras.saving.register_keras_serializable("tfzoo")
class ByteBPETokenizer(Tokenizer):
    """Text to byte-level BPE ids and back, by `tokenizers` or in a TensorFlow graph.

    Special tokens in a text are plain text. Bytes are read as UTF-8, what is invalid as
    `decode("utf-8", "replace")` reads it.

    GPT-2 has an end token alone; RoBERTa has `**ROBERTA_TOKENS`; Llama has a start
    token, too.

    Args:
        vocabulary: Tokens in the order of their ids, bytes written as `byte_alphabet`
            writes them; None for an id that no token has.
        merges: Pairs of tokens, the first learned first.
        end_token: Token that ends a text; the vocabulary may lack it.
        start_token: Token that begins a text of a decoder, or None if that is the end
            token; the vocabulary may lack it.
        special_tokens: Further tokens that never come from a text.
        pad_token: Token that fills the end of a short text, or None; the vocabulary may
            lack it. Likewise the next four.
        unknown_token: Token of what is unknown, which nothing is.
        cls_token: Token before a text.
        sep_token: Token after a text.
        mask_token: Token of a masked word.
        mask_lstrip: Whether a mask token that is read in a text takes the white space
            before it, as published RoBERTa models do.
        add_prefix_space: Whether a text gets a space before it if it has none, so that
            its first word is one like any other.
        layout: The `Layout` of special tokens around texts. None means
            <s> a </s></s> b </s>, all in segment 0, if there are a cls and a sep token,
            and no special tokens otherwise.

    Attributes:
        vocabulary: Tuple of tokens and None.
        merges: Tuple of pairs.
        end_id: Id of the end token, None if the vocabulary lacks it. Likewise
            `start_id`, `pad_id`, `unknown_id`, `cls_id`, `sep_id`, `mask_id`.
        special_tokens: Tuple of all special tokens that are there, the end token first.
        special_ids: Tuple of their ids.
        special: bool (V,) True for these.
        continues: bool (V,) True for a token that continues a word, see there.

    Raises:
        TokenizerError: a byte has no token, a token stands twice or is not text; a
            merge joins what no earlier merge made, or makes what another makes; or a
            special token is missing or comes from text.
    """

    special_names = (*AROUND_TEXTS, "start", "end")

    def __init__(
        self,
        vocabulary,
        merges,
        *,
        end_token=END_TOKEN,
        start_token=None,
        special_tokens=(),
        pad_token=None,
        unknown_token=None,
        cls_token=None,
        sep_token=None,
        mask_token=None,
        mask_lstrip=True,
        add_prefix_space=False,
        layout=None,
    ):
        self.vocabulary = tuple(vocabulary)
        self.merges = tuple(map(tuple, merges))
        ids = rules.check_vocabulary(self.vocabulary)
        rules.check_merges(self.merges, ids)
        around = (pad_token, unknown_token, cls_token, sep_token, mask_token)
        named = (*around, start_token, end_token)
        self._name_tokens(ids, dict(zip(self.special_names, named, strict=True)))
        self._lay_out(layout)
        self.mask_lstrip, self.add_prefix_space = mask_lstrip, add_prefix_space
        named = [token for token in (end_token, *named) if token in ids]
        self.special_tokens = tuple(dict.fromkeys([*named, *special_tokens]))
        rules.check_special(self.special_tokens, self.merges, ids)
        self.special_ids = tuple(ids[token] for token in self.special_tokens)
        self._bytes = tuple(map(byte_alphabet.bytes_of, self._plain_tokens()))
        self._engine, self._graph = ByteBPERust(self), None

    @classmethod
    def train(
        cls,
        source,
        *,
        vocabulary_size,
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
        """A tokenizer whose merges are learned from text, always the same ones.

        As in GPT-2, the 256 bytes come first, then what merging frequent neighbours
        makes, and the end token last. As in RoBERTa (`**ROBERTA_TOKENS`), the special
        tokens come before the bytes, <s>, <pad>, </s>, <unk>, and the mask token last.
        A start token comes first of all.

        Args:
            source: Iterable of texts, or list of `pathlib.Path` of text files (UTF-8;
                gzip if their name ends in .gz).
            vocabulary_size: Number of tokens; fewer if the text does not give them.
            min_frequency: How often neighbours must occur to be merged.
            end_token: Token that ends a text.
            start_token: Token that begins a text; None: there is none.
            pad_token: As for the constructor, likewise the next four.
            unknown_token: None: there is none.
            cls_token: None: there is none.
            sep_token: None: there is none.
            mask_token: None: there is none.
            progress: Whether progress bars are shown.

        Raises:
            TokenizerError: a file cannot be read, the text is empty, or
                `vocabulary_size` is smaller than bytes and special tokens.
        """
        first = [start_token, cls_token, pad_token, sep_token, unknown_token]
        first = [token for token in dict.fromkeys(first) if token is not None]
        last = [t for t in (end_token, mask_token) if t is not None and t not in first]
        merges = training.train_merges(
            source,
            vocabulary_size=vocabulary_size,
            num_special=len(first) + len(last),
            min_frequency=min_frequency,
            progress=progress,
        )
        letters = sorted(byte_alphabet.CHARACTERS)
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
        )

    @classmethod
    def from_preset(cls, directory):
        """Reads tokenizer.json, else vocab.json and merges.txt, else OpenAI's files.

        OpenAI's are encoder.json and vocab.bpe. tokenizer_config.json is read, too.

        Raises:
            TokenizerError: a file is missing, broken or not byte-level BPE as GPT-2
                and RoBERTa have it.
        """
        return cls(**asset_files.read_preset(directory))

    def save_to_preset(self, directory, *, max_sequence_length=None):
        """Writes tokenizer.json, vocab.json, merges.txt and tokenizer_config.json.

        Args:
            directory: An existing directory, where none of these files stands.
            max_sequence_length: The longest text in tokens that the model reads, which
                `transformers` wants to know.

        Raises:
            OutputError: one of the files stands there, or cannot be written.
        """
        asset_files.write_preset(self, directory, max_sequence_length)

    def get_config(self):
        """Constructor arguments.

        The start token and the layout are left out by default, so that the fingerprint
        of tokenized text stays valid.
        """
        tokens = {f"{n}_token": getattr(self, f"{n}_token") for n in self.special_names}
        if self.start_token is None:
            del tokens["start_token"]
        return {
            "vocabulary": list(self.vocabulary),
            "merges": list(map(list, self.merges)),
            "special_tokens": list(self.special_tokens),
            **tokens,
            "mask_lstrip": self.mask_lstrip,
            "add_prefix_space": self.add_prefix_space,
            **self._layout_config(),
        }

    @property
    def description(self):
        """What a model card says of it."""
        return f"byte-level BPE, {self.vocabulary_size} tokens"

    @property
    def graph(self):
        """The same tokenizer in TensorFlow operations, a `ByteBPEGraph`."""
        if self._graph is None:
            from tfzoo.text.byte_bpe.graph import ByteBPEGraph

            self._graph = ByteBPEGraph(self)
        return self._graph

    @property
    def usual_layout(self):
        """The default `Layout` of texts."""
        if self.cls_token is None or self.sep_token is None:
            return Layout()
        return Layout("cls", "sep", between=("sep", "sep"), second_segment=0)

    @functools.cached_property
    def continues(self):
        """bool (V,) True for a token that continues a word, for masking whole words.

        It begins with a letter, a mark or a number, or in the middle of a character.
        White space begins a word, and punctuation and other symbols do: of " don't."
        the words are " don", "'t" and ".".
        """
        return np.array(list(map(_continues, self._bytes)))

    def token_text(self, index):
        """How a token reads by itself: " fox", and special tokens as they are written.

        What is not UTF-8 is read as `decode("utf-8", "replace")` reads it; an id that
        no token has gives nothing.
        """
        token = self.id_to_token(index)
        if token is None or token in self.special_tokens:
            return token or ""
        return self._bytes[index].decode("utf-8", "replace")

    def tokenize(self, text, *, end_token=False):
        """Ids without special tokens.

        Args:
            text: A text (str or bytes), or an iterable of texts.
            end_token: Whether the end token, written in a text, is that token.

        Returns:
            List of ids, or list of such lists.
        """
        if isinstance(text, str | bytes):
            return next(self._engine.tokenize([text], end_token=end_token))
        return list(self._engine.tokenize(text, end_token=end_token))

    def tokenize_batch(self, texts, *, end_token=False):
        """Many texts, their ids without special tokens one after the other.

        Args:
            texts: Iterable of N texts.
            end_token: Whether the end token, written in a text, is that token.

        Returns:
            A `TokenizedTexts`.
        """
        return self._engine.tokenize_batch(texts, end_token=end_token)

    def detokenize(self, ids):
        """Text of ids; special tokens and ids that no token has add nothing.

        Bytes that are not UTF-8 are read as `decode("utf-8", "replace")` reads them.

        Args:
            ids: Ids of one text, or an iterable of such; lists or arrays.

        Returns:
            A text, or a list of texts.
        """
        ids = list(ids)
        if ids and np.ndim(ids[0]):
            return [self.detokenize(row) for row in ids]
        return self.bytes_of(ids).decode("utf-8", "replace")

    def bytes_of(self, ids):
        """The bytes of an id or of an iterable of ids, be they UTF-8 or not."""
        ids = [ids] if np.ndim(ids) == 0 else ids
        return b"".join(self._bytes[self._checked(index)] for index in ids)

    def stream(self):
        """A `TextStream`, which gives the text of ids as they come."""
        return TextStream(self)

    def _plain_tokens(self):
        """The token of every id, "" where it adds nothing to a text."""
        special = set(self.special_tokens)
        return ("" if t is None or t in special else t for t in self.vocabulary)


def _continues(content):
    first = content.decode("utf-8", "replace")[:1]
    return first == "\ufffd" or (
        first != "" and unicodedata.category(first)[0] in "LMN"
    )
