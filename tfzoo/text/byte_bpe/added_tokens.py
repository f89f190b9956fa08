"""Tokens added to a vocabulary: special ones, and words that texts may contain.

A special token in a text is plain text. A token that is not special is recognized in
every text, as `tokenizers` does with `encode_special_tokens`.
"""

import json

from tfzoo.errors import TokenizerError
from tfzoo.text.added_token import AddedToken
from tfzoo.text.tokenizer_files import MAX_VOCABULARY_SIZE, check_field

_FLAGS = AddedToken._fields[1:]


def to_json(tokenizer):
    """The added tokens of a `ByteBPETokenizer` as objects of tokenizer.json."""
    same = {"single_word": False, **dict.fromkeys(_FLAGS, False)}
    added = [
        {"id": i, "content": token, **same, "special": True}
        for i, token in zip(
            tokenizer.special_ids, tokenizer.special_tokens, strict=True
        )
    ]
    for token in added:
        if token["content"] == tokenizer.mask_token:
            token["lstrip"] = tokenizer.mask_lstrip
    for token in tokenizer.added_tokens:
        index = tokenizer.token_to_id(token.content)
        added.append({"id": index, **same, **token._asdict(), "special": False})
    return sorted(added, key=lambda token: token["id"])


def read_added(added, vocabulary, path):
    """Reads added tokens; missing ones are added to the vocabulary.

    Args:
        added: List of objects with `id`, `content`, `special` and other flags.
        vocabulary: List of tokens and None, which is extended.
        path: The file that contains the tokens.

    Returns:
        Dict of constructor arguments: `special_tokens` and `added_tokens`.
    """
    if not isinstance(added, list):
        raise TokenizerError("This must be a list.", path=path, tensor="added_tokens")
    special, others = [], []
    for token in added:
        index = token.get("id") if isinstance(token, dict) else None
        is_right = type(index) is int and 0 <= index < MAX_VOCABULARY_SIZE
        if is_right:
            vocabulary += [None] * (index + 1 - len(vocabulary))
            content = token.get("content")
            is_right = (
                isinstance(content, str)
                and type(token.get("special")) is bool
                and vocabulary[index] in (None, content)
            )
        if not is_right:
            raise TokenizerError(
                "An added token must have a content, a unique id, and be special or "
                f"not. Received: {json.dumps(token)[:120]}.",
                path=path,
                tensor="added_tokens",
            )
        vocabulary[index] = content
        if token["special"]:
            special.append(content)
        else:
            others.append(_not_special(token, path))
    return {"special_tokens": special, "added_tokens": others}


def _not_special(token, path):
    for flag, allowed in {"single_word": [False], **dict.fromkeys(_FLAGS)}.items():
        value, allowed = token.get(flag, False), allowed or [True, False]
        field = f"added_tokens.{flag}"
        check_field(value, allowed, path, field, f"the token {token['content']!r:.80}")
    # `tokenizers` looks for a token without this flag in the normalized text.
    flags = {flag: token.get(flag, flag == "normalized") for flag in _FLAGS}
    return AddedToken(token["content"], **flags)
