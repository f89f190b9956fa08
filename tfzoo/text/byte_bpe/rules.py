"""Which vocabularies and merges make a byte-level BPE that both engines can follow."""

from tfzoo.errors import TokenizerError
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.tokenizer_files import MAX_VOCABULARY_SIZE, check_ids


def in_order(ids, path, field=None):
    """The tokens in the order of their ids, None for an id that no token has."""
    check_ids(ids, path, field)
    for token, index in ids.items():
        if not 0 <= index < MAX_VOCABULARY_SIZE:
            raise TokenizerError(
                f"An id must be at least 0 and below {MAX_VOCABULARY_SIZE}. Received: "
                f"{index} for {token!r:.80}.",
                path=path,
                tensor=field,
            )
    tokens = [None] * (max(ids.values(), default=-1) + 1)
    for token, index in ids.items():
        if tokens[index] is not None:
            raise TokenizerError(
                f"An id must have one token. Received: {index} for "
                f"{tokens[index]!r:.80} and {token!r:.80}.",
                path=path,
                tensor=field,
            )
        tokens[index] = token
    return tokens


def check_vocabulary(vocabulary, path=None, field=None):
    """Raises `TokenizerError` unless these can be the tokens of ids 0, 1, 2, ...

    Args:
        vocabulary: Sequence of tokens, None for an id that no token has.
        path: The file they come from.
        field: Where they stand in it.

    Returns:
        Dict of token -> id.
    """

    def error(rule):
        return TokenizerError(rule, path=path, tensor=field)

    if len(vocabulary) > MAX_VOCABULARY_SIZE:
        raise error(
            f"An id must be below {MAX_VOCABULARY_SIZE}. Received: "
            f"{len(vocabulary) - 1}."
        )
    ids = {}
    for index, token in enumerate(vocabulary):
        if token is None:
            continue
        if not _is_text(token):
            raise error(f"A token must be text. Received: {token!r} with id {index}.")
        if ids.setdefault(token, index) != index:
            raise error(
                f"A token must have one id. Received: {token!r} with ids "
                f"{ids[token]} and {index}."
            )
    for byte, character in enumerate(CHARACTERS):
        if character not in ids:
            raise error(
                "The vocabulary must hold a token for each of the 256 bytes. Missing: "
                f"{character!r}, which stands for byte {byte}.{_gaps(vocabulary)}"
            )
    if vocabulary[-1] is None:
        raise error("The last id of the vocabulary must have a token. Received: none.")
    return ids


def _gaps(vocabulary):
    """Which ids have a token, where some have none."""
    known = [index for index, token in enumerate(vocabulary) if token is not None]
    if len(known) == len(vocabulary):
        return ""
    some = ", ".join(map(str, [*known[:7], "..."] if len(known) > 8 else known))
    return f" Only the ids {some} up to {len(vocabulary) - 1} have a token."


def check_merges(merges, ids, path=None, place=None):
    """Raises `TokenizerError` unless every merge joins what earlier merges made.

    Then what a merge makes is joined later than it is made, and in one way only. All
    that BPE learns from text is so, and `merging` and `long_words` rely on it.

    Args:
        merges: Sequence of pairs of tokens, in the order of their ranks.
        ids: Dict of token -> id.
        path: The file they come from.
        place: Function of a rank -> dict of `TokenizerError`'s line or tensor.
    """
    made = set(CHARACTERS)
    for rank, pair in enumerate(merges):
        rule = _broken_rule(pair, ids, made)
        if rule:
            where = {"tensor": f"merge {rank}"} if place is None else place(rank)
            raise TokenizerError(f"{rule} Received: {pair!r:.200}.", path=path, **where)
        made.add("".join(pair))


def check_special(special_tokens, merges, ids, path=None):
    """Raises `TokenizerError` unless these tokens never come from plain text."""
    plain = {*CHARACTERS, *map("".join, merges)}
    for token in special_tokens:
        if token not in ids:
            raise TokenizerError(
                f"A special token must stand in the vocabulary. Received: {token!r}.",
                path=path,
            )
        if token in plain:
            raise TokenizerError(
                "A special token must be neither a byte nor made by a merge: a text "
                f"would hold it. Received: {token!r}.",
                path=path,
            )


def _broken_rule(pair, ids, made):
    if len(pair) != 2 or not all(map(_is_text, pair)):
        return "A merge must be two tokens."
    for token in pair:
        if token not in made:
            return (
                f"A merge must join bytes or what earlier merges made, not {token!r}."
            )
    joined = "".join(pair)
    if joined not in ids:
        return f"What a merge makes must stand in the vocabulary; {joined!r} does not."
    if joined in made:
        return f"A token must be made by one merge; {joined!r} was made before."
    return None


def _is_text(token):
    try:
        return bool(token.encode("utf-8"))
    except (AttributeError, UnicodeEncodeError):
        return False
