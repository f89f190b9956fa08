"""Fine-tunes a classifier of texts or text pairs on a table of examples.

    tfzoo finetune-classifier --train mail.tsv --preset runs/bert \
        --text-column text --label-column label --output runs/mail

Reads .tsv, .csv, .jsonl, .json, .parquet (each also .gz) or
`tfds:NAME[/config][:split]`. Writes checkpoints while it runs and, at the end, a preset
of the best epoch (which `evaluate-classifier`, `export-model` and `transformers` open),
`metrics.json`, `curves.json`, `curves.png` and TensorBoard `logs/`. The same command
continues an interrupted run.
"""

from typing import Literal

from tfzoo import cli
from tfzoo import command_arguments as args

LONGEST = 128  # tokens of an example, if the user sets no other number
HELD_OUT = 10  # without a validation file, one in this many rows is held out
BEST = {"classification": "accuracy", "multi_label": "f1", "regression": "pearson"}


def main(
    train: str,
    preset: str,
    text_column: args.TextColumn,
    label_column: args.LabelColumn,
    output: args.ResumableOutput,
    validation: str | None = None,
    tokenizer: str | None = None,
    text_pair_column: args.TextPairColumn = None,
    header: args.Header = True,
    task: Literal["classification", "multi_label", "regression"] = "classification",
    label_separator: args.LabelSeparator = None,
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float | None = None,
    lora_rank: args.LoraRank = None,
    max_sequence_length: int | None = None,
    label_smoothing: float = 0.0,
    seed: args.Seed = 0,
    dtype: args.ComputeDtype = "float32",
    strategy: args.Strategy = "none",
    on_non_finite: args.OnNonFinite = "stop",
):
    """Fine-tunes a classifier of texts or text pairs on a table of examples.

    Args:
        train: File (.tsv, .csv, .jsonl, .json, .parquet; each also .gz) or
            tfds:NAME[/config][:split].
        preset: Directory of a model, hf://ORG/NAME, or, for random weights, the name of
            a size of BERT, RoBERTa or DistilBERT, such as bert_tiny.
        validation: File to evaluate on after each epoch. Without one, a tenth of the
            training data is held out, stratified by class, by a hash of the text.
        tokenizer: Directory of a tokenizer. Defaults to the preset's own.
        task: One label per text, any number of labels, or a number.
        epochs: Number of passes over the examples.
        batch_size: Number of examples per update.
        learning_rate: Peak learning rate. Defaults to 5e-5, or 1e-3 for random weights.
        max_sequence_length: Maximum number of tokens; longer inputs are truncated.
            Defaults to 128, or to the model's own if that is smaller.
        label_smoothing: Fraction of a target spread over all labels, in [0, 1).
    """
    arguments = cli.settings(locals())
    import keras

    from tfzoo.checkpoints.references import local_directory
    from tfzoo.data.examples import known_labels, label_list, read_examples
    from tfzoo.data.readers import source_names
    from tfzoo.tasks import TextClassifier
    from tfzoo.tasks.command_runs import (
        open_run,
        print_written,
        save_result,
        size_or_directory,
    )
    from tfzoo.text import tokenizer_from_preset
    from tfzoo.training.callbacks import KeepBest
    from tfzoo.training.distribution import strategy as named_strategy

    def read(spec):
        return read_examples(
            spec,
            text_column=text_column,
            text_pair_column=text_pair_column,
            label_column=label_column,
            header=header,
            task=task,
            label_separator=label_separator,
        )

    examples = read(train)
    if validation is None:
        examples, held_out = examples.split_every(HELD_OUT, seed=seed)
    else:
        held_out = read(validation)
    labels = None if task == "regression" else label_list(examples)
    targets = known_labels(examples, labels)
    held_out_targets = known_labels(held_out, labels)
    model = size_or_directory(preset, TextClassifier.named_sizes())
    at_random = isinstance(model, str)
    if at_random and tokenizer is None:
        raise ValueError(
            f"--tokenizer must be given: --preset {preset} is a size, without one."
        )
    vocabulary = local_directory(tokenizer, weights=False) if tokenizer else model
    words = tokenizer_from_preset(vocabulary)
    with open_run(
        output,
        arguments,
        sources=[spec for spec in (train, validation) if spec is not None],
        presets=[vocabulary, model],
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return
        keras.utils.set_random_seed(seed)
        if learning_rate is None:
            learning_rate = 1e-3 if at_random else 5e-5
        steps_per_epoch = -(-len(examples) // batch_size)
        with named_strategy(strategy).scope():
            classifier = TextClassifier.from_preset(
                model,
                tokenizer=words,
                labels=labels,
                task=task,
                text_pair=text_pair_column is not None,
                max_sequence_length=max_sequence_length,
                dtype=dtype,
            )
            if lora_rank is not None:
                classifier.enable_lora(lora_rank)
            classifier.compile(
                learning_rate=learning_rate,
                total_steps=epochs * steps_per_epoch,
                label_smoothing=label_smoothing,
            )
            if max_sequence_length is None:
                own = classifier.max_sequence_length
                classifier.max_sequence_length = min(own, LONGEST)
        monitor = BEST[task]
        best = KeepBest(run.checkpoints, monitor=f"val_{monitor}", mode="max")
        validation_texts = held_out.as_input()
        run.fit(
            classifier,
            lambda start: classifier.training_data(
                examples.as_input(),
                targets,
                batch_size=batch_size,
                epochs=epochs,
                seed=seed,
                start_step=start,
            ),
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            validation_data=classifier.evaluation_data(
                validation_texts, held_out_targets, batch_size=batch_size
            ),
            callbacks=[best],
        )
        epoch, _ = best.restore(classifier)
        metrics = classifier.evaluate(
            validation_texts,
            held_out_targets,
            batch_size=batch_size,
            verbose=0,
            return_dict=True,
        )
        metrics |= {"best_epoch": epoch, "validation_examples": len(held_out)}

        def save(path):
            save_result(
                classifier,
                path,
                adapter_base=preset,
                training_data=source_names([train]),
                metrics=metrics,
            )

        run.finish(save, metrics)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    print(f"best epoch of {epochs}: {figures}")
    print_written(output)
