"""SentencePiece tokenizers: text to ids and back.

Text is normalized, and a space becomes the character "\u2581", which belongs to the
piece after it; so ids decode to the normalized text without further rules. A Unigram
model takes the pieces with the highest sum of scores, byte-pair encoding merges the
neighbors whose piece has the highest score.

Source: Kudo and Richardson 2018, https://arxiv.org/abs/1808.06226; Unigram: Kudo 2018,
section 3.2, https://arxiv.org/abs/1804.10959; byte-pair encoding: Sennrich et al. 2016,
section 3.2, https://arxiv.org/abs/1508.07909
"""

import base64
import functools

import keras
import numpy as np

from tfzoo.errors import TokenizerError, about, shown
from tfzoo.text.added_token import AddedToken
from tfzoo.text.generative_tokenizer import GenerativeTokenizer
from tfzoo.text.layout import Layout
from tfzoo.text.sentencepiece import asset_files, json_file, model_file
from tfzoo.text.sentencepiece.library import SentencePieceEngine
from tfzoo.text.sentencepiece.piece_decoder import PieceDecoder
from tfzoo.text.sentencepiece.piece_model import CONTROL, SPACE
from tfzoo.text.sentencepiece.piece_texts import PieceTexts
from tfzoo.text.sentencepiece.training import LearnsPieces
from tfzoo.text.text_stream import TextStream
from tfzoo.text.tokenizer import AROUND_TEXTS


