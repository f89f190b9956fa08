"""The files of a byte-level BPE tokenizer, in the layout of Hugging Face and OpenAI.

`tokenizer.json`; or `vocab.json` (token -> id) and `merges.txt` (a pair of tokens per
line, after a line with the version), which OpenAI calls `encoder.json` and `vocab.bpe`;
or the file of merges of OpenAI's CLIP. How text is normalized and split is stated in
`tokenizer.json`, and otherwise that of the class. With either,
`tokenizer_config.json` and `special_tokens_map.json` name the special tokens. Tokens
that they do not name default to those of the class, which is the one named or, if none
is named, one whose special tokens are all in the vocabulary.
"""

import json

from tfzoo import files
from tfzoo.checkpoints.references import local_directory
from tfzoo.errors import TokenizerError
from tfzoo.text import keras_hub_files, templates, tokenizer_files
from tfzoo.text.byte_bpe import added_tokens, clip_file, json_file, rules
from tfzoo.text.layout import ROLES, Layout
from tfzoo.text.tokenizer_classes import (
    BYTE_BPE,
    CLASSES,
    class_to_write,
    known_class,
    named_class,
)
from tfzoo.text.tokenizer_files import (
    CONFIG,
    IGNORES_OPTIONS,
    JSON,
    NAMES,
    TOKENS,
)

PAIRS_OF_FILES = (
    ("vocab.json", "merges.txt"),
    ("encoder.json", "vocab.bpe"),
    keras_hub_files.PAIR_OF_FILES,
    (clip_file.NAME, clip_file.NAME),
)
END_TOKEN = "<|endoftext|>"
_VERSION = "#version: 0.2"


def read_preset(directory):
    """Reads the constructor arguments of a `ByteBPETokenizer` from a directory.

    Returns:
        Dictionary of constructor arguments.

    Raises:
        TokenizerError: a file is missing or invalid, or states a rule that is not
            supported.
    """
    directory = local_directory(directory, weights=False)
    directory, config = keras_hub_files.vocabulary_and_config(directory)
    named = tokenizer_files.named_tokens(directory, config)
    name, template = config.get("tokenizer_class"), None
    known = known_class(name, BYTE_BPE)
    if (directory / JSON).exists():
        arguments, added, template = json_file.read_json(directory / JSON)
        arguments["layout"] = known and known.layout
        if name in IGNORES_OPTIONS:
            arguments["layout"] = Layout()  # unless tokenizer.json states one
    else:
        added, path = tokenizer_files.added_tokens(directory, config, named)
        arguments, known = _read_pair(directory, config, added, path)
        arguments["layout"] = known and known.layout
    if name is None:
        known = _class_of_words(arguments["vocabulary"])
    arguments |= _special(named, known, arguments["vocabulary"])
    if name is None and known is not None:  # inferred; a file may name a token null
        around = [arguments.get(f"{role}_token") for role in known.layout.tokens]
        arguments["layout"] = None if None in around else arguments["layout"]
    is_clip = known is not None and known.layout.first == "start"
    sides = ("start", "end") if is_clip else ("cls", "sep")
    if template is not None and None not in (template.first, template.last):
        for role, token in zip(sides, (template.first, template.last), strict=True):
            if arguments.get(f"{role}_token") is None:  # no file names it, or null
                arguments[f"{role}_token"] = token
    if template is not None:
        arguments |= _layout(template, arguments, sides, directory / JSON)
    read_names = "added_tokens_decoder" not in config and (directory / NAMES).exists()
    rules.check_special(
        [v for k, v in arguments.items() if k.endswith("_token") and v is not None],
        arguments["merges"],
        arguments["vocabulary"],
        arguments.get("end_of_word_suffix", ""),
        directory / (NAMES if read_names else CONFIG),
    )
    arguments["add_prefix_space"] = _prefix(arguments, config, directory)
    mask = arguments.get("mask_token")
    objects = [named.get("mask_token"), *added]
    found = [x for x in objects if x is not None and x["content"] == mask]
    path = directory / (JSON if (directory / JSON).exists() else CONFIG)
    for token in found:
        arguments["mask_lstrip"] = _mask_lstrip(token, path)
    return arguments


