"""Pretrains BERT on your own text: masked words and next-sentence prediction.

    tfzoo pretrain-bert --input text/*.txt --tokenizer runs/tokenizer \
        --preset bert_tiny --steps 10000 --output runs/bert --validation held_out.txt

Reads text files (.txt: a sentence per line, blank lines between documents), making
pairs and masks on the fly, or TFRecord files from `prepare-pretraining-data`,
Google's BERT or TF Model Garden. Writes checkpoints while it runs and, at the end, a
preset (which `finetune-classifier` and `transformers` open), `metrics.json`,
`curves.json`, `curves.png` and TensorBoard `logs/`.

The same command continues an interrupted run, with bit-identical results.
"""

import pathlib
import shlex
from typing import Literal

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable

STEPS_PER_EPOCH = 500  # between two evaluations
MAX_VALIDATION_EXAMPLES = 4096


def main(
    input: tuple[pathlib.Path, ...],
    tokenizer: str,
    preset: str,
    steps: int,
    output: args.ResumableOutput,
    validation: tuple[pathlib.Path, ...] = (),
    batch_size: int = 32,
    learning_rate: args.PeakLearningRate = 1e-4,
    max_sequence_length: int = 128,
    max_predictions: int = 20,
    next_sentence: bool = True,
    whole_word: bool = False,
    sentences: Literal["lines", "punctuation"] = "lines",
    documents: Literal["auto", "blank_line", "file", "record"] = "auto",
    seed: args.Seed = 0,
    dtype: args.ComputeDtype = "float32",
    strategy: args.Strategy = "none",
    on_non_finite: args.OnNonFinite = "stop",
    jit_compile: args.CompileStep = False,
):
    """Pretrains BERT on your own text: masked words and next-sentence prediction.

    Args:
        input: Text files (.txt, .tsv, .csv, .jsonl, .json, .parquet; each also .gz), or
            prepared TFRecord files or their directory.
        tokenizer: Directory of a tokenizer, such as the output of `train-tokenizer`,
            or hf://ORG/NAME.
        preset: Name of a size, for random weights (bert_tiny, bert_mini, bert_small,
            bert_medium, bert_base, bert_large); or directory of a model to continue
            from, or hf://ORG/NAME.
        steps: Number of updates.
        validation: Files of held-out text, evaluated every 500 steps and at the end
            (the first 4096 examples).
        batch_size: Number of examples per update.
        max_sequence_length: Number of tokens per example; the maximum for prepared
            records.
        max_predictions: Maximum number of masked words per example.
        next_sentence: Whether to train next-sentence prediction, too.
        whole_word: Mask all pieces of a word together; text files only.
        sentences: What ends a sentence; text files only.
        documents: What ends a document; text files only.
    """
    arguments = cli.settings(locals())
    import keras

    from tfzoo.checkpoints.references import local_directory
    from tfzoo.data.pretraining import open_pretraining_data
    from tfzoo.data.readers import source_names
    from tfzoo.families.bert import BERT
    from tfzoo.tasks import BertPretrainer
    from tfzoo.tasks.command_runs import open_run, print_written, size_or_directory
    from tfzoo.text import WordPieceTokenizer
    from tfzoo.training.distribution import strategy as named_strategy

    model = size_or_directory(preset, BERT.sizes)
    vocabulary = local_directory(tokenizer, weights=False)
    words = WordPieceTokenizer.from_preset(vocabulary)
    with open_run(
        output,
        arguments,
        sources=[*input, *validation],
        presets=[vocabulary, model],
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return

        def open_data(paths):
            return open_pretraining_data(
                paths,
                words,
                cache_directory=run.checkpoints / "text",
                max_sequence_length=max_sequence_length,
                max_predictions=max_predictions,
                whole_word=whole_word,
                next_sentence=next_sentence,
                sentences=sentences,
                documents=documents,
                seed=seed,
            )

        source = open_data(input)
        print(f"{source.num_examples} examples, {batch_size} per step")
        held_out = None
        if validation:
            held_out = open_data(validation).validation_batches(
                batch_size, max_examples=MAX_VALIDATION_EXAMPLES
            )
        keras.utils.set_random_seed(seed)
        with named_strategy(strategy).scope():
            task = BertPretrainer.from_preset(
                model,
                tokenizer=words,
                next_sentence=next_sentence,
                max_sequence_length=max_sequence_length,
                whole_word=whole_word,
                dtype=dtype,
            )
            task.compile(
                learning_rate=learning_rate, total_steps=steps, jit_compile=jit_compile
            )
        run.fit(
            task,
            lambda start: source.batches(batch_size, start_step=start),
            steps_per_epoch=min(STEPS_PER_EPOCH, steps),
            total_steps=steps,
            validation_data=held_out,
        )
        metrics = {k: v for k, v in run.record.epochs[-1].items() if k != "epoch"}
        run.finish(
            lambda path: task.save_to_preset(
                path,
                training_data=source_names(input),
                metrics=metrics,
            ),
            metrics,
        )
    print_written(output)
    print(
        f"next: tfzoo finetune-classifier --preset {shlex.quote(printable(output))} ..."
    )
