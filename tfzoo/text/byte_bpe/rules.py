"""Checks vocabularies and merges of byte-level BPE for what both engines require."""

from tfzoo.errors import TokenizerError, shown
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.tokenizer_files import MAX_VOCABULARY_SIZE, check_ids


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


def check_vocabulary(vocabulary, path=None, field=None):
    """Raises `TokenizerError` unless the vocabulary is valid for ids 0, 1, 2, ...

    Args:
        vocabulary: Sequence of tokens, None for an id without a token.
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
    for byte, character in enumerate(CHARACTERS):
        if character not in ids:
            raise error(
                "The vocabulary must contain a token for each of the 256 bytes. "
                f"Missing: {character!r}, which represents byte {byte}."
                f"{_gaps(vocabulary)}"
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
    """Raises `TokenizerError` unless every merge joins results of earlier merges.

    Then the result of a merge takes part only in later merges, and is made in only one
    way. This holds for all merges learned by BPE, and `merging` and `long_words` rely
    on it.

    Args:
        merges: Sequence of pairs of tokens, in the order of their ranks.
        ids: Dict of token -> id.
        path: The file that contains them.
        place: Function of a rank that returns `line` or `tensor` for `TokenizerError`,
            as a dict.
    """
    made = set(CHARACTERS)
    for rank, pair in enumerate(merges):
        rule = _broken_rule(pair, ids, made)
        if rule:
            where = {"tensor": f"merge {rank}"} if place is None else place(rank)
            raise TokenizerError(f"{rule} Received: {pair!r:.200}.", path=path, **where)
        made.add("".join(pair))


def check_special(special_tokens, merges, ids, path=None):
    """Raises `TokenizerError` unless plain text never contains these tokens."""
    plain = {*CHARACTERS, *map("".join, merges)}
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


def _broken_rule(pair, ids, made):
    if len(pair) != 2 or not all(map(_is_text, pair)):
        return "A merge must be two tokens."
    for token in pair:
        if token not in made:
            return (
                "A merge must join bytes or results of earlier merges, not "
                f"{shown(token)}."
            )
    joined = "".join(pair)
    if joined not in ids:
        return (
            f"The result of a merge must be in the vocabulary; {shown(joined)} is not."
        )
    if joined in made:
        return (
            f"The result of a merge must be new; {shown(joined)} is a byte or the "
            "result of an earlier merge."
        )
    return None


def _is_text(token):
    try:
        return bool(token.encode("utf-8"))
    except (AttributeError, UnicodeEncodeError):
        return False