@keras.saving.register_keras_serializable("tfzoo")
class SentencePieceTokenizer(LearnsPieces, GenerativeTokenizer):
    """Text to SentencePiece ids and back, in Python or in TensorFlow graphs.

    Ids are those of the library `sentencepiece` for a model from its own file, and
    those of `tokenizers` for one from tokenizer.json; `library` has the differences.
    Special tokens in a text are plain text. Bytes are decoded as UTF-8, with invalid
    bytes replaced as in `decode("utf-8", "replace")`.

    `from_preset` reads tokenizer.json or, without it, spiece.model, tokenizer.model,
    sentencepiece.bpe.model, or source.spm with target.spm and vocab.json, and
    tokenizer_config.json if it exists; `save_to_preset` writes the same form. The
    tokenizer of Marian's files is that of the source language, and `target` that of
    the target language.

    Args:
        model: The bytes of a `.model` file, or their base64; or a dictionary of the
            `normalizer`, `pre_tokenizer`, `decoder` and `model` of tokenizer.json.
        vocabulary: Tokens in the order of their ids, None for an id without a token.
            A piece that is not among them is unknown. Defaults to the pieces.
        special_tokens: Further tokens that plain text never contains.
        unknown_token: Token for unknown text. Defaults to the model's.
        pad_token: Token for padding, or None; the vocabulary may lack it. The same
            applies to the next five.
        start_token: Token that starts a text of a decoder.
        end_token: Token that ends a text.
        cls_token: Token before a text.
        sep_token: Token after a text.
        mask_token: Token for a masked word.
        mask_lstrip: Whether a mask token recognized in a text includes the white space
            before it.
        recognizes_unknown: Whether the unknown token is recognized in texts, as in
            Marian's tokenizer.
        language_codes: Whether what a text begins with, from ">>" to the first "<<", is
            one token, as in Marian's tokenizer. It is unknown unless it is in the
            vocabulary.
        target_model: The bytes of a second `.model` file for `target`, or None.
        target_vocabulary: Tokens of `target` in the order of their ids. Defaults to
            those of `vocabulary`.
        layout: The `Layout` of special tokens around texts. Defaults to none.

    Attributes:
        vocabulary: Tuple of tokens and None.
        piece_model: The `PieceModel`.
        pad_id: Id of the pad token, None if the vocabulary lacks it. Likewise
            `unknown_id`, `start_id`, `end_id`, `cls_id`, `sep_id`, `mask_id`.
        special_tokens: Tuple of all special tokens in the vocabulary.
        special_ids: Tuple of their ids.
        special: bool (V,), True for special tokens.
        continues: bool (V,), True for tokens that continue a word.

    Raises:
        TokenizerError: the model is invalid or has an option that is not supported, or
            the vocabulary lacks the unknown token or a token of the layout.
    """

    usual_layout = Layout()
    _files = asset_files

    def __init__(
        self,
        model,
        vocabulary=None,
        *,
        special_tokens=(),
        unknown_token=None,
        pad_token=None,
        start_token=None,
        end_token=None,
        cls_token=None,
        sep_token=None,
        mask_token=None,
        mask_lstrip=True,
        recognizes_unknown=False,
        language_codes=False,
        target_model=None,
        target_vocabulary=None,
        layout=None,
    ):
        self.model = _content(model)
        self.target_model = None if target_model is None else _content(target_model)
        self.target_vocabulary = target_vocabulary and tuple(target_vocabulary)
        if self.target_vocabulary and self.target_model is None:
            raise ValueError("target_vocabulary needs a target_model. Received: None")
        named = (pad_token, unknown_token, cls_token, sep_token, mask_token)
        named = dict(zip(AROUND_TEXTS, named, strict=True))
        named |= {"start": start_token, "end": end_token}
        self.piece_model = self._read([*named.values(), *special_tokens])
        pieces = self.piece_model.pieces
        if named["unknown"] is None:
            named["unknown"] = pieces[self.piece_model.unknown_id]
        self.vocabulary = tuple(pieces if vocabulary is None else vocabulary)
        ids = _ids(self.vocabulary)
        if named["unknown"] not in ids:
            raise TokenizerError(
                "The vocabulary must contain the unknown token. Received: "
                f"unknown_token={shown(named['unknown'])}."
            )
        self._name_tokens(ids, named)
        self._lay_out(layout)
        self.mask_lstrip, self.recognizes_unknown = mask_lstrip, recognizes_unknown
        control = (
            piece
            for piece, kind in zip(pieces, self.piece_model.kinds, strict=True)
            if kind == CONTROL
        )
        all_special = dict.fromkeys([*named.values(), *special_tokens, *control])
        self.special_tokens = tuple(token for token in all_special if token in ids)
        self.special_ids = tuple(ids[token] for token in self.special_tokens)
        self.language_codes = language_codes
        self.added_tokens = ()  # those that are recognized in texts
        if recognizes_unknown:
            self.added_tokens = (AddedToken(self.unknown_token),)
        self._engine, self._graph = SentencePieceEngine(self), None
        if self.target_vocabulary:
            _ = self.target  # raises if a token is missing

    def _read(self, special):
        if isinstance(self.model, bytes):
            return model_file.read_model(self.model)
        return json_file.read_model(self.model, special)

    def get_config(self):
        """Constructor arguments; the bytes of a model as base64."""
        tokens = {f"{n}_token": getattr(self, f"{n}_token") for n in self.special_names}
        is_own = self.vocabulary == self.piece_model.pieces
        target = self.target_model
        return {
            "model": _written(self.model),
            "vocabulary": None if is_own else list(self.vocabulary),
            "special_tokens": list(self.special_tokens),
            **tokens,
            "mask_lstrip": self.mask_lstrip,
            "recognizes_unknown": self.recognizes_unknown,
            "language_codes": self.language_codes,
            "target_model": None if target is None else _written(target),
            "target_vocabulary": self.target_vocabulary
            and list(self.target_vocabulary),
            **self._layout_config(),
        }

    @functools.cached_property
    def target(self):
        """The `SentencePieceTokenizer` of the target language, or this one.

        Its ids are those of the same vocabulary, unless there is a `target_vocabulary`.
        """
        if self.target_model is None:
            return self
        target = {"model": self.target_model, "target_model": None}
        target["vocabulary"] = self.target_vocabulary or self.vocabulary
        target["target_vocabulary"] = None
        with about(self.path):
            found = self.from_config({**self.get_config(), **target})
        found.path = self.path
        return found

    @property
    def description(self):
        """Description for model cards."""
        algorithm = {"unigram": "Unigram", "bpe": "BPE"}[self.piece_model.algorithm]
        return f"SentencePiece {algorithm}, {self.vocabulary_size} tokens"

    @property
    def graph(self):
        """The same tokenizer in TensorFlow operations, a `SentencePieceGraph`."""
        if self._graph is None:
            from tfzoo.text.sentencepiece.graph import SentencePieceGraph

            with about(self.path):
                self._graph = SentencePieceGraph(self)
        return self._graph

    @functools.cached_property
    def ids_of_pieces(self):
        """int32 (P,): the id of every piece of the model; None if they are the same."""
        pieces = self.piece_model.pieces
        if self.vocabulary[: len(pieces)] == pieces:
            return None
        return np.array(list(map(self.id_of_piece, pieces)), np.int32)

    def id_of_piece(self, piece):
        """The id of a piece of text, which may be that of the unknown token."""
        index = self._ids.get(piece)
        return self.unknown_id if index is None or self.special[index] else index

    @functools.cached_property
    def special(self):
        """bool (V,), True for special tokens."""
        return np.isin(np.arange(self.vocabulary_size), self.special_ids)

    @functools.cached_property
    def continues(self):
        """bool (V,), True for tokens that continue a word, for whole word masking."""
        return np.array([not (t or SPACE).startswith(SPACE) for t in self.vocabulary])

    def token_text(self, index):
        """The text of a single token, such as " fox"; special tokens are themselves."""
        token = self.id_to_token(index)
        return token or "" if self.special[index] else (token or "").replace(SPACE, " ")

    @functools.cached_property
    def piece_texts(self):
        """The `PieceTexts`: what each id adds to a text."""
        return PieceTexts(self)

    @functools.cached_property
    def _bytes(self):
        return list(map(self.piece_texts.bytes_of, range(self.vocabulary_size)))

    def _text_of(self, ids):
        return self._engine.decode(list(map(self._checked, ids)))

    def continuation(self, before, ids):
        """The text that ids add to that of the ids before them.

        The space before its first word is kept if there is text before; `detokenize`
        leaves it out, as the libraries do.

        Args:
            before: Ids of the text before.
            ids: Ids of one text.
        """
        is_inside = self.piece_texts.has_begun(map(self._checked, before))
        ids = list(map(self._checked, ids))
        return self._engine.decode(ids, is_inside=is_inside)

    def stream(self, before=()):
        """A `TextStream`, which decodes ids to text incrementally.

        Args:
            before: Ids of the text that the ids continue, as in `continuation`.
        """
        texts = self.piece_texts
        is_inside = texts.has_begun(map(self._checked, before))
        decoder = PieceDecoder(texts, self._checked, is_inside=is_inside)
        return TextStream(decoder, strips=texts.strips, is_inside=is_inside)


def _content(model):
    return base64.b64decode(model) if isinstance(model, str) else model


def _written(model):
    return base64.b64encode(model).decode() if isinstance(model, bytes) else model


def _ids(vocabulary):
    """Dict of token -> id."""
    ids = {}
    for index, token in enumerate(vocabulary):
        if token is not None and ids.setdefault(token, index) != index:
            raise TokenizerError(
                f"Tokens must be unique. Received: {shown(token)} with ids "
                f"{ids[token]} and {index}."
            )
    return ids
