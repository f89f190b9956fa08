"""Prepares BERT pretraining examples from text, as sharded TFRecord files.

    tfzoo prepare-pretraining-data --input text/*.txt \
        --tokenizer runs/tokenizer --output runs/examples

Reads text files (.txt: a sentence per line, blank lines between documents; .tsv, .csv,
.jsonl, .json, .parquet: a document per record; each also .gz) and a tokenizer's
directory. Writes `pretraining-00000-of-00008.tfrecord` and so on in the layout of
Google's BERT, `manifest.json` (counts, arguments, fingerprints) and `metrics.json`. The
text, or a single document, may be larger than memory: it is tokenized to disk first.

The same command continues an interrupted run. `pretrain-bert --input` takes the
output directory or its files.
"""

import os
import pathlib
from typing import Literal

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable


def main(
    input: tuple[pathlib.Path, ...],
    tokenizer: str,
    output: args.ResumableOutput,
    max_sequence_length: int = 128,
    max_predictions: int = 20,
    masked_fraction: float = 0.15,
    short_sequence_fraction: float = 0.1,
    duplicates: int = 10,
    shards: int = 8,
    processes: int = os.cpu_count() or 1,
    whole_word: bool = False,
    sentences: Literal["lines", "punctuation"] = "lines",
    documents: args.Documents = "auto",
    text_column: args.TextColumnIfAny = "text",
    header: args.Header = True,
    seed: args.Seed = 0,
):
    """Prepares BERT pretraining examples from text, as sharded TFRecord files.

    Args:
        input: Text files (.txt, .tsv, .csv, .jsonl, .json, .parquet; each also .gz; or
            TFRecord).
        tokenizer: Directory of a tokenizer, such as the output of `train-tokenizer`,
            or hf://ORG/NAME.
        max_sequence_length: Number of tokens per example, including [CLS] and [SEP].
        max_predictions: Maximum number of masked words per example.
        masked_fraction: Fraction of the tokens to mask.
        short_sequence_fraction: Fraction of examples with a random, smaller target
            length.
        duplicates: Passes over the text; each divides and masks it differently.
        shards: Number of files.
        processes: Number of worker processes; the output does not depend on it.
        whole_word: Mask all pieces of a word together.
        sentences: What ends a sentence: the end of a line, or punctuation.
    """
    cli.check_numbers(locals())
    from tfzoo.data.preparation import prepare_pretraining_data
    from tfzoo.data.prepared_directory import MANIFEST
    from tfzoo.data.running_text import RunningText
    from tfzoo.files import write_json
    from tfzoo.text import WordPieceTokenizer

    done = prepare_pretraining_data(
        RunningText(input, sentences, documents, text_column, header=header),
        WordPieceTokenizer.from_preset(tokenizer),
        output,
        max_sequence_length=max_sequence_length,
        max_predictions=max_predictions,
        masked_fraction=masked_fraction,
        short_sequence_fraction=short_sequence_fraction,
        duplicates=duplicates,
        shards=shards,
        whole_word=whole_word,
        seed=seed,
        processes=processes,
    )
    made = done.manifest
    metrics = {
        name: made[name]
        for name in ("examples", "tokens", "random_next_share", "masked_share")
    }
    if done.was_finished:
        print(
            f"Already finished: {made['examples']} examples are in {printable(output)}."
        )
    else:
        metrics["seconds"] = round(done.seconds, 2)
        metrics["examples_per_second"] = round(done.examples_written / done.seconds, 1)
        print(
            f"Wrote {made['examples']} examples ({made['tokens']} tokens, "
            f"{made['random_next_share']:.1%} with a random next sentence, "
            f"{made['masked_share']:.1%} of the tokens masked), "
            f"{metrics['examples_per_second']:.0f} examples/s."
        )
        print(f"Files, {MANIFEST} and metrics.json are in {printable(output)}.")
    if not (output / "metrics.json").exists():
        write_json(output / "metrics.json", metrics)
