"""`tokenizer.json` of a WordPiece tokenizer, the format of `tokenizers`."""

import json

from tokenizers.pre_tokenizers import BertPreTokenizer

from tfzoo import files
from tfzoo.errors import TokenizerError, shown
from tfzoo.text import templates, tokenizer_files
from tfzoo.text.layout import Layout
from tfzoo.text.rust_engine import as_text
from tfzoo.text.wordpiece.rust import MAX_WORD_LENGTH, PREFIX, rust_tokenizer

_RULES = {  # fields of tokenizer.json: possible values
    "model.type": ["WordPiece"],
    "model.continuing_subword_prefix": [PREFIX],
    "model.max_input_chars_per_word": [MAX_WORD_LENGTH],
    "normalizer.type": ["BertNormalizer"],
    "normalizer.clean_text": [True],
    "normalizer.handle_chinese_chars": [True, False],
    "normalizer.strip_accents": [True, False, None],
    "normalizer.lowercase": [True, False],
    "pre_tokenizer.type": ["BertPreTokenizer"],
}


def to_json(tokenizer):
    """The content of the file for a `WordPieceTokenizer`."""
    special = [tokenizer.vocabulary[index] for index in tokenizer.special_ids]
    content = json.loads(rust_tokenizer(tokenizer, special).to_str())
    is_usual = tokenizer.layout == tokenizer.usual_layout
    if not is_usual or None not in (tokenizer.cls_id, tokenizer.sep_id):
        content["post_processor"] = templates.written_template(tokenizer)
    return json.dumps(content, indent=2, ensure_ascii=False)


def read_json(path):
    """Reads the constructor arguments of a `WordPieceTokenizer` from such a file.

    Returns:
        Dictionary of constructor arguments; and the `Layout` of tokens that the file
        specifies, or None.

    Raises:
        TokenizerError: the file is invalid or not BERT's WordPiece.
    """
    content = files.read_json(path, TokenizerError)
    parts = tokenizer_files.parts(content, ["model", "normalizer", "pre_tokenizer"])
    model, normalizer = parts["model"], parts["normalizer"]
    if "max_input_chars_per_word" in model:
        model.setdefault("type", "WordPiece")  # missing in files of 2020
    for field, allowed in _RULES.items():
        part, _, key = field.partition(".")
        check(parts[part].get(key), allowed, path, field)
    arguments = {
        "vocabulary": _tokens(model.get("vocab"), path),
        "lowercase": normalizer["lowercase"],
        "strip_accents": normalizer["strip_accents"],
        "split_cjk": normalizer["handle_chinese_chars"],
        "unknown_token": model.get("unk_token"),
    }
    if not isinstance(arguments["unknown_token"], str):
        raise TokenizerError(
            "This must be a token. Received: "
            f"{json.dumps(arguments['unknown_token'])[:80]}.",
            path=path,
            tensor="model.unk_token",
        )
    vocabulary = arguments["vocabulary"]
    read_added(content.get("added_tokens") or [], vocabulary, path)
    template = _template(content.get(templates.FIELD), vocabulary, path)
    if template is not None:
        around = {"cls_token": template.first, "sep_token": template.last}
        arguments |= {name: token for name, token in around.items() if token}
    return arguments, template


def check(value, allowed, path, field):
    """Raises `TokenizerError` unless a JSON value is allowed for BERT's WordPiece."""
    tokenizer_files.check_field(value, allowed, path, field, "BERT's WordPiece")


def read_added(added, vocabulary, path):
    """Checks added tokens, which must be special, and appends new ones.

    Args:
        added: List of objects with `id`, `content` and `special`.
        vocabulary: List of tokens, which is extended.
        path: The file that contains the tokens.
    """
    if not isinstance(added, list):
        raise TokenizerError("This must be a list.", path=path, tensor="added_tokens")
    for token in added:
        token = token if isinstance(token, dict) else {"content": token}
        index, content = token.get("id"), token.get("content")
        if type(index) is int and index == len(vocabulary) and _is_no_word(content):
            vocabulary.append(content)
        if not (
            type(index) is int
            and 0 <= index < len(vocabulary)
            and content == vocabulary[index]
            and token.get("special") is True
        ):
            raise TokenizerError(
                "An added token must be special and be in the vocabulary with the same "
                "id, or contain punctuation and have the next free id. Received: "
                f"{json.dumps(token)[:120]}.",
                path=path,
                tensor="added_tokens",
                fix=tokenizer_files.NO_WORDS if token.get("special") is False else None,
            )


def _is_no_word(content):
    """Whether this is a string that is never a single word of a text."""
    split = BertPreTokenizer().pre_tokenize_str
    return isinstance(content, str) and len(split(as_text(content))) > 1


def _tokens(ids, path):
    """The tokens in the order of their ids, which must be 0, 1, 2, ..."""
    tokenizer_files.check_ids(ids, path, "model.vocab")
    tokens = sorted(ids, key=ids.get)
    for index, token in enumerate(tokens):
        if ids[token] != index:
            raise TokenizerError(
                f"Ids must be 0, 1, 2, ..., without gaps or duplicates. Received: "
                f"{ids[token]} for {shown(token)} instead of {index}.",
                path=path,
                tensor="model.vocab",
            )
    return tokens


def _template(processor, vocabulary, path):
    """The `Layout` of tokens of a `post_processor`, None if it does not state one."""
    kind = processor.get("type") if isinstance(processor, dict) else processor
    check(kind, [None, "BertProcessing", templates.TEMPLATE], path, templates.FIELD)
    if kind is None:
        return None
    if kind == "BertProcessing":
        cls, sep = (_token(processor, name, path) for name in ("cls", "sep"))
        return Layout(cls, sep, between=(sep,))
    ids = {token: index for index, token in enumerate(vocabulary)}
    return templates.read_template(processor, ids, path)


def _token(processor, name, path):
    """The token of a field [token, id] of `BertProcessing`."""
    pair = processor.get(name)
    if not isinstance(pair, list) or not pair or not isinstance(pair[0], str):
        raise TokenizerError(
            f"This must be a token and its id. Received: {json.dumps(pair)[:80]}.",
            path=path,
            tensor=f"{templates.FIELD}.{name}",
        )
    return pair[0]
