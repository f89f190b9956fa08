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

WORDPIECE, BYTE_BPE, SENTENCEPIECE = "wordpiece", "byte_bpe", "sentencepiece"
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
        algorithm: `WORDPIECE`, `BYTE_BPE` or `SENTENCEPIECE`.
        layout: The `Layout` of texts.
        tokens: Dict of constructor argument of our tokenizer -> special token.
        num_extra: Number of tokens <extra_id_0>, <extra_id_1> and so on, from the last
            id downwards, that the class adds to a SentencePiece model.
        options: Further constructor arguments.
    """

    algorithm: str
    layout: Layout
    tokens: Mapping[str, str] = dataclasses.field(default_factory=dict)
    num_extra: int = 0
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


T5, LLAMA, MARIAN, XLM_ROBERTA = (
    "T5Tokenizer",
    "LlamaTokenizer",
    "MarianTokenizer",
    "XLMRobertaTokenizer",
)
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
    T5: TokenizerClass(
        SENTENCEPIECE,
        Layout(last="end", between=("end",), second_segment=0),
        {"unknown_token": "<unk>", "pad_token": "<pad>", "end_token": "</s>"},
        num_extra=100,
    ),
    LLAMA: TokenizerClass(
        SENTENCEPIECE,
        Layout("start", repeats_first=True),
        {"unknown_token": "<unk>", "start_token": "<s>", "end_token": "</s>"},
    ),
    MARIAN: TokenizerClass(
        SENTENCEPIECE,
        Layout(last="end", second_segment=0),
        {"unknown_token": "<unk>", "pad_token": "<pad>", "end_token": "</s>"},
    ),
    XLM_ROBERTA: TokenizerClass(
        SENTENCEPIECE,
        Layout("cls", "sep", between=("sep", "sep"), second_segment=0),
        ROBERTA_TOKENS,
    ),
    "Qwen2Tokenizer": TokenizerClass(
        BYTE_BPE,
        Layout(),
        {"pad_token": "<|endoftext|>"},
        options={"split": "qwen-2", "normalizer": "nfc"},
    ),
    "CLIPTokenizer": TokenizerClass(
        BYTE_BPE,
        Layout("start", "end", between=("end", "end"), second_segment=0),
        CLIP_TOKENS,
        options={
            "split": "clip",
            "normalizer": "clip",
            "end_of_word_suffix": "</w>",
        },
    ),
}
DECLARED = {}  # name -> `TokenizerClass`; `families.declared` adds them


def start_and_end(has_start, has_end):
    """The `Layout` with a start token before, and an end token after every text."""
    return Layout(
        "start" if has_start else None,
        "end" if has_end else None,
        between=("end",) if has_end else (),
        repeats_first=has_start,
        second_segment=int(has_start),
    )


def known_class(name, algorithm):
    """The `TokenizerClass` with the name in a file, or None.

    Args:
        name: A JSON value; `Fast` at its end, of the classes in Rust, is ignored.
        algorithm: `WORDPIECE`, `BYTE_BPE` or `SENTENCEPIECE`.
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
