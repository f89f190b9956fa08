"""Arguments that several commands take, each with its one explanation for `--help`."""

import pathlib
from typing import Annotated, Literal

from tyro.conf import arg

TextFiles = Annotated[
    tuple[pathlib.Path, ...],
    arg(help="Text files (.txt, .tsv, .csv, .jsonl, .json, .parquet; each also .gz)."),
]
Preset = Annotated[
    str, arg(help="Directory of a model with its tokenizer, or hf://ORG/NAME.")
]
ResumableOutput = Annotated[
    pathlib.Path, arg(help="Output directory: new, or begun by the same command.")
]

# Columns of tables
TextColumn = Annotated[str, arg(help="Column of the text, by name or number (from 1).")]
LabelColumn = Annotated[
    str, arg(help="Column of the label, by name or number (from 1).")
]
TextPairColumn = Annotated[
    str | None, arg(help="Column of the second text, for text pairs.")
]
LabelSeparator = Annotated[
    str | None, arg(help="Separator of the labels in a multi_label cell.")
]
TextColumnIfAny = Annotated[str, arg(help="Column of the text in files with columns.")]
Header = Annotated[
    bool, arg(help="Whether line 1 of a .tsv or .csv has the column names.")
]

# Text of a language model
Documents = Annotated[
    Literal["auto", "blank_line", "file", "record"],
    arg(
        help="What ends a document; auto is the record, and for a .txt a blank line "
        "(BERT) or the end of the file (GPT)."
    ),
]
DocumentBorders = Annotated[
    bool, arg(help="Whether tokens attend only to their own document.")
]

# Training
PeakLearningRate = Annotated[
    float, arg(help="Peak learning rate, reached after a tenth of the steps.")
]
WeightDecay = Annotated[
    float, arg(help="Weight decay coefficient, multiplied by the learning rate.")
]
Seed = Annotated[int, arg(help="Seed of all random choices.")]
ComputeDtype = Annotated[
    Literal["float32", "mixed_bfloat16", "mixed_float16"],
    arg(help="Dtype policy for computation; weights are always float32."),
]
Strategy = Annotated[
    Literal["none", "mirrored"], arg(help="mirrored trains on all GPUs of the machine.")
]
OnNonFinite = Annotated[
    Literal["stop", "skip", "rewind"],
    arg(
        help="What to do if a loss or a gradient is not finite: stop; skip the update; "
        "or rewind to the last checkpoint and skip it from there. An interrupted run "
        "may continue with another choice."
    ),
]
LoraRank = Annotated[
    int | None,
    arg(
        help="Train only low-rank adapters (LoRA) of this rank, on queries and values, "
        "and the head of a classifier. A larger learning rate suits them, such as "
        "5e-4. OUTPUT is the merged model; OUTPUT/adapter has the adapters."
    ),
]
CompileStep = Annotated[bool, arg(help="Compile the training step with XLA.")]
