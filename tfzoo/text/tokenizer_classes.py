"""The tokenizer classes of other libraries that tokenizer files name.

Hugging Face's `tokenizer_config.json` and KerasHub's `tokenizer.json` name a class, and
state only what differs from its defaults. A tokenizer opens without a model, so those
defaults are part of the file formats and listed here; families add their own classes to
`DECLARED`.
"""

import dataclasses
from collections.abc import Mapping

from tfzoo.errors import TokenizerError
from tfzoo.text.layout import Layout
from tfzoo.text.tokenizer_files import IGNORES_OPTIONS

WORDPIECE, BYTE_BPE = "wordpiece", "byte_bpe"
ROBERTA_TOKENS = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unknown_token": "<unk>",
    "mask_token": "<mask>",
    "end_token": "</s>",
}
CLIP_TOKENS = {
    "start_token": "<|startoftext|>",
    "end_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
}


@dataclasses.dataclass(frozen=True)
class TokenizerClass:
    """The defaults of a tokenizer class, for what its files do not state.

    Args:
        algorithm: `WORDPIECE` or `BYTE_BPE`.
        layout: The `Layout` of texts.
        tokens: Dict of constructor argument of our tokenizer -> special token.
        options: Further constructor arguments.
    """

    algorithm: str
    layout: Layout
    tokens: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


_BERT = TokenizerClass(WORDPIECE, Layout("cls", "sep", between=("sep",)))
CLASSES = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "MobileBertTokenizer": _BERT,
    "ConvBertTokenizer": _BERT,
    "LayoutLMTokenizer": _BERT,
    "GPT2Tokenizer": TokenizerClass(BYTE_BPE, Layout()),
    "RobertaTokenizer": TokenizerClass(
        BYTE_BPE,
        Layout("cls", "sep", between=("sep", "sep"), second_segment=0),
        ROBERTA_TOKENS,
    ),
    "Qwen2Tokenizer": TokenizerClass(
        BYTE_BPE,
        Layout(),
        {"pad_token": "<|endoftext|>"},
        {"split": "qwen-2", "normalizer": "nfc"},
    ),
    "CLIPTokenizer": TokenizerClass(
        BYTE_BPE,
        Layout("start", "end", between=("end", "end"), second_segment=0),
        CLIP_TOKENS,
        {"split": "clip", "normalizer": "clip", "end_of_word_suffix": "</w>"},
    ),
}
DECLARED = {}  # name -> `TokenizerClass`; `families.declared` adds them


def known_class(name, algorithm):
    """The `TokenizerClass` with the name in a file, or None.

    Args:
        name: A JSON value; `Fast` at its end, of the classes in Rust, is ignored.
        algorithm: `WORDPIECE` or `BYTE_BPE`.
    """
    plain = name.removesuffix("Fast") if isinstance(name, str) else None
    found = CLASSES.get(plain) or DECLARED.get(plain)
    return found if found and found.algorithm == algorithm else None


def named_class(name, algorithm, path, field):
    """As `known_class`; raises `TokenizerError` for an unknown name."""
    found = known_class(name, algorithm)
    if found is None:
        known = {**CLASSES, **DECLARED}
        names = [n for n, c in known.items() if c.algorithm == algorithm]
        raise TokenizerError(
            f"The class must be one of {', '.join(names)}. Received: {name!r:.80}.",
            path=path,
            tensor=field,
        )
    return found


def class_to_write(algorithm, layout, options=None):
    """The name of a class with this default layout and options, else of a generic one.

    CLIP's class may have its pattern with or without special tokens.
    """
    options = dict(options or {})
    if options.get("split") == "clip-words":
        options["split"] = "clip"
    for name, known in CLASSES.items():
        if (known.algorithm, known.layout, known.options) == (
            algorithm,
            layout,
            options,
        ):
            return name
    return IGNORES_OPTIONS[0]