def write_preset(tokenizer, directory, max_sequence_length=None):
    """Writes the four files into an existing directory without overwriting any.

    Without a class that normalizes and splits text in the same way, tokenizer.json is
    not accompanied by vocab.json and merges.txt, which do not state that.
    """
    layout = tokenizer.layout if json_file.has_layout(tokenizer) else Layout()
    end_token = None if tokenizer.end_id is None else tokenizer.end_token
    tokens = {theirs: getattr(tokenizer, ours) for theirs, ours in TOKENS.items()}
    there = {k: t for k, t in tokens.items() if tokenizer.token_to_id(t) is not None}
    name = class_to_write(BYTE_BPE, layout, tokenizer.declared())
    known = CLASSES.get(name)
    config = {
        "tokenizer_class": name,
        "add_prefix_space": tokenizer.add_prefix_space,
        "added_tokens_decoder": {
            str(token.pop("id")): token for token in added_tokens.to_json(tokenizer)
        },
        "bos_token": _first_token(tokenizer, layout, end_token),
        "eos_token": end_token,
        # A class of `transformers` adds its default for a special token not named here.
        **(
            dict.fromkeys(TOKENS)
            if layout.tokens or (known and known.tokens)
            else {"unk_token": end_token}
        ),
        **there,
    }
    if max_sequence_length is not None:
        config["model_max_length"] = max_sequence_length
    vocabulary, merges = PAIRS_OF_FILES[0]
    contents = {
        JSON: json_file.to_json(tokenizer),
        vocabulary: json.dumps(json_file.ids(tokenizer), ensure_ascii=False),
        merges: "\n".join([_VERSION, *map(" ".join, tokenizer.merges)]),
        CONFIG: json.dumps(config, indent=2, ensure_ascii=False),
    }
    stated = known.options if known else {}
    if tokenizer.declared() != stated:
        del contents[vocabulary], contents[merges]
    tokenizer_files.write_files(directory, contents)


def _first_token(tokenizer, layout, end_token):
    """The `bos_token` of `transformers`."""
    if tokenizer.start_id is not None:
        return tokenizer.start_token
    if layout.first is not None:
        return getattr(tokenizer, f"{layout.first}_token")
    return end_token


def _class_of_words(vocabulary):
    """The class with a layout whose special tokens are in the vocabulary, or None."""
    words = set(vocabulary)
    for known in CLASSES.values():
        if (
            known.algorithm == BYTE_BPE
            and known.layout.tokens
            and words.issuperset(known.tokens.values())
        ):
            return known
    return None


def _special(named, known, vocabulary):
    """Constructor arguments: special tokens, named by files or defaults of the class.

    Args:
        named: The `named_tokens` of the directory.
        known: The `TokenizerClass`, or None.
        vocabulary: List of tokens.
    """
    found = dict(known.tokens) if known else {}
    for theirs, ours in {**TOKENS, "eos_token": "end_token"}.items():
        if theirs in named:
            token = named[theirs]
            found[ours] = None if token is None else token["content"]
    if found.get("end_token", "") is None:
        del found["end_token"]
    if found.get("unknown_token") == found.get("end_token"):
        found.pop("unknown_token", None)  # GPT-2 has only one special token
    start = (named.get("bos_token") or {}).get("content")
    others = (found.get("end_token", END_TOKEN), found.get("cls_token"))
    if start is not None and start in vocabulary and start not in others:
        found["start_token"] = start
    return found


def _layout(template, arguments, sides, path):
    """Constructor arguments: the layout, and the tokens that it gives a role.

    Tokens on both sides of a text have the roles `sides`. A token on only one side has
    the role that the files name, otherwise it is the start or the end token.
    """
    tokens = {name: arguments.get(f"{name}_token") for name in ROLES}
    if None not in (template.first, template.last):
        return {"layout": templates.with_roles(template, *sides, tokens, path)}
    first = _role(
        template.first, ("cls", "start", "end"), ("start", "cls"), tokens, path
    )
    last = _role(template.last, ("sep", "end"), ("end", "sep"), tokens, path)
    found = {first: template.first, last: template.last}
    found.pop(None)  # the side without a token
    layout = templates.with_roles(template, first, last, tokens | found, path)
    return {"layout": layout, **{f"{n}_token": token for n, token in found.items()}}


