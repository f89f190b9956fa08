"""The engine in Python: the library that each form of a model is the reference of.

A `.model` file is run by `sentencepiece`, a `tokenizer.json` by `tokenizers`. On the
same model they differ where two segmentations score nearly the same (`sentencepiece`
adds float32 scores over the whole text, `tokenizers` float64 ones within a word), and
in the normalizer (`sentencepiece` takes the longest rule; `tokenizers` the shortest one
at the start of a grapheme, for which it drops the rest of the grapheme).
"""

import functools
import json
import typing

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders

from tfzoo.text.rust_engine import RustEngine
from tfzoo.text.sentencepiece import model_file
from tfzoo.text.sentencepiece.piece_model import CONTROL, SPACE, UNIGRAM


class SentencePieceEngine(RustEngine):
    """The engine that a `SentencePieceTokenizer` uses in Python."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        if tokenizer.piece_model.is_tokenizers:
            self._plain = _Rust(tokenizer)
        else:
            self._plain = _Processor(tokenizer, tokenizer.tokens_in_text)

    @functools.cached_property
    def _with_mask(self):
        tokenizer = self._tokenizer
        tokenizer.required_id("mask")
        if tokenizer.piece_model.is_tokenizers:
            return _Rust(tokenizer, tokenizer.mask_token)
        return _Processor(tokenizer, (*tokenizer.tokens_in_text, tokenizer.mask_token))

    def decode(self, ids):
        """Text of ids, without those of special tokens."""
        return self._plain.decode(ids)


class Encoded(typing.NamedTuple):
    """What `RustEngine` reads of a text: the attributes of a `tokenizers.Encoding`."""

    ids: list
    offsets: list = ()
    word_ids: list = ()


class _Processor:
    """`sentencepiece` with the interface of `tokenizers.Tokenizer`.

    Args:
        tokenizer: The tokenizer.
        tokens_in_text: Tokens to recognize in texts, with the spaces around them.
    """

    def __init__(self, tokenizer, tokens_in_text=()):
        self._tokenizer, self._tokens = tokenizer, tokens_in_text
        self._processor = model_file.processor_of(tokenizer.model)
        self._is_own = tokenizer.ids_of_pieces is None

    def encode_batch_fast(self, texts):
        """List of `Encoded`, with ids only."""
        if self._tokens:
            return [self.encode(text) for text in texts]
        if self._is_own:
            return list(map(Encoded, self._processor.encode(texts, out_type=int)))
        rows = self._processor.encode(texts, out_type=str)
        return [Encoded(list(map(self._tokenizer.id_of_piece, row))) for row in rows]

    def encode(self, text):
        """`Encoded`; a word begins with a piece that begins with a space."""
        result, start, word = Encoded([], [], []), 0, -1
        for part, token in _parts(text, self._tokens):
            found = self._processor.encode(part, return_type="offset_mapping")
            for place, piece in enumerate(found["pieces"]):
                word += piece.startswith(SPACE) or not place
                first, last = found["offsets"][place]
                own = found["ids"][place] if self._is_own else None
                result.ids.append(
                    self._tokenizer.id_of_piece(piece) if own is None else own
                )
                result.offsets.append((start + first, start + last))
                result.word_ids.append(word)
            start += len(part)
            if token is not None:
                word += 1
                result.ids.append(self._tokenizer.token_to_id(token))
                result.offsets.append((start, start + len(token)))
                result.word_ids.append(word)
                start += len(token)
        return result

    def decode(self, ids):
        """Text of ids."""
        tokenizer = self._tokenizer
        special, model = set(tokenizer.special_ids), tokenizer.piece_model
        keeps = tokenizer.unknown_id
        if self._is_own:
            unknown = model.pieces[model.unknown_id]
        else:
            unknown = tokenizer.unknown_token
        pieces = [
            unknown if index == keeps else tokenizer.id_to_token(index)
            for index in ids
            if index == keeps or index not in special
        ]
        text = self._processor.decode([p for p in pieces if p is not None])
        # Pieces of the other language are unknown to this model.
        return text if self._is_own else text.replace(SPACE, " ").strip()


class _Rust:
    """`tokenizers` without the special tokens in texts.

    Args:
        tokenizer: The tokenizer.
        mask_token: None, or the token to recognize in texts.
    """

    def __init__(self, tokenizer, mask_token=None):
        self._tokenizer = tokenizer
        self._rust = rust_tokenizer(tokenizer)
        if mask_token is not None:
            lstrip = tokenizer.mask_lstrip
            self._rust.add_special_tokens([AddedToken(mask_token, lstrip=lstrip)])
        self.encode_batch_fast = self._rust.encode_batch_fast

    def encode(self, text):
        """`Encoded`; a word begins with a piece that begins with a space."""
        found = self._rust.encode(text)
        starts = [token.startswith(SPACE) for token in found.tokens]
        words = np.cumsum([1, *starts[1:]]) - 1 if starts else []
        return Encoded(found.ids, found.offsets, list(map(int, words)))

    def decode(self, ids):
        """Text of ids."""
        tokenizer, special = self._tokenizer, set(self._tokenizer.special_ids)
        tokens = [tokenizer.id_to_token(i) for i in ids if i not in special]
        return self._decoder.decode([token for token in tokens if token is not None])

    @functools.cached_property
    def _decoder(self):
        return self._rust.decoder or decoders.Fuse()


def rust_tokenizer(tokenizer):
    """The `tokenizers.Tokenizer`, without special tokens."""
    content = {**tokenizer.model, "model": dict(tokenizer.model["model"])}
    model = tokenizer.piece_model
    if model.algorithm == UNIGRAM:
        # Pieces that are special tokens must not match: no word has a plain space.
        content["model"]["vocab"] = [
            [f" {index}" if kind == CONTROL else piece, score]
            for index, ((piece, score), kind) in enumerate(
                zip(content["model"]["vocab"], model.kinds, strict=True)
            )
        ]
    return Tokenizer.from_str(
        json.dumps({"version": "1.0", "added_tokens": [], **content})
    )


def _parts(text, tokens):
    """Yields the parts of a text before each special token and the token, None last."""
    while True:
        found = [(text.find(token), token) for token in tokens if token in text]
        if not found:
            yield text, None
            return
        place, token = min(found)
        yield text[:place], token
        text = text[place + len(token) :]
