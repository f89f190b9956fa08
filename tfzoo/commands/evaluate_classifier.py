"""Evaluates a fine-tuned classifier on a table of examples.

    tfzoo evaluate-classifier --preset runs/mail --data test.tsv \
        --text-column text --label-column label

Reads the same files as `finetune-classifier` and prints the loss and the metrics of
the task; with `--output`, also writes them to a JSON file.
"""

import pathlib

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable


def main(
    preset: str,
    data: str,
    text_column: args.TextColumn,
    label_column: args.LabelColumn,
    text_pair_column: args.TextPairColumn = None,
    header: args.Header = True,
    label_separator: args.LabelSeparator = None,
    batch_size: int = 32,
    output: pathlib.Path | None = None,
):
    """Evaluates a fine-tuned classifier on a table of examples.

    Args:
        preset: Directory of the classifier, or hf://ORG/NAME.
        data: File (.tsv, .csv, .jsonl, .json, .parquet; each also .gz) or
            tfds:NAME[/config][:split].
        batch_size: Number of texts per batch.
        output: JSON file for the metrics; must not exist.
    """
    cli.check_numbers(locals())
    import keras
    from tqdm import tqdm

    from tfzoo.data.examples import known_labels, read_examples
    from tfzoo.files import refuse_existing, write_json
    from tfzoo.tasks import TextClassifier

    if output is not None:
        refuse_existing(output)
    classifier = TextClassifier.from_preset(preset)
    examples = read_examples(
        data,
        text_column=text_column,
        text_pair_column=text_pair_column,
        label_column=label_column,
        header=header,
        task=classifier.task,
        label_separator=label_separator,
    )
    batches = -(-len(examples) // batch_size)
    with tqdm(total=batches, unit="batch", disable=None) as bar:
        progress = keras.callbacks.LambdaCallback(
            on_test_batch_end=lambda batch, logs: bar.update()
        )
        metrics = classifier.evaluate(
            examples.as_input(),
            known_labels(examples, classifier.labels),
            batch_size=batch_size,
            verbose=0,
            callbacks=[progress],
            return_dict=True,
        )
    metrics["examples"] = len(examples)
    for name, value in metrics.items():
        print(
            f"{name:>20} {value:.4f}"
            if isinstance(value, float)
            else f"{name:>20} {value}"
        )
    if output is not None:
        write_json(output, metrics)
        print(f"wrote {printable(output)}")