def _role(token, named, free, tokens, path):
    """The role that a token has, or the first one that no token has.

    Args:
        token: The token; None has no role.
        named: Roles that it may have.
        free: Roles that it may be given.
        tokens: Dict of role -> token or None.
        path: The file, for errors.
    """
    if token is None:
        return None
    roles = [role for role in named if tokens[role] == token]
    roles += [role for role in free if tokens[role] is None]
    if not roles:
        raise TokenizerError(
            f"The token {token!r:.80} around a text must be named as a special token.",
            path=path,
            tensor=f"{templates.FIELD}.single",
        )
    return roles[0]


def _prefix(arguments, config, directory):
    """The argument `add_prefix_space`; tokenizer_config.json takes precedence.

    GPT-2 reads running text, which may be split anywhere, so a space would be wrong.
    """
    value = arguments.get("add_prefix_space", False)
    path, field = directory / JSON, "pre_tokenizer.add_prefix_space"
    is_told = "add_prefix_space" in config
    if is_told and config.get("tokenizer_class") not in IGNORES_OPTIONS:
        value = config["add_prefix_space"]
        path, field = directory / CONFIG, "add_prefix_space"
    has_layout = arguments.get("cls_token") and arguments.get("sep_token")
    allowed = [True, False] if has_layout else [False]
    json_file.check(value, allowed, path, field)
    return value


def _mask_lstrip(token, path):
    """Whether the mask token (an object in the files) absorbs the spaces before it."""
    for name in ("single_word", "rstrip"):
        value = token.get(name, False)
        json_file.check(value, [False], path, f"mask_token.{name}")
    value = token.get("lstrip", True)
    json_file.check(value, [True, False], path, "mask_token.lstrip")
    return value


def _read_pair(directory, config, added, added_path):
    """Constructor arguments, and the `TokenizerClass` or None."""
    for names in PAIRS_OF_FILES:
        if (directory / names[0]).exists():
            vocabulary_path, merges_path = (directory / name for name in names)
            break
    else:
        raise TokenizerError(
            f"The directory of a tokenizer must contain {JSON}, or "
            + ", or ".join(map(" and ".join, PAIRS_OF_FILES))
            + ".",
            path=directory,
        )
    name = config.get("tokenizer_class")
    if name is not None and name not in IGNORES_OPTIONS:
        named_class(name, BYTE_BPE, directory / CONFIG, "tokenizer_class")
    first_line = 2
    if merges_path.name == clip_file.NAME:
        vocabulary, merges = clip_file.read_clip_file(merges_path)
    else:
        ids = files.read_json(vocabulary_path, TokenizerError)
        vocabulary = rules.in_order(ids, vocabulary_path)
        merges, first_line = _read_merges(merges_path)
    tokens = added_tokens.read_added(added, vocabulary, added_path)
    known = known_class(name, BYTE_BPE) if name else _class_of_words(vocabulary)
    options = dict(known.options) if known else {}
    suffix = options.get("end_of_word_suffix", "")
    ids = rules.check_vocabulary(vocabulary, suffix, vocabulary_path)
    rules.check_merges(
        merges, ids, merges_path, lambda rank: {"line": rank + first_line}
    )
    rules.check_special(tokens["special_tokens"], merges, ids, suffix, added_path)
    return {"vocabulary": vocabulary, "merges": merges, **tokens, **options}, known


def _read_merges(path):
    """Pairs of tokens, and the line number of the first pair."""
    lines = tokenizer_files.read_lines(path)
    first_line = 2 if lines and lines[0].startswith("#version") else 1
    return [tuple(line.split(" ")) for line in lines[first_line - 1 :]], first_line
