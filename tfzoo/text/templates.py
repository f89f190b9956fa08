"""`TemplateProcessing` of `tokenizer.json` <-> `Layout`.

A template has a list of pieces for one text and one for two; a piece is a `Sequence`
(the text A or B) or a `SpecialToken`, with its segment as `type_id`.
"""

import json

from tfzoo.errors import TokenizerError
from tfzoo.text.layout import Layout

FIELD, TEMPLATE = "post_processor", "TemplateProcessing"
_TEXT, _TOKEN = "Sequence", "SpecialToken"


def read_template(processor, ids, path):
    """The `Layout` of a `TemplateProcessing`, with the tokens as text.

    Args:
        processor: The JSON object.
        ids: Dict of token -> id of the vocabulary.
        path: The file, for errors.

    Raises:
        TokenizerError: the template is invalid or cannot be expressed as a `Layout`,
            with the field and the reason.
    """
    single, pair = (_pieces(processor, name, path) for name in ("single", "pair"))
    before, after = _around(single, "A", "single", path)
    _, between, _ = _around(pair, "AB", "pair", path)
    segment = next(of for kind, name, of in pair if (kind, name) == (_TEXT, "B"))
    if segment not in (0, 1):
        raise _error(
            "The second text must be in segment 0 or 1.",
            processor["pair"],
            "pair",
            path,
        )
    first = _only(before, "before", path)
    last = _only(after, "after", path)
    layout = Layout(
        first,
        last,
        between=[name for _, name, of in between if of == 0],
        repeats_first=first is not None and any(of for _, _, of in between),
        second_segment=segment,
    )
    if single != _template_of(layout, "A"):
        raise _error(
            "A single text and the tokens around it must be segment 0.",
            processor["single"],
            "single",
            path,
        )
    if pair != _template_of(layout, "AB"):
        raise _error(
            "Two texts must begin and end with the same tokens as one. Tokens between "
            "them must be segment 0; only the first token may be repeated before the "
            "second text, and must then have its segment, as must what follows it.",
            processor["pair"],
            "pair",
            path,
        )
    _check_ids(processor.get("special_tokens"), layout, ids, path)
    return layout


def with_roles(template, first, last, tokens, path):
    """The layout with roles in place of tokens.

    Args:
        template: A `Layout` of tokens.
        first: Role of the token before a text, such as "cls".
        last: Role of the token after a text.
        tokens: Dict of role -> token, for the tokens between two texts.
        path: The file, for errors.
    """
    roles = {token: role for role, token in tokens.items() if token is not None}
    roles |= {template.first: first, template.last: last}
    for token in template.between:
        if token not in roles:
            raise _error(
                "A token between two texts must be named as a special token.",
                token,
                "pair",
                path,
            )
    return Layout(
        None if template.first is None else first,
        None if template.last is None else last,
        between=[roles[token] for token in template.between],
        repeats_first=template.repeats_first,
        second_segment=template.second_segment,
    )


def written_template(tokenizer):
    """The `TemplateProcessing` of a tokenizer's layout, a JSON object."""
    layout = tokenizer.layout.map(lambda name: getattr(tokenizer, f"{name}_token"))
    single, pair = (
        [{kind: {"id": name, "type_id": of}} for kind, name, of in pieces]
        for pieces in (_template_of(layout, texts) for texts in ("A", "AB"))
    )
    return {
        "type": TEMPLATE,
        "single": single,
        "pair": pair,
        "special_tokens": {
            token: {
                "id": token,
                "ids": [tokenizer.token_to_id(token)],
                "tokens": [token],
            }
            for token in sorted(layout.tokens)
        },
    }


def _template_of(layout, texts):
    """Pieces (kind, name, segment) of the template for the texts "A" or "AB"."""
    first, *others = (
        [(_TOKEN, *token) for token in group] for group in layout.around(len(texts))
    )
    for number, (text, group) in enumerate(zip(texts, others, strict=True)):
        first.append((_TEXT, text, layout.second_segment if number else 0))
        first += group
    return first


def _pieces(processor, name, path):
    """Pieces (kind, name, segment) of a field of a template."""
    value = processor.get(name)
    pieces = [_piece(entry) for entry in value] if isinstance(value, list) else [None]
    if None in pieces:
        raise _error(
            f"This must be a list of {_TEXT} and {_TOKEN}, each with id and type_id.",
            value,
            name,
            path,
        )
    return pieces


def _piece(entry):
    """(kind, name, segment) of a piece, or None if it is invalid."""
    kind, content = next(iter(entry.items())) if _is_one(entry) else (None, None)
    if kind not in (_TEXT, _TOKEN) or not isinstance(content, dict):
        return None
    name, segment = content.get("id"), content.get("type_id")
    is_right = isinstance(name, str) and type(segment) is int
    return (kind, name, segment) if is_right else None


def _is_one(entry):
    return isinstance(entry, dict) and len(entry) == 1


def _around(pieces, texts, name, path):
    """Lists of the special tokens before, between and after the texts."""
    groups, found = [[]], []
    for piece in pieces:
        if piece[0] == _TEXT:
            found.append(piece[1])
            groups.append([])
        else:
            groups[-1].append(piece)
    if found != [*texts]:
        raise _error(
            f"The template must contain {' and '.join(texts)}, once, in this order.",
            found,
            name,
            path,
        )
    return groups


def _only(group, where, path):
    """The only token of a group, or None."""
    if len(group) > 1:
        tokens = [token for _, token, _ in group]
        rule = f"There must be at most one special token {where} a text."
        raise _error(rule, tokens, "single", path)
    return group[0][1] if group else None


def _check_ids(tokens, layout, ids, path):
    tokens = tokens if isinstance(tokens, dict) else {}
    for token in layout.tokens:
        told = tokens.get(token)
        told = told.get("ids") if isinstance(told, dict) else told
        if token not in ids or told != [ids[token]]:
            raise _error(
                f"The only id of {token!r:.80} must be the vocabulary's.",
                told,
                "special_tokens",
                path,
            )


def _error(rule, received, name, path):
    return TokenizerError(
        f"{rule} Received: {json.dumps(received)[:120]}.",
        path=path,
        tensor=f"{FIELD}.{name}",
    )
