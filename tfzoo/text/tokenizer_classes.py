"""The tokenizer classes of other software that files name, and what they leave unsaid.

`tokenizer_config.json` of Hugging Face and `tokenizer.json` of KerasHub name a class,
and say of it only what differs from what it has by itself. A file must open without a
model, so that this table is part of knowing the formats. `DECLARED` has the names that
families add.
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


@dataclasses.dataclass(frozen=True)
class TokenizerClass:
    """What a tokenizer class has where its files do not say it.

    Args:
        algorithm: `WORDPIECE` or `BYTE_BPE`.
        layout: The `Layout` of texts.
        tokens: Dict of constructor argument of our tokenizer -> special token.
    """

    algorithm: str
    layout: Layout
    tokens: Mapping[str, str] = dataclasses.field(default_factory=dict)


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
}
DECLARED = {}  # name -> `TokenizerClass`; `families.declared` adds them


def known_class(name, algorithm):
    """The `TokenizerClass` of a name in a file, or None.

    Args:
        name: A JSON value; the classes in Rust have `Fast` after the name.
        algorithm: `WORDPIECE` or `BYTE_BPE`.
    """
    plain = name.removesuffix("Fast") if isinstance(name, str) else None
    found = CLASSES.get(plain) or DECLARED.get(plain)
    return found if found and found.algorithm == algorithm else None


def named_class(name, algorithm, path, field):
    """The same, or a `TokenizerError` that names the file and its field."""
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


def class_to_write(algorithm, layout):
    """The name of a class that lays texts out so without being told."""
    for name, known in CLASSES.items():
        if (known.algorithm, known.layout) == (algorithm, layout):
            return name
    return IGNORES_OPTIONS[0]
