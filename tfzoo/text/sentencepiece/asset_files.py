"""The files of a SentencePiece tokenizer, in the layout of Hugging Face.

`tokenizer.json`; or the file of the library under one of its names: `spiece.model` of
T5, `tokenizer.model` of Llama, `sentencepiece.bpe.model` of XLM-R (whose ids are
shifted by one, as in fairseq), or Marian's, see `marian_files`. With either,
`tokenizer_config.json` and `special_tokens_map.json` name the special tokens and the
class, whose defaults apply to what is not named.
"""

import json

from tfzoo import files
from tfzoo.checkpoints.references import local_directory
from tfzoo.errors import TokenizerError, about, shown
from tfzoo.text import templates, tokenizer_files
from tfzoo.text.sentencepiece import json_file, marian_files, model_file
from tfzoo.text.sentencepiece.marian_files import SOURCE
from tfzoo.text.tokenizer_classes import (
    CLASSES,
    LLAMA,
    MARIAN,
    SENTENCEPIECE,
    T5,
    XLM_ROBERTA,
    class_to_write,
    known_class,
    named_class,
    start_and_end,
)
from tfzoo.text.tokenizer_files import CONFIG, IGNORES_OPTIONS, JSON, TOKENS

OF_T5, OF_LLAMA, XLM_R = "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"
MODELS = (OF_T5, OF_LLAMA, XLM_R, SOURCE)
_CLASS_OF = {SOURCE: MARIAN, XLM_R: XLM_ROBERTA}
_ROLES = {"bos_token": "start_token", "eos_token": "end_token", **TOKENS}
_FIRST, _LAST = ("cls", "start", "end"), ("sep", "end")


def read_preset(directory):
    """Reads the constructor arguments of a `SentencePieceTokenizer` from a directory.

    Returns:
        Dictionary of constructor arguments.

    Raises:
        TokenizerError: a file is missing, invalid or not SentencePiece's.
    """
    directory = local_directory(directory, weights=False)
    config = tokenizer_files.read_config(directory)
    named = tokenizer_files.named_tokens(directory, config)
    if (directory / JSON).exists():
        return _read_json(directory, config, named)
    found = [name for name in MODELS if (directory / name).exists()]
    if not found:
        raise TokenizerError(
            f"The directory of a tokenizer must contain {JSON}, {', '.join(MODELS)}.",
            path=directory,
        )
    return _read_model(directory, found[0], config, named)


def _read_json(directory, config, named):
    path = directory / JSON
    model, added, template = json_file.read_json(path)
    with about(path):
        pieces = list(json_file.read_model(model).pieces)
    special = _with_added(pieces, added, path)
    known = known_class(config.get("tokenizer_class"), SENTENCEPIECE)
    arguments = {"model": model, "vocabulary": pieces, "special_tokens": special}
    arguments |= _special(named, known, pieces)
    if template is not None:
        arguments |= _layout(template, arguments, path)
    elif known and config.get("tokenizer_class") not in IGNORES_OPTIONS:
        arguments["layout"] = known.layout
    for token in added:
        if token.get("content") == arguments.get("mask_token"):
            arguments["mask_lstrip"] = bool(token.get("lstrip", True))
    return arguments


def _read_model(directory, name, config, named):
    class_name = config.get("tokenizer_class") or _CLASS_OF.get(name)
    known = None
    if class_name is not None and class_name not in IGNORES_OPTIONS:
        known = named_class(
            class_name, SENTENCEPIECE, directory / CONFIG, "tokenizer_class"
        )
    needed = _CLASS_OF.get(name)
    if needed is not None and known is not CLASSES[needed]:
        raise TokenizerError(
            f"The class of {name} must be {needed}. Received: {shown(class_name)}.",
            path=directory / CONFIG,
            tensor="tokenizer_class",
        )
    path = directory / name
    content = files.read_bytes(path, tokenizer_files.MAX_BYTES, TokenizerError)
    with about(path):
        pieces = list(model_file.read_model(content).pieces)
    arguments = {"model": content}
    if name == XLM_R:
        first = ["<unk>", "<s>", "</s>"]
        if pieces[:3] != first:
            raise TokenizerError(
                f"The first pieces must be {', '.join(first)} for the ids of XLM-R. "
                f"Received: {shown(pieces[:3])}.",
                path=path,
            )
        pieces = in_fairseq(pieces)
    elif name == SOURCE:
        arguments |= marian_files.read_vocabularies(directory, config, content)
        pieces = arguments["vocabulary"]
    else:
        number = config.get("extra_ids", known.num_extra if known else 0)
        if type(number) is not int or not 0 <= number <= 10_000:
            raise TokenizerError(
                f"This must be an integer from 0 to 10000. Received: {shown(number)}.",
                path=directory / CONFIG,
                tensor="extra_ids",
            )
        has_extra = known is CLASSES[T5] and "<extra_id_0>" not in pieces
        extra = [f"<extra_id_{i}>" for i in reversed(range(number * has_extra))]
        pieces += extra
        arguments["special_tokens"] = extra
        added, added_path = tokenizer_files.added_tokens(directory, config, named)
        arguments["special_tokens"] += _with_added(pieces, added, added_path)
    arguments["vocabulary"] = pieces
    arguments |= _special(named, known, pieces)
    if known:
        arguments["layout"] = _flagged(known, config, directory / CONFIG)
    return arguments


def in_fairseq(pieces):
    """The pieces of a model in fairseq's order: <unk> after <s>, <pad> and </s>."""
    return ["<s>", "<pad>", "</s>", "<unk>", *pieces[3:], "<mask>"]


