"""`tokenizer.json` of a byte-level BPE tokenizer, the format of `tokenizers`."""

import json

from tfzoo import files
from tfzoo.errors import TokenizerError
from tfzoo.text import templates, tokenizer_files
from tfzoo.text.byte_bpe import added_tokens, declaration, rules
from tfzoo.text.byte_bpe.declaration import BYTE_LEVEL, SUFFIXES
from tfzoo.text.layout import Layout

_RULES = {  # fields of tokenizer.json: possible values
    "model.type": ["BPE"],
    "model.dropout": [None, 0.0],
    "model.continuing_subword_prefix": [None, ""],
    "model.end_of_word_suffix": [None, *SUFFIXES],
    "model.byte_fallback": [None, False],
    "model.ignore_merges": [None, False, True],
}
_PROCESSORS = ["ByteLevel", "RobertaProcessing", templates.TEMPLATE, "Sequence"]
_OF = "byte-level BPE"


def to_json(tokenizer):
    """The content of the file for a `ByteBPETokenizer`."""
    add_prefix_space = tokenizer.add_prefix_space
    byte_level = {**BYTE_LEVEL, "add_prefix_space": add_prefix_space}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens.to_json(tokenizer),
        "normalizer": declaration.normalizer_json(tokenizer.normalizer),
        "pre_tokenizer": declaration.pre_tokenizer_json(
            tokenizer.split, add_prefix_space=add_prefix_space
        ),
        "post_processor": _processor(tokenizer, byte_level),
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": tokenizer.end_of_word_suffix,
            "fuse_unk": False,
            "byte_fallback": False,
            **({"ignore_merges": True} if tokenizer.ignore_merges else {}),
            "vocab": ids(tokenizer),
            "merges": list(map(" ".join, tokenizer.merges)),
        },
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _processor(tokenizer, byte_level):
    """The field `post_processor`: the layout, and offsets without leading spaces."""
    if tokenizer.layout != tokenizer.usual_layout:
        processors = [byte_level, templates.written_template(tokenizer)]
        return {"type": "Sequence", "processors": processors}
    if not has_layout(tokenizer):
        return byte_level
    return {
        "type": "RobertaProcessing",
        "sep": [tokenizer.sep_token, tokenizer.sep_id],
        "cls": [tokenizer.cls_token, tokenizer.cls_id],
        "trim_offsets": True,
        "add_prefix_space": tokenizer.add_prefix_space,
    }


def has_layout(tokenizer):
    """Whether it has special tokens around texts, all of them in the vocabulary."""
    ids = [getattr(tokenizer, f"{name}_id") for name in tokenizer.layout.tokens]
    return bool(ids) and None not in ids


def ids(tokenizer):
    """Dict of token -> id of a `ByteBPETokenizer`."""
    tokens = enumerate(tokenizer.vocabulary)
    return {token: index for index, token in tokens if token is not None}


def read_json(path):
    """Reads the constructor arguments of a `ByteBPETokenizer` from such a file.

    Returns:
        Dictionary of constructor arguments; the list of added tokens; and the `Layout`
        of tokens that the file specifies, or None.

    Raises:
        TokenizerError: the file is invalid, or states a rule that is not supported.
    """
    content = files.read_json(path, TokenizerError)
    model = tokenizer_files.parts(content, ["model"])["model"]
    if "merges" in model:
        model.setdefault("type", "BPE")  # missing in files of 2020
    for field, allowed in _RULES.items():
        check(model.get(field.removeprefix("model.")), allowed, path, field)
    split, add_prefix_space = declaration.read_pre_tokenizer(
        content.get("pre_tokenizer"), path
    )
    normalizer = declaration.read_normalizer(content.get("normalizer"), split, path)
    decoder = content.get("decoder")
    kind = decoder.get("type") if isinstance(decoder, dict) else decoder
    check(kind, [None, "ByteLevel"], path, "decoder")
    suffix = model.get("end_of_word_suffix") or ""
    vocabulary = rules.in_order(model.get("vocab"), path, "model.vocab")
    added = content.get("added_tokens") or []
    tokens = added_tokens.read_added(added, vocabulary, path)
    by_token = rules.check_vocabulary(vocabulary, suffix, path, "model.vocab")
    merges = _merges(model.get("merges"), path)
    rules.check_merges(
        merges, by_token, path, lambda rank: {"tensor": f"model.merges[{rank}]"}
    )
    rules.check_special(tokens["special_tokens"], merges, by_token, suffix, path)
    return (
        {
            "vocabulary": vocabulary,
            "merges": merges,
            **tokens,
            "add_prefix_space": add_prefix_space,
            "split": split,
            "normalizer": normalizer,
            "end_of_word_suffix": suffix,
            "ignore_merges": bool(model.get("ignore_merges")),
        },
        added,
        _template(content.get(templates.FIELD), by_token, path, trims=not suffix),
    )


def check(value, allowed, path, field):
    """Raises `TokenizerError` unless a JSON value is allowed for byte-level BPE."""
    tokenizer_files.check_field(value, allowed, path, field, _OF)


def _template(processor, ids, path, *, trims):
    """The `Layout` of tokens of a `post_processor`, None if it does not state one."""
    kind = processor.get("type") if isinstance(processor, dict) else processor
    check(kind, [None, *_PROCESSORS], path, templates.FIELD)
    if kind == "Sequence":
        found = processor.get("processors")
        found = found if isinstance(found, list) else []
        kinds = [p.get("type") if isinstance(p, dict) else p for p in found]
        check(kinds, [["ByteLevel", templates.TEMPLATE]], path, templates.FIELD)
        kind, processor = templates.TEMPLATE, found[1]
    if kind == "RobertaProcessing":
        trim = processor.get("trim_offsets", True)
        allowed = [True] if trims else [True, False]  # CLIP has no spaces to trim
        check(trim, allowed, path, "post_processor.trim_offsets")
        cls, sep = (_own_id(processor, name, ids, path) for name in ("cls", "sep"))
        return Layout(cls, sep, between=(sep, sep), second_segment=0)
    if kind == templates.TEMPLATE:
        return templates.read_template(processor, ids, path)
    return None


def _own_id(processor, name, ids, path):
    """The token of a field [token, id] of `RobertaProcessing`."""
    pair = processor.get(name)
    if not (
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and pair[0] in ids
        and pair[1] == ids[pair[0]]
    ):
        raise TokenizerError(
            "This must be a token and its id in the vocabulary. Received: "
            f"{json.dumps(pair)[:80]}.",
            path=path,
            tensor=f"post_processor.{name}",
        )
    return pair[0]


def _merges(merges, path):
    """Pairs of tokens, which files before 2024 separate by a space."""
    if not isinstance(merges, list):
        raise TokenizerError("This must be a list.", path=path, tensor="model.merges")
    pairs = [m.split(" ") if isinstance(m, str) else m for m in merges]
    for rank, pair in enumerate(pairs):
        if not isinstance(pair, list):
            raise TokenizerError(
                f"A merge must be two tokens. Received: {json.dumps(pair)[:80]}.",
                path=path,
                tensor=f"model.merges[{rank}]",
            )
    return list(map(tuple, pairs))
