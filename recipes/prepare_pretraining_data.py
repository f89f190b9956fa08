"""Makes BERT pretraining examples from text, once, as sharded TFRecord files.

    python recipes/prepare_pretraining_data.py --input text/*.txt \
        --tokenizer runs/tokenizer --output runs/examples

Reads text files (.txt: a sentence per line, blank lines between documents; .tsv, .csv,
.jsonl: a document per record; each also .gz) and a tokenizer's directory. Writes
`pretraining-00000-of-00008.tfrecord` and so on in the layout of Google's BERT,
`manifest.json` (counts, arguments, fingerprints) and `metrics.json`. Text larger than
memory is fine, and so is a document: both are tokenised to disk first.

An interrupted run goes on by the same command. `pretrain_bert.py --input` takes the
output directory, or the files.
"""

import os
import pathlib
from typing import Literal

from tfzoo import cli


def main(
    input: tuple[pathlib.Path, ...],
    tokenizer: str,
    output: pathlib.Path,
    max_sequence_length: int = 128,
    max_predictions: int = 20,
    masked_fraction: float = 0.15,
    short_sequence_fraction: float = 0.1,
    duplicates: int = 10,
    shards: int = 8,
    processes: int = os.cpu_count() or 1,
    whole_word: bool = False,
    sentences: Literal["lines", "punctuation"] = "lines",
    documents: Literal["auto", "blank_line", "file", "record"] = "auto",
    text_column: str = "text",
    seed: int = 0,
):
    """Makes BERT pretraining examples from text, once, as sharded TFRecord files.

    Args:
        input: Text files (.txt, .tsv, .csv, .jsonl, each also .gz; or TFRecord).
        tokenizer: Directory of a tokenizer, as `train_tokenizer.py` writes it, or
            hf://ORG/NAME.
        output: Directory to write; new, or begun by the same command.
        max_sequence_length: Tokens of an example, [CLS] and [SEP] counted.
        max_predictions: Masked words of an example, at most.
        masked_fraction: Share of the tokens to mask.
        short_sequence_fraction: Share of examples that aim at a random smaller length.
        duplicates: Passes over the text, each divided and masked differently.
        shards: Number of files.
        processes: Processes that make examples; the files do not depend on it.
        whole_word: Mask all pieces of a word together.
        sentences: Where a sentence ends: at the end of a line, or by punctuation.
        documents: Where a document ends: at a blank line, with the file, or with the
            record; auto is a blank line for .txt and the record for other files.
        text_column: Column of the text in files with columns.
        seed: Names all random choices.
    """
    cli.check_numbers(locals())
    from tfzoo.data.preparation import prepare_pretraining_data
    from tfzoo.data.prepared_directory import MANIFEST
    from tfzoo.files import write_json
    from tfzoo.text import WordPieceTokenizer

    done = prepare_pretraining_data(
        input,
        WordPieceTokenizer.from_preset(tokenizer),
        output,
        max_sequence_length=max_sequence_length,
        max_predictions=max_predictions,
        masked_fraction=masked_fraction,
        short_sequence_fraction=short_sequence_fraction,
        duplicates=duplicates,
        shards=shards,
        whole_word=whole_word,
        sentences=sentences,
        documents=documents,
        text_column=text_column,
        seed=seed,
        processes=processes,
    )
    made = done.manifest
    metrics = {
        name: made[name]
        for name in ("examples", "tokens", "random_next_share", "masked_share")
    }
    if done.was_finished:
        print(f"Finished before: {made['examples']} examples stand in {output}.")
    else:
        metrics["seconds"] = round(done.seconds, 2)
        metrics["examples_per_second"] = round(done.examples_written / done.seconds, 1)
        print(
            f"Wrote {made['examples']} examples ({made['tokens']} tokens, "
            f"{made['random_next_share']:.1%} with a random next sentence, "
            f"{made['masked_share']:.1%} of the tokens masked), "
            f"{metrics['examples_per_second']:.0f} examples/s."
        )
        print(f"Files, {MANIFEST} and metrics.json are in {output}.")
    if not (output / "metrics.json").exists():
        write_json(output / "metrics.json", metrics)


if __name__ == "__main__":
    cli.run(main)