def _flagged(known, config, path):
    """The layout of a class; Llama's has a flag for either token."""
    if known is not CLASSES[LLAMA]:
        return known.layout
    flags = {}
    for name, usual in (("add_bos_token", True), ("add_eos_token", False)):
        flags[name] = config.get(name, usual)
        tokenizer_files.check_field(flags[name], [True, False], path, name, "Llama")
    return start_and_end(*flags.values())


def _with_added(vocabulary, added, path):
    """The contents of added tokens, which must be special; appends them if missing."""
    rule = "An added token must be special and have a unique id"
    if not isinstance(added, list):
        raise TokenizerError("This must be a list.", path=path, tensor="added_tokens")
    for token in added:
        index = token.get("id") if isinstance(token, dict) else None
        content = token.get("content") if isinstance(token, dict) else None
        is_right = (
            type(index) is int and 0 <= index < tokenizer_files.MAX_VOCABULARY_SIZE
        )
        if is_right:
            vocabulary += [None] * (index + 1 - len(vocabulary))
            is_right = vocabulary[index] in (None, content)
        is_text = isinstance(content, str) and content.isprintable() and content
        if not is_right or not is_text or token.get("special") is not True:
            is_word = isinstance(token, dict) and token.get("special") is False
            raise TokenizerError(
                f"{rule}. Received: {json.dumps(token)[:120]}.",
                path=path,
                tensor="added_tokens",
                fix=tokenizer_files.NO_WORDS if is_word else None,
            )
        vocabulary[index] = content
    return [token["content"] for token in added]


def _special(named, known, vocabulary):
    """Constructor arguments: special tokens, of the files or the class."""
    words = set(vocabulary)
    found = {}
    for argument, token in (known.tokens if known else {}).items():
        if token in words or argument == "unknown_token":
            found[argument] = token
    for theirs, ours in _ROLES.items():
        if theirs in named:
            token = named[theirs]
            found[ours] = None if token is None else token["content"]
    return found


def _layout(template, arguments, path):
    """Constructor arguments: the layout, and the tokens that it gives a role."""
    tokens = {
        name: arguments.get(f"{name}_token") for name in dict.fromkeys(_FIRST + _LAST)
    }

    def role(token, names, new):
        named = [name for name in names if tokens[name] == token]
        return (named or [new])[0]

    first, last = (
        role(template.first, _FIRST, "start"),
        role(template.last, _LAST, "end"),
    )
    tokens |= {
        first: template.first or tokens[first],
        last: template.last or tokens[last],
    }
    layout = templates.with_roles(template, first, last, tokens, path)
    return {"layout": layout, **{f"{n}_token": tokens[n] for n in layout.tokens}}


def write_preset(tokenizer, directory, max_sequence_length=None):
    """Writes the files of a tokenizer without overwriting any."""
    layout = tokenizer.layout
    tokens = {theirs: getattr(tokenizer, ours) for theirs, ours in _ROLES.items()}
    config = {name: token for name, token in tokens.items() if token is not None}
    pieces = list(tokenizer.piece_model.pieces)
    if isinstance(tokenizer.model, dict):
        name = class_to_write(SENTENCEPIECE, layout)
        contents = {JSON: _to_json(tokenizer)}
    else:
        name, contents, options = _model_files(tokenizer, pieces)
        config |= options
    extra = tokenizer.vocabulary[len(pieces) :]
    if extra and tokenizer.ids_of_pieces is None:
        config["added_tokens_decoder"] = {
            str(token.pop("id")): token for token in _added(tokenizer)
        }
    config = {"tokenizer_class": name, **config}
    if max_sequence_length is not None:
        config["model_max_length"] = max_sequence_length
    contents[CONFIG] = json.dumps(config, indent=2, ensure_ascii=False)
    tokenizer_files.write_files(directory, contents)


def _model_files(tokenizer, pieces):
    """The class, the contents of the files of its model, and options of the class."""
    layout = tokenizer.layout
    if tokenizer.language_codes:
        return MARIAN, *marian_files.to_write(tokenizer)
    if tokenizer.ids_of_pieces is not None:
        if list(tokenizer.vocabulary) != in_fairseq(pieces):
            raise ValueError(
                "A model can only be written with the ids of its pieces, of XLM-R or, "
                "with language_codes, of Marian. Received a vocabulary that begins "
                f"with {shown(list(tokenizer.vocabulary[:3]))}"
            )
        return XLM_ROBERTA, {XLM_R: tokenizer.model}, {}
    if layout == CLASSES[T5].layout:
        return T5, {OF_T5: tokenizer.model}, {"extra_ids": 0}
    flags = {"add_bos_token": layout.first is not None}
    flags["add_eos_token"] = layout.last is not None
    return LLAMA, {OF_LLAMA: tokenizer.model}, flags


def _added(tokenizer):
    """The special tokens as objects of tokenizer.json."""
    by_id = sorted(zip(tokenizer.special_ids, tokenizer.special_tokens, strict=True))
    same = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    added = [{"id": i, "content": t, **same, "special": True} for i, t in by_id]
    for token in added:
        if token["content"] == tokenizer.mask_token:
            token["lstrip"] = tokenizer.mask_lstrip
    return added


def _to_json(tokenizer):
    has_layout = bool(tokenizer.layout.tokens)
    processor = templates.written_template(tokenizer) if has_layout else None
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(tokenizer),
        "normalizer": tokenizer.model["normalizer"],
        "pre_tokenizer": tokenizer.model["pre_tokenizer"],
        templates.FIELD: processor,
        "decoder": tokenizer.model["decoder"],
        "model": tokenizer.model["model"],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)
