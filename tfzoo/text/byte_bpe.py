"""GPT-2's tokenizer, byte-level byte-pair encoding: text to ids and back.

Text is split into words by a pattern, and of the bytes of every word neighbours are
merged: first the pair that was learned first, and so on. Every text has ids, none is
unknown, and they give back the text.

Source: Radford et al. 2019, section 2.2, and its `encoder.py`,
https://github.com/openai/gpt-2; merging: Sennrich et al. 2016, section 3.2,
https://arxiv.org/abs/1508.07909
"""

import operator

import keras
import numpy as np

from tfzoo.errors import TokenizerError
from tfzoo.text import byte_alphabet, byte_bpe_check, byte_bpe_files, byte_bpe_training
from tfzoo.text.byte_bpe_rust import ByteBPERust
from tfzoo.text.text_stream import TextStream

END_TOKEN = "<|endoftext|>"


@keras.saving.register_keras_serializable("tfzoo")
class ByteBPETokenizer:
    """Text to byte-level BPE ids and back, by `tokenizers` or in a TensorFlow graph.

    Special tokens in a text are plain text. Bytes are read as UTF-8, what is invalid as
    `decode("utf-8", "replace")` reads it.

    Args:
        vocabulary: Tokens in the order of their ids, bytes written as `byte_alphabet`
            writes them; None for an id that no token has.
        merges: Pairs of tokens, the first learned first.
        end_token: Token that ends a text; the vocabulary may lack it.
        special_tokens: Further tokens that never come from a text.

    Attributes:
        vocabulary: Tuple of tokens and None.
        merges: Tuple of pairs.
        end_id: Id of the end token, None if the vocabulary lacks it.
        special_tokens: Tuple, the end token first if it is there.
        special_ids: Tuple of their ids.

    Raises:
        TokenizerError: a byte has no token, a token stands twice or is not text; a
            merge joins what no earlier merge made, or makes what another makes; or a
            special token is missing or comes from text.
    """

    def __init__(self, vocabulary, merges, *, end_token=END_TOKEN, special_tokens=()):
        self.vocabulary = tuple(vocabulary)
        self.merges = tuple(map(tuple, merges))
        self._ids = byte_bpe_check.check_vocabulary(self.vocabulary)
        byte_bpe_check.check_merges(self.merges, self._ids)
        self.end_token, self.end_id = end_token, self._ids.get(end_token)
        first = () if self.end_id is None else (end_token,)
        self.special_tokens = tuple(dict.fromkeys([*first, *special_tokens]))
        byte_bpe_check.check_special(self.special_tokens, self.merges, self._ids)
        self.special_ids = tuple(self._ids[token] for token in self.special_tokens)
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
        progress=True,
    ):
        """A tokenizer whose merges are learned from text, always the same ones.

        As in GPT-2, the 256 bytes come first, then what merging frequent neighbours
        makes, and the end token last.

        Args:
            source: Iterable of texts, or list of `pathlib.Path` of text files (UTF-8;
                gzip if their name ends in .gz).
            vocabulary_size: Number of tokens; fewer if the text does not give them.
            min_frequency: How often neighbours must occur to be merged.
            end_token: Token that ends a text.
            progress: Whether progress bars are shown.

        Raises:
            TokenizerError: a file cannot be read, the text is empty, or
                `vocabulary_size` is smaller than bytes and end token.
        """
        merges = byte_bpe_training.train_merges(
            source,
            vocabulary_size=vocabulary_size - 1,
            min_frequency=min_frequency,
            progress=progress,
        )
        letters = sorted(byte_alphabet.CHARACTERS)
        vocabulary = [*letters, *map("".join, merges), end_token]
        return cls(vocabulary, merges, end_token=end_token)

    @classmethod
    def from_preset(cls, directory):
        """Reads tokenizer.json, else vocab.json and merges.txt, else OpenAI's files.

        OpenAI's are encoder.json and vocab.bpe. tokenizer_config.json is read, too.

        Raises:
            TokenizerError: a file is missing, broken or not GPT-2's byte-level BPE.
        """
        return cls(**byte_bpe_files.read_preset(directory))

    def save_to_preset(self, directory, *, max_sequence_length=None):
        """Writes tokenizer.json, vocab.json, merges.txt and tokenizer_config.json.

        Args:
            directory: An existing directory, where none of these files stands.
            max_sequence_length: The longest text in tokens that the model reads, which
                `transformers` wants to know.

        Raises:
            OutputError: one of the files stands there, or cannot be written.
        """
        byte_bpe_files.write_preset(self, directory, max_sequence_length)

    def get_config(self):
        """Constructor arguments."""
        return {
            "vocabulary": list(self.vocabulary),
            "merges": list(map(list, self.merges)),
            "end_token": self.end_token,
            "special_tokens": list(self.special_tokens),
        }

    @classmethod
    def from_config(cls, config):
        """The tokenizer of a `get_config`."""
        return cls(**config)

    def __reduce__(self):
        return _from_config, (self.get_config(),)

    @property
    def vocabulary_size(self):
        """Number of ids V, those that no token has included."""
        return len(self.vocabulary)

    @property
    def description(self):
        """What a model card says of it."""
        return f"byte-level BPE, {self.vocabulary_size} tokens"

    @property
    def graph(self):
        """The same tokenizer in TensorFlow operations, a `ByteBPEGraph`."""
        if self._graph is None:
            from tfzoo.text.byte_bpe_graph import ByteBPEGraph

            self._graph = ByteBPEGraph(self)
        return self._graph

    def token_to_id(self, token):
        """Id of a token, or None."""
        return self._ids.get(token)

    def id_to_token(self, index):
        """The token of an id, None if no token has it."""
        return self.vocabulary[self._checked(index)]

    def required_id(self, name):
        """Id of the special token "end".

        Raises:
            TokenizerError: the vocabulary lacks it.
        """
        if name != "end":
            raise ValueError(f"name must be 'end'. Received: {name!r}")
        if self.end_id is None:
            raise TokenizerError(
                f"The vocabulary must hold the end token {self.end_token} for this.",
                fix="Add it to the vocabulary, or name the token that stands for it.",
            )
        return self.end_id

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

    def encode_batch(self, texts, *, end_token=False):
        """Many texts, their ids without special tokens one after the other.

        Args:
            texts: Iterable of N texts.
            end_token: Whether the end token, written in a text, is that token.

        Returns:
            An `EncodedTexts`.
        """
        return self._engine.encode_batch(texts, end_token=end_token)

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

    def _checked(self, index):
        index = operator.index(index)
        if not 0 <= index < len(self.vocabulary):
            raise ValueError(
                f"An id must be at least 0 and below the vocabulary's size. Received: "
                f"id={index}, vocabulary_size={len(self.vocabulary)}"
            )
        return index

    def _plain_tokens(self):
        """The token of every id, "" where it adds nothing to a text."""
        special = set(self.special_tokens)
        return ("" if t is None or t in special else t for t in self.vocabulary)


def _from_config(config):
    return ByteBPETokenizer(**config)
