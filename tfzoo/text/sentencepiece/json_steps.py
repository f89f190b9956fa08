"""The parts of tokenizer.json around a SentencePiece model, read as steps.

Normalizers and the pre-tokenizer become the `steps` of a `PieceModel`, the decoder its
`decodes`.
"""

import base64
import binascii
import functools
import json

from tfzoo.errors import TokenizerError
from tfzoo.text import tokenizer_files
from tfzoo.text.sentencepiece.charsmap import Charsmap
from tfzoo.text.sentencepiece.piece_model import SPACE

LIKE = "SentencePiece"
_SPACES = {"Regex": " {2,}"}
METASPACE, BYTE_FALLBACK, STRIPPED = (
    "Metaspace",
    "ByteFallback",
    "ByteFallback, Strip",
)
_DECODERS = {
    BYTE_FALLBACK: ["Replace", "ByteFallback", "Fuse"],
    STRIPPED: ["Replace", "ByteFallback", "Fuse", "Strip"],
}


def normalizer_steps(model):
    """The `Charsmap`, or None, and the steps of the normalizer and pre-tokenizer."""
    charsmap, steps = None, []
    for field, part in _sequence(model, "normalizer", "normalizers"):
        kind = part["type"]
        if kind == "Precompiled" and charsmap is None and not steps:
            charsmap = _charsmap(part.get("precompiled_charsmap"), field)
            steps.append("graphemes")
        elif kind == "Strip":
            check(part.get("strip_left"), [False], f"{field}.strip_left")
            check(part.get("strip_right"), [True], f"{field}.strip_right")
            steps.append("strip_right")
        elif kind == "Prepend":
            check(part.get("prepend"), [SPACE], f"{field}.prepend")
            steps.append("dummy_prefix")
        elif kind == "Replace" and part.get("pattern") == _SPACES:
            check(part.get("content"), [" ", SPACE], f"{field}.content")
            steps.append("squeeze" if part["content"] == " " else "squeeze_to_piece")
        elif kind == "Replace":
            check(part.get("pattern"), [{"String": " "}, _SPACES], f"{field}.pattern")
            check(part.get("content"), [SPACE], f"{field}.content")
            steps.append("replace_spaces")
        else:
            known = ["Precompiled (once, first)", "Strip", "Prepend", "Replace"]
            check(kind, known, field)
    for field, part in _sequence(model, "pre_tokenizer", "pretokenizers"):
        kind = part["type"]
        check(kind, ["WhitespaceSplit", "Metaspace"], field)
        steps += [_metaspace(part, field)] if kind == "Metaspace" else ["split_spaces"]
    if "split_spaces" in steps and steps[-1] != "metaspace_always_split":
        rule = "WhitespaceSplit must be followed by Metaspace, which begins every word."
        raise TokenizerError(rule, tensor="pre_tokenizer")
    if not any(step.startswith(("replace_spaces", "metaspace")) for step in steps):
        rule = f"A normalizer or pre-tokenizer must replace spaces by {SPACE}."
        raise TokenizerError(rule, tensor="normalizer")
    return charsmap, tuple(steps)


def _sequence(model, name, of):
    """Fields and objects of a part that may be one, several or none."""
    part = model.get(name)
    if part is None:
        return []
    check(part.get("type") if isinstance(part, dict) else part, None, name)
    if part["type"] != "Sequence":
        return [(name, part)]
    parts = part.get(of)
    if not isinstance(parts, list) or not all(
        isinstance(p, dict) and isinstance(p.get("type"), str) for p in parts
    ):
        raise TokenizerError("This must be a list of objects.", tensor=f"{name}.{of}")
    return [(f"{name}.{of}[{i}]", part) for i, part in enumerate(parts)]


def _metaspace(part, field):
    """The step of a `Metaspace`, such as "metaspace_always_split"."""
    check(part.get("replacement"), [SPACE], f"{field}.replacement")
    check(part.get("split", True), [True, False, None], f"{field}.split")
    adds = part.get("add_prefix_space")
    check(adds, [True, False, None], f"{field}.add_prefix_space")
    scheme = part.get("prepend_scheme", "never" if adds is False else "always")
    allowed = ["never"] if adds is False else ["always", "first", "never"]
    check(scheme, allowed, f"{field}.prepend_scheme")
    split = part.get("split")
    return f"metaspace_{scheme}" + ("_split" if split or split is None else "")


def decoder_kind(part):
    """`METASPACE`, "Metaspace never", `BYTE_FALLBACK` or `STRIPPED`."""
    kinds = [p["type"] for _, p in _sequence({"decoder": part}, "decoder", "decoders")]
    if kinds == [METASPACE]:
        scheme = _metaspace(part, "decoder")
        return "Metaspace never" if "never" in scheme else METASPACE
    found = [name for name, steps in _DECODERS.items() if kinds == steps]
    if not found:
        raise TokenizerError(
            "The decoder must be Metaspace, or Replace, ByteFallback, Fuse and "
            f"optionally Strip. Received: {json.dumps(kinds)[:80]}.",
            tensor="decoder",
        )
    replace, *_, last = part["decoders"]
    check(replace.get("pattern"), [{"String": SPACE}], "decoder.decoders[0].pattern")
    check(replace.get("content"), [" "], "decoder.decoders[0].content")
    if kinds[-1] == "Strip":
        for name, value in (("content", " "), ("start", 1), ("stop", 0)):
            check(last.get(name), [value], f"decoder.decoders[3].{name}")
    return found[0]


def _charsmap(content, field):
    try:
        return _read_charsmap(content)
    except (TypeError, ValueError, AttributeError, binascii.Error) as e:
        raise TokenizerError(f"{e}.", tensor=f"{field}.precompiled_charsmap") from None


@functools.lru_cache(maxsize=8)
def _read_charsmap(content):
    return Charsmap.read(base64.b64decode(content, validate=True))


def check(value, allowed, field):
    """Raises `TokenizerError` unless a JSON value is allowed; None is any string."""
    if allowed is None and isinstance(value, str):
        return
    tokenizer_files.check_field(value, allowed or ["..."], None, field, LIKE)
