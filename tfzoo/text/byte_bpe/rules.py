"""Checks vocabularies and merges of byte-level BPE for what both engines require."""

from tfzoo.errors import TokenizerError, shown
from tfzoo.text.byte_bpe import byte_alphabet
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.tokenizer_files import MAX_VOCABULARY_SIZE, check_ids

_REQUIRED_BYTES = range(0x20, 0x7F)  # SmolLM2 has no token for some of the others


def in_order(ids, path, field=None):
    """The tokens in the order of their ids, None for an id without a token."""
    check_ids(ids, path, field)
    for token, index in ids.items():
        if not 0 <= index < MAX_VOCABULARY_SIZE:
            raise TokenizerError(
                f"An id must be >= 0 and < {MAX_VOCABULARY_SIZE}. Received: "
                f"{index} for {token!r:.80}.",
                path=path,
                tensor=field,
            )
    tokens = [None] * (max(ids.values(), default=-1) + 1)
    for token, index in ids.items():
        if tokens[index] is not None:
            raise TokenizerError(
                f"Ids must be unique. Received: {index} for "
                f"{tokens[index]!r:.80} and {token!r:.80}.",
                path=path,
                tensor=field,
            )
        tokens[index] = token
    return tokens


def check_vocabulary(vocabulary, suffix="", path=None, field=None):
    """Raises `TokenizerError` unless the vocabulary is valid for ids 0, 1, 2, ...

    Args:
        vocabulary: Sequence of tokens, None for an id without a token.
        suffix: What follows the last byte of a word, such as "</w>", or "".
        path: The file that contains them.
        field: The field of the file.

    Returns:
        Dict of token -> id.
    """

    def error(rule):
        return TokenizerError(rule, path=path, tensor=field)

    if len(vocabulary) > MAX_VOCABULARY_SIZE:
        raise error(
            f"An id must be < {MAX_VOCABULARY_SIZE}. Received: {len(vocabulary) - 1}."
        )
    ids = {}
    for index, token in enumerate(vocabulary):
        if token is None:
            continue
        if not _is_text(token):
            raise error(
                "A token must be a non-empty string of valid Unicode. Received: "
                f"{shown(token)} with id {index}."
            )
        if ids.setdefault(token, index) != index:
            raise error(
                f"Tokens must be unique. Received: {shown(token)} with ids "
                f"{ids[token]} and {index}."
            )
    for end in dict.fromkeys(["", suffix]):
        for byte in _REQUIRED_BYTES:
            token = CHARACTERS[byte] + end
            if token not in ids:
                raise error(
                    "The vocabulary must contain a token for each printable byte of "
                    f"ASCII{' at the end of a word' if end else ''}. Missing: "
                    f"{token!r}, which represents byte {byte}.{_gaps(vocabulary)}"
                )
    if vocabulary[-1] is None:
        raise error("The last id of the vocabulary must have a token. Received: none.")
    return ids


def _gaps(vocabulary):
    """A sentence about the ids that have a token, or "" if all have one."""
    known = [index for index, token in enumerate(vocabulary) if token is not None]
    if len(known) == len(vocabulary):
        return ""
    some = ", ".join(map(str, [*known[:7], "..."] if len(known) > 8 else known))
    return f" Only the ids {some} up to {len(vocabulary) - 1} have a token."


def check_merges(merges, ids, path=None, place=None):
    """Raises `TokenizerError` unless every merge makes a token of two tokens.

    Several merges may make the same token; `tokenizers` would use only the last of
    equal ones.

    Args:
        merges: Sequence of pairs of tokens, in the order of their ranks.
        ids: Dict of token -> id.
        path: The file that contains them.
        place: Function of a rank that returns `line` or `tensor` for `TokenizerError`,
            as a dict.
    """
    known = set()
    for rank, pair in enumerate(merges):
        rule = _broken_rule(pair, ids)
        if rule is None and pair in known:
            rule = "A pair of tokens must have only one merge."
        if rule:
            where = {"tensor": f"merge {rank}"} if place is None else place(rank)
            raise TokenizerError(f"{rule} Received: {pair!r:.200}.", path=path, **where)
        known.add(pair)


def check_special(special_tokens, merges, ids, suffix="", path=None):
    """Raises `TokenizerError` unless merging never makes one of these tokens."""
    plain = {*CHARACTERS, *(c + suffix for c in CHARACTERS), *map("".join, merges)}
    for token in special_tokens:
        if token not in ids:
            raise TokenizerError(
                f"A special token must be in the vocabulary. Received: {shown(token)}.",
                path=path,
            )
        if token in plain:
            raise TokenizerError(
                "A special token must be neither a byte nor the result of a merge, "
                f"because texts would contain it. Received: {shown(token)}.",
                path=path,
            )


def check_added(added_tokens, special_tokens, ids):
    """Raises `TokenizerError` unless these tokens are words of the vocabulary.

    Args:
        added_tokens: Sequence of `AddedToken`.
        special_tokens: Sequence of tokens.
        ids: Dict of token -> id.
    """
    known = set(special_tokens)
    for token in added_tokens:
        if token.content not in ids or token.content in known:
            raise TokenizerError(
                "An added token must be in the vocabulary, once, and not special. "
                f"Received: {shown(token.content)}."
            )
        known.add(token.content)


def check_words(special_tokens, words_of):
    """Raises `TokenizerError` if one of these tokens is a word that texts may contain.

    For tokenizers that look up words in the whole vocabulary.

    Args:
        special_tokens: Sequence of tokens.
        words_of: Function of a text that returns its words, written in characters of
            `byte_alphabet`.
    """
    for token in special_tokens:
        text = byte_alphabet.bytes_of(token).decode("utf-8", "replace")
        if words_of(text) == [token]:
            raise TokenizerError(
                "A special token must not be a word on its own if merges are ignored "
                "for the words of the vocabulary, because texts would contain it. "
                f"Received: {shown(token)}."
            )


def _broken_rule(pair, ids):
    if len(pair) != 2 or not all(map(_is_text, pair)):
        return "A merge must be two tokens."
    for token in pair:
        if token not in ids:
            return f"A merge must join tokens of the vocabulary, not {shown(token)}."
    joined = "".join(pair)
    if joined not in ids:
        return (
            f"The result of a merge must be in the vocabulary; {shown(joined)} is not."
        )
    return None


def _is_text(token):
    try:
        return bool(token.encode("utf-8"))
    except (AttributeError, UnicodeEncodeError):
        return False
