"""The engine in Python: the library that each form of a model is the reference of.

A `.model` file is run by `sentencepiece`, a `tokenizer.json` by `tokenizers`. On the
same model they differ where two segmentations score nearly the same (`sentencepiece`
adds float32 scores over the whole text, `tokenizers` float64 ones within a word), and
in the normalizer (`sentencepiece` takes the longest rule; `tokenizers` the shortest one
at the start of a grapheme, for which it drops the rest of the grapheme).
"""

import functools
import json
import re
import typing

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders

from tfzoo.text.rust_engine import RustEngine
from tfzoo.text.sentencepiece import model_file
from tfzoo.text.sentencepiece.piece_model import CONTROL, SPACE, UNIGRAM
from tfzoo.text.tokenizer import WHITE_SPACE

_CODE = re.compile(r">>.*?<<", re.DOTALL)  # a language code
_SPACES = "".join(c for c in map(chr, range(0x3001)) if re.match(WHITE_SPACE, c))
_INSIDE = "\ue000"  # a character that is in no piece stands for the text before


class SentencePieceEngine(RustEngine):
    """The engine that a `SentencePieceTokenizer` uses in Python."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self._plain = self._recognizing()

    @functools.cached_property
    def _with_mask(self):
        self._tokenizer.required_id("mask")
        lstrip = self._tokenizer.mask_lstrip
        token = AddedToken(self._tokenizer.mask_token, lstrip=lstrip)
        return self._recognizing([token])

    @functools.cached_property
    def _with_end(self):
        self._tokenizer.required_id("end")
        return self._recognizing([AddedToken(self._tokenizer.end_token)])

    @functools.cached_property
    def _with_special(self):
        tokenizer = self._tokenizer
        tokens = map(tokenizer.id_to_token, tokenizer.special_ids)
        return self._recognizing([AddedToken(token) for token in tokens if token])

    def _recognizing(self, tokens=()):
        """The library, which recognizes these special tokens in texts."""
        if self._tokenizer.piece_model.is_tokenizers:
            return _Rust(self._tokenizer, list(tokens))
        return _Processor(self._tokenizer, tokens)

    def decode(self, ids, *, is_inside=False):
        """Text of ids, without those of special tokens.

        Args:
            ids: List of ids.
            is_inside: Whether they are inside a text, where no space is left out.
        """
        if is_inside:
            return self._plain.decode(ids, _INSIDE).removeprefix(_INSIDE)
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
        tokens: `AddedToken`s to recognize in texts, besides those of the tokenizer.
    """

    def __init__(self, tokenizer, tokens):
        self._tokenizer = tokenizer
        self._processor = model_file.processor_of(tokenizer.model)
        self._is_own = tokenizer.ids_of_pieces is None
        tokens = [*tokenizer.added_tokens, *tokens]
        self._tokens = {token.content: token for token in tokens}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._has_codes = tokenizer.language_codes

    def encode_batch_fast(self, texts):
        """List of `Encoded`, with ids only."""
        if self._tokens or self._has_codes:
            return [self.encode(text) for text in texts]
        if self._is_own:
            return list(map(Encoded, self._processor.encode(texts, out_type=int)))
        rows = self._processor.encode(texts, out_type=str)
        return [Encoded(list(map(self._tokenizer.id_of_piece, row))) for row in rows]

    def encode(self, text):
        """`Encoded`; a word begins with a piece that begins with a space."""
        result, word = Encoded([], [], []), -1
        for start, part, token_id in self._parts(text):
            if token_id is not None:
                word += 1
                result.ids.append(token_id)
                result.offsets.append((start, start + len(part)))
                result.word_ids.append(word)
                continue
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
        return result

    def _parts(self, text):
        """Yields the start, the text and the id, or None, of plain parts and tokens."""
        start = 0
        for found in [*self._pattern.finditer(text), None]:
            end = found.start() if found else len(text)
            code = _CODE.match(text, start, end) if self._has_codes else None
            if code:
                yield start, code[0], self._tokenizer.id_of_piece(code[0])
                start = code.end()
            token = self._tokens[found[0]] if found else None
            part = text[start:end]
            yield start, part.rstrip(_SPACES) if token and token.lstrip else part, None
            if found:
                yield end, found[0], self._tokenizer.token_to_id(found[0])
                start = found.end()

    def decode(self, ids, *before):
        """Text of ids, after some text."""
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
        text = self._processor.decode([*before, *(p for p in pieces if p is not None)])
        # Pieces of the other language are unknown to this model.
        return text if self._is_own else text.replace(SPACE, " ").strip()


class _Rust:
    """`tokenizers` without the special tokens in texts.

    Args:
        tokenizer: The tokenizer.
        tokens: List of the `AddedToken`s to recognize in texts.
    """

    def __init__(self, tokenizer, tokens):
        self._tokenizer = tokenizer
        self._rust = rust_tokenizer(tokenizer)
        self.encode_batch_fast = self._rust.encode_batch_fast
        if tokens:
            self._rust.add_special_tokens(tokens)
            names = [token.content for token in tokens]
            self._own_ids = {
                self._rust.token_to_id(name): tokenizer.token_to_id(name)
                for name in names
            }
            self.encode_batch_fast = self._with_tokens

    def _with_tokens(self, texts):
        """List of `Encoded`, with ids only."""
        rows = [encoding.ids for encoding in self._rust.encode_batch_fast(texts)]
        own = self._own_ids
        return [Encoded([own.get(index, index) for index in row]) for row in rows]

    def encode(self, text):
        """`Encoded`; a word begins with a piece that begins with a space."""
        found = self._rust.encode(text)
        starts = [token.startswith(SPACE) for token in found.tokens]
        words = np.cumsum([1, *starts[1:]]) - 1 if starts else []
        return Encoded(found.ids, found.offsets, list(map(int, words)))

    def decode(self, ids, *before):
        """Text of ids, after some text."""
        tokenizer, special = self._tokenizer, set(self._tokenizer.special_ids)
        tokens = [tokenizer.id_to_token(i) for i in ids if i not in special]
        tokens = [token for token in tokens if token is not None]
        return self._decoder.decode([*before, *tokens])

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
