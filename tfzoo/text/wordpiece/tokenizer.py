"""BERT's WordPiece tokenizer: text to ids and back.

Text is cleaned and split at spaces, punctuation and ideographs. Every word is split
into the longest tokens in the vocabulary, from left to right; "##" marks a token that
continues a word. A word for which this fails, or of over 100 characters, is [UNK].

Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805, and its `tokenization.py`
in the version of `tokenizers`; the vocabulary and the name WordPiece: Wu et al. 2016,
section 4.1, https://arxiv.org/abs/1609.08144
"""

import keras
import numpy as np

from tfzoo.errors import about
from tfzoo.text.layout import Layout
from tfzoo.text.tokenizer import AROUND_TEXTS, Tokenizer
from tfzoo.text.training_text import named_files
from tfzoo.text.wordpiece import asset_files, training
from tfzoo.text.wordpiece.rust import (
    PREFIX,
    WordPieceRust,
    after_another,
    bert_normalizer,
)


@keras.saving.register_keras_serializable("tfzoo")
class WordPieceTokenizer(Tokenizer):
    """Text to WordPiece ids and back, with `tokenizers` or in TensorFlow graphs.

    Special tokens in a text are plain text. Bytes are decoded as UTF-8, with invalid
    bytes replaced as in `decode("utf-8", "replace")`.

    `from_preset` reads tokenizer.json or, without it, vocab.txt, and
    tokenizer_config.json if it exists; `save_to_preset` writes all three.

    Args:
        vocabulary: Tokens in the order of their ids.
        lowercase: Whether text is lowercased.
        strip_accents: Whether accents are removed; None for the value of `lowercase`.
        split_cjk: Whether every ideograph is a separate word.
        pad_token: Token for padding.
        unknown_token: Token for a word that cannot be split into tokens; must be in the
            vocabulary.
        cls_token: Token before a text.
        sep_token: Token after a text.
        mask_token: Token for a masked word.
        layout: The `Layout` of special tokens around texts. Defaults to
            [CLS] a [SEP] b [SEP], with b and the last token in segment 1.

    Attributes:
        vocabulary: Tuple of tokens.
        pad_id: Id of the pad token, None if the vocabulary lacks it. Likewise
            `unknown_id`, `cls_id`, `sep_id`, `mask_id`.
        special_ids: Tuple of the ids of the special tokens in the vocabulary.
        special: bool (V,), True for special tokens.
        continues: bool (V,), True for tokens that continue a word.

    Raises:
        TokenizerError: the vocabulary is empty or lacks the unknown token or a token of
            the layout, or a token is a duplicate or not a single line.
    """

    usual_layout = Layout("cls", "sep", between=("sep",))
    _files = asset_files

    def __init__(
        self,
        vocabulary,
        *,
        lowercase=True,
        strip_accents=None,
        split_cjk=True,
        pad_token="[PAD]",
        unknown_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        layout=None,
    ):
        self.vocabulary = tuple(vocabulary)
        asset_files.check_vocabulary(self.vocabulary, unknown_token)
        self.lowercase, self.strip_accents = lowercase, strip_accents
        self.split_cjk = split_cjk
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        tokens = (pad_token, unknown_token, cls_token, sep_token, mask_token)
        self._name_tokens(ids, dict(zip(AROUND_TEXTS, tokens, strict=True)))
        special = [getattr(self, f"{name}_id") for name in AROUND_TEXTS]
        self.special_ids = tuple(index for index in special if index is not None)
        self._lay_out(layout)
        self.continues = np.array([t.startswith(PREFIX) for t in self.vocabulary])
        self._engine, self._graph = WordPieceRust(self), None

    @classmethod
    def train(
        cls,
        source,
        *,
        vocabulary_size,
        lowercase=True,
        strip_accents=None,
        split_cjk=True,
        min_frequency=2,
        alphabet_size=1000,
        progress=True,
    ):
        """Trains a tokenizer on text; the result is deterministic.

        The special tokens get the ids 0 to 4, in the order [PAD], [UNK], [CLS], [SEP],
        [MASK]; then come the characters, then the results of merges.

        Args:
            source: Iterable of texts, or list of `pathlib.Path` of text files (UTF-8;
                gzip if their name ends in .gz).
            vocabulary_size: Maximum number of tokens; fewer if the text is too small.
            lowercase: Whether text is lowercased.
            strip_accents: Whether accents are removed; None for the value of
                `lowercase`.
            split_cjk: Whether every ideograph is a separate word.
            min_frequency: Minimum frequency of a pair of neighbors to be merged.
            alphabet_size: Maximum number of characters; the most frequent are kept.
            progress: Whether progress bars are shown, if stderr is a terminal.

        Raises:
            TokenizerError: a file cannot be read, the text is empty, or
                `vocabulary_size` is too small for the special tokens and characters.
        """
        with about(named_files(source)):
            vocabulary = training.train_vocabulary(
                source,
                bert_normalizer(lowercase, strip_accents, split_cjk),
                vocabulary_size=vocabulary_size,
                min_frequency=min_frequency,
                alphabet_size=alphabet_size,
                progress=progress,
            )
        return cls(
            vocabulary,
            lowercase=lowercase,
            strip_accents=strip_accents,
            split_cjk=split_cjk,
        )

    def get_config(self):
        """Constructor arguments."""
        tokens = [f"{name}_token" for name in AROUND_TEXTS]
        names = ["lowercase", "strip_accents", "split_cjk", *tokens]
        config = {name: getattr(self, name) for name in names}
        return {"vocabulary": list(self.vocabulary), **config, **self._layout_config()}

    @property
    def description(self):
        """Description for model cards."""
        case = "uncased" if self.lowercase else "cased"
        return f"WordPiece, {self.vocabulary_size} tokens, {case}"

    @property
    def graph(self):
        """The same tokenizer in TensorFlow operations, a `WordPieceGraph`."""
        if self._graph is None:
            from tfzoo.text.wordpiece.graph import WordPieceGraph

            self._graph = WordPieceGraph(self)
        return self._graph

    def token_text(self, index):
        """The text of a single token, as in the vocabulary."""
        return self.id_to_token(index)

    def _text_of(self, ids):
        """Words separated by a space, without padding, [CLS] and [SEP]."""
        left_out = {self.pad_id, self.cls_id, self.sep_id}
        tokens = [self.id_to_token(index) for index in ids if index not in left_out]
        later = [after_another(token) for token in tokens[1:]]
        return "".join([*tokens[:1], *later])
