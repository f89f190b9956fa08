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

# Pairs of a source and a target
SourceFiles = Annotated[
    tuple[pathlib.Path, ...],
    arg(help="Text files with a source per line (each also .gz)."),
]
TargetFiles = Annotated[
    tuple[pathlib.Path, ...],
    arg(help="As many text files with the targets, line by line."),
]
SourceColumn = Annotated[
    str | None,
    arg(help='Column of the sources in a table, by name or number; default "source".'),
]
TargetColumn = Annotated[
    str | None, arg(help='Column of the targets in a table; default "target".')
]
SourcePrefix = Annotated[
    str,
    arg(
        help="Text before every source, such as 'translate English to German: ' for "
        "T5. It is no part of the model: give it again when you use the model."
    ),
]
Measures = Annotated[
    tuple[Literal["bleu", "chrf", "rouge1", "rouge2", "rougeL", "length_ratio"], ...],
    arg(
        help="What to compute of generated texts: BLEU and chrF2 as sacreBLEU does, "
        "ROUGE as rouge-score does, with English stems, the number of tokens per "
        "token of the references."
    ),
]
BleuTokenizer = Annotated[
    str, arg(help="Tokenizer of sacreBLEU: 13a, zh, ja-mecab, ko-mecab, char, ...")
]
Translator = Annotated[
    str,
    arg(
        help="Directory of a model with its tokenizer, or hf://ORG/NAME; or directory "
        "of an exported version, or of all versions, to use the highest."
    ),
]
NumBeams = Annotated[
    int | None,
    arg(help="Number of beams; 1 for greedy decoding. Default 4, or the export's."),
]
MaxNewTokens = Annotated[
    int | None,
    arg(help="Maximum number of tokens of a target; default 256, or the export's."),
]
LengthPenalty = Annotated[
    float | None,
    arg(
        help="Exponent of the length by which the score of a beam is divided; above 1 "
        "for longer texts. Default 1."
    ),
]
MinNewTokens = Annotated[
    int | None,
    arg(help="Minimum number of tokens of a target; fixed in an export."),
]
NoRepeatNgramSize = Annotated[
    int | None,
    arg(
        help="No sequence of this many tokens occurs twice in a target; fixed in an "
        "export."
    ),
]
CompileDecoding = Annotated[
    bool,
    arg(
        help="Compile decoding with XLA: seconds, and for some shapes minutes, then "
        "faster. Fixed in an export."
    ),
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
SeveralEpochs = Annotated[
    int | None, arg(help="Number of passes over the pairs; or give steps.")
]
StepsBetween = Annotated[
    int | None,
    arg(
        help="Updates between two evaluations, which count as an epoch. Defaults to a "
        "pass over the pairs."
    ),
]
ScoredTexts = Annotated[
    int,
    arg(
        help="How many validation sources to decode in every evaluation, greedily; 0 "
        "for none. At the end, all are decoded by beam search."
    ),
]
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
