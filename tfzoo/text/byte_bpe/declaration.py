"""How published byte-level BPEs normalize text and split it into words.

Each split and each normalizer is declared once, as the JSON of `tokenizers`: the engine
in Rust is built from it, files are compared with it, and `words` and `normalization`
follow it in TensorFlow.

Sources of the patterns: GPT-2's `encoder.py`, https://github.com/openai/gpt-2; CLIP's
`simple_tokenizer.py`, https://github.com/openai/CLIP; the tokenizer.json of SmolLM2,
Qwen 2 and Llama 3.
"""

import json

from tokenizers import Tokenizer

from tfzoo.errors import TokenizerError
from tfzoo.text import tokenizer_files

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_PATTERNS = {
    "qwen-2": _QWEN2,
    "llama-3": _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|"),
    "clip": rf"<\|startoftext\|>|<\|endoftext\|>|{_CLIP_WORDS}",
    "clip-words": _CLIP_WORDS,
}
_ISOLATED = {"behavior": "Isolated", "invert": False}
_REMOVED = {"behavior": "Removed", "invert": True}  # white space is in no word
SPLITS = ("gpt-2", "smollm-2", *_PATTERNS)
WITHOUT_SPACES = ("clip", "clip-words")
SUFFIXES = ("", "</w>")
_NFC = {"type": "NFC"}
_LOWERCASE = [
    _NFC,
    {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
    {"type": "Lowercase"},
]
_NORMALIZERS = {
    None: None,
    "nfc": _NFC,
    "clip": {"type": "Sequence", "normalizers": _LOWERCASE},
}
NORMALIZERS = tuple(_NORMALIZERS)
BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}


def check(split, normalizer, end_of_word_suffix):
    """Raises `ValueError` unless these arguments of a tokenizer fit together."""
    for name, value, allowed in (
        ("split", split, SPLITS),
        ("normalizer", normalizer, NORMALIZERS),
        ("end_of_word_suffix", end_of_word_suffix, SUFFIXES),
    ):
        if value not in allowed:
            choices = ", ".join(map(repr, allowed))
            raise ValueError(
                f"{name} must be one of {choices}. Received: {value!r:.80}"
            )
    if normalizer == "clip" and split not in WITHOUT_SPACES:
        raise ValueError(
            "normalizer='clip' requires split='clip' or 'clip-words'. "
            f"Received: split={split!r}"
        )


def normalizer_json(normalizer):
    """The field `normalizer` of tokenizer.json, given a name in `NORMALIZERS`."""
    return _NORMALIZERS[normalizer]


def pre_tokenizer_json(split, *, add_prefix_space=False):
    """The field `pre_tokenizer` of tokenizer.json, given a name in `SPLITS`."""
    if split == "gpt-2":
        return {**BYTE_LEVEL, "add_prefix_space": add_prefix_space}
    if split == "smollm-2":
        first, second = {"type": "Digits", "individual_digits": True}, BYTE_LEVEL
    else:
        is_clip = split in WITHOUT_SPACES
        pattern = {"Regex": _PATTERNS[split]}
        first = {"type": "Split", "pattern": pattern}
        first |= _REMOVED if is_clip else _ISOLATED
        second = {**BYTE_LEVEL, "use_regex": is_clip}
    return {"type": "Sequence", "pretokenizers": [first, second]}


def rust_without_model(normalizer, split, *, add_prefix_space=False):
    """A `tokenizers.Tokenizer` with an empty model."""
    content = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer_json(normalizer),
        "pre_tokenizer": pre_tokenizer_json(split, add_prefix_space=add_prefix_space),
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    return Tokenizer.from_str(json.dumps(content))


def read_normalizer(value, split, path):
    """The name in `NORMALIZERS` of a field `normalizer`.

    Args:
        value: The JSON value.
        split: A name in `SPLITS`; only CLIP's go with CLIP's normalizer.
        path: The file, for errors.

    Raises:
        TokenizerError: it is another normalizer.
    """
    steps = _steps(value, "normalizers")
    for name, known in _NORMALIZERS.items():
        is_known = name != "clip" or split in WITHOUT_SPACES
        if is_known and steps == _steps(known, "normalizers"):
            return name
    raise TokenizerError(
        "The normalizer must be null, NFC, or CLIP's: NFC, white space to a space, and "
        f"Lowercase. Received: {_written(value)}.",
        path=path,
        tensor="normalizer",
    )


def read_pre_tokenizer(value, path):
    """The name in `SPLITS` of a field `pre_tokenizer`, and its `add_prefix_space`.

    Raises:
        TokenizerError: it is another pre-tokenizer.
    """
    steps, field = _steps(value, "pretokenizers"), "pre_tokenizer"
    kinds = [step.get("type") if isinstance(step, dict) else step for step in steps]
    if kinds == ["ByteLevel"]:
        (byte_level,) = steps
        _check(byte_level.get("use_regex"), [None, True], path, f"{field}.use_regex")
        prefix = byte_level.get("add_prefix_space")
        _check(prefix, [True, False], path, f"{field}.add_prefix_space")
        return "gpt-2", prefix
    if kinds not in (["Digits", "ByteLevel"], ["Split", "ByteLevel"]):
        raise TokenizerError(
            'The pre-tokenizer must be "ByteLevel", alone or after Digits or Split. '
            f"Received: {_written(value)}.",
            path=path,
            tensor=f"{field}.type",
        )
    first, byte_level = steps
    prefix = byte_level.get("add_prefix_space")
    _check(prefix, [False], path, f"{field}.add_prefix_space")
    split = "smollm-2" if kinds[0] == "Digits" else _split_of(first, path)
    if split == "smollm-2":
        alone = first.get("individual_digits")
        _check(alone, [True], path, f"{field}.individual_digits")
    splits_again = split in ("smollm-2", *WITHOUT_SPACES)
    allowed = [None, True] if splits_again else [False]
    _check(byte_level.get("use_regex"), allowed, path, f"{field}.use_regex")
    return "gpt-2" if split == "gpt-2-split" else split, False


def _split_of(step, path):
    """The name of a `Split`."""
    pattern, field = step.get("pattern"), "pre_tokenizer.pattern"
    pattern = pattern.get("Regex") if isinstance(pattern, dict) else None
    patterns = {**_PATTERNS, "gpt-2-split": _GPT2}
    names = [name for name, known in patterns.items() if known == pattern]
    if not names:
        raise TokenizerError(
            "The pattern must be that of GPT-2, Qwen 2, Llama 3 or CLIP. Received: "
            f"{_written(step.get('pattern'))}.",
            path=path,
            tensor=field,
        )
    how = {name: step.get(name) for name in _ISOLATED}
    # The other patterns match every character, so that nothing is removed.
    allowed = [_REMOVED] if names[0] in WITHOUT_SPACES else [_ISOLATED, _REMOVED]
    _check(how, allowed, path, "pre_tokenizer.behavior")
    return names[0]


def _steps(value, name):
    """The steps of a normalizer or pre-tokenizer, which may be a sequence of them."""
    if value is None:
        return []
    if isinstance(value, dict) and value.get("type") == "Sequence":
        steps = value.get(name)
        return steps if isinstance(steps, list) else [steps]
    return [value]


def _check(value, allowed, path, field):
    tokenizer_files.check_field(value, allowed, path, field, "byte-level BPE")


def _written(value):
    return json.dumps(value)[:300]
