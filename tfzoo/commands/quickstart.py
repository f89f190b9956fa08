"""From raw text to served models in minutes, with one command and no download.

    tfzoo quickstart
    tfzoo quickstart --text corpus.txt --table mail.csv --text-column text \
        --label-column label --output runs/mine

Trains a WordPiece vocabulary on raw text, and a small BERT to restore capitals and
punctuation, as transcripts of speech need: the text itself has the labels. With a
table, also pretrains a BERT on the text and fine-tunes it to a classifier, which it
compares with the same network without pretraining. Compares both models, on text that
is held out, with plain baselines that learn from the same examples; exports them as
SavedModels and runs these in a fresh process.

Without `--text`, the text is the documentation found in every installation: that of
Python's standard library, the language reference, NumPy, Keras, TensorFlow and others.

Writes everything, including the text, to the output directory. The same command
continues an interrupted run.

On the documentation, three seeds (Python 3.11, TensorFlow 2.21; 4.3 minutes and 2.2 GB
on two cores) gave, as the F1 of capitals and of punctuation on 75,769 held-out words:
each word by itself 45.1 and 18.0 %; words within 5 on either side, pairs and endings,
through one layer 69.2 to 69.4 and 65.8 to 65.9 %; BERT 72.9 to 73.2 and 66.1 to 66.4 %.
A text of 220,000 words was too little to beat that layer.
"""

import collections
import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable

SIZES = dict(num_layers=2, num_heads=4, hidden_dim=128, intermediate_dim=512)
VOCABULARY_SIZE = 8000
MAX_SEQUENCE_LENGTH = 64
PRETRAINING = dict(steps=1500, batch_size=32, learning_rate=1e-3, dropout=0.1)
RESTORING = dict(
    epochs=10, most_steps=5500, batch_size=16, learning_rate=2.5e-3, dropout=0.05
)
CLASSIFYING = dict(
    epochs=3, most_steps=1500, batch_size=32, learning_rate=5e-4, dropout=0.1
)
MOST_CHARACTERS = dict(corpus=10_000_000, held_out=500_000)  # that restoring reads
RADIUS = 5  # words that a baseline sees on either side
HELD_OUT = 10  # one in this many documents, and rows of the table
SHOWN = 3  # answers of each exported model


def main(
    text: tuple[pathlib.Path, ...] = (),
    table: pathlib.Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    header: bool = True,
    output: args.ResumableOutput = pathlib.Path("runs/quickstart"),
    saved_models: pathlib.Path = pathlib.Path("saved_models"),
    seed: args.Seed = 0,
):
    """From raw text to served models in minutes, with one command and no download.

    Args:
        text: Text files (.txt with blank lines between documents, or .tsv, .csv, .jsonl
            with a document in each column "text"; each also .gz). Defaults to the
            documentation in this installation.
        table: Labeled texts (.tsv, .csv, .jsonl, each also .gz) for a classifier.
        text_column: Column of the text in the table, by name or by number (from 1).
        label_column: Column of the label, likewise.
        header: Whether line 1 of a .tsv or .csv table has the column names.
        saved_models: Directory for the SavedModels, in subdirectories whose names begin
            with the output's.
    """
    arguments = cli.settings(locals(), may_change=("output", "saved_models"))
    start = time.perf_counter()
    check_table(table, text_column, label_column, header=header)
    from tfzoo.data.examples import read_examples
    from tfzoo.files import read_json
    from tfzoo.training import Run, fingerprint

    settings = {name: value for name, value in globals().items() if name.isupper()}
    settings |= arguments
    data = fingerprint([*text, *([] if table is None else [table])])
    with Run(output, settings, data=data) as run:
        if run.finished:
            print_tables(read_json(output / "metrics.json")["metrics"])
            return
        examples = None
        if table is not None:
            examples = read_examples(
                table, text_column=text_column, label_column=label_column, header=header
            ).split_every(HELD_OUT, seed=seed)
        if not (output / "text").exists():
            write_text(output / "text", text)
        corpus = output / "text" / "corpus.txt"
        tokenizer = train_tokenizer(corpus, output / "tokenizer")

        def part(name):
            inputs = [output / "text", output / "tokenizer"]
            return Run(output / name, settings, data=data | fingerprint(inputs))

        goals = [restoring(output / "text", tokenizer, seed)]
        if text or examples is not None:
            with part("pretraining") as pretraining:
                if not pretraining.finished:
                    pretrain(pretraining, corpus, tokenizer, seed)
        if examples is not None:
            goals.append(classifying(*examples, pretraining.directory, seed))
        metrics = {}
        for goal in goals:
            base = saved_models / f"{output.absolute().name}_{goal.name}"
            metrics |= compare(goal, part, tokenizer, seed, base)
            print(f"{base} in a process that only imports TensorFlow:")
            goal.show(base)
        run.finish(None, metrics)
    print_tables(metrics)
    print(f"wrote {printable(output)}: text, vocabulary, models, metrics.json")
    processor = sum(os.times()[:4])
    print(f"{time.perf_counter() - start:.0f} s, {processor:.0f} s of processor time")


def check_table(table, text_column, label_column, *, header):
    """Rejects a table without its columns, and arguments for a table without one."""
    given = {"text_column": text_column, "label_column": label_column}
    missing = [name for name, value in given.items() if value is None]
    if table is not None and missing:
        raise ValueError(
            f"{' and '.join(missing)} must be given with a table. "
            f"Received: table={str(table)!r}"
        )
    if table is None and (len(missing) < len(given) or not header):
        raise ValueError(
            "text_column, label_column and header are for a table, which must be given "
            f"with them. Received: table=None, text_column={text_column!r}, "
            f"label_column={label_column!r}, header={header}"
        )


def write_text(directory, paths):
    """Writes the text to train on and the text held out, with a sentence per line."""
    from tfzoo.data.documents import hold_out, read_documents, write_documents
    from tfzoo.data.installed_docs import installed_docs

    if not paths:
        print("Collecting the documentation of this installation")
    documents = read_documents(paths) if paths else installed_docs()
    corpus, held_out = hold_out(documents, HELD_OUT)
    write_documents(directory, corpus=corpus, held_out=held_out)


def train_tokenizer(corpus, directory):
    """Trains a tokenizer on the corpus, or opens the one in the directory."""
    from tfzoo.files import written_beside
    from tfzoo.text import WordPieceTokenizer

    if not directory.exists():
        print("Training the tokenizer")
        tokenizer = WordPieceTokenizer.train([corpus], vocabulary_size=VOCABULARY_SIZE)
        with written_beside(directory, directory=True) as beside:
            tokenizer.save_to_preset(beside)
    return WordPieceTokenizer.from_preset(directory)


def new_encoder(tokenizer, dropout):
    """A BERT with random weights, which learns from its first minute on.

    BERT's own N(0, 0.02) is for a width of 768; for a small width, attention begins too
    even to learn from. Positions begin as sinusoids (Vaswani et al. 2017, section 3.5),
    which make neighbors easy to find.
    """
    import numpy as np

    from tfzoo.families import BertEncoder

    encoder = BertEncoder(
        tokenizer.vocabulary_size,
        **SIZES,
        dropout=dropout,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
    )
    width = SIZES["hidden_dim"]
    wavelengths = 10_000 ** (np.arange(0, width, 2) / width)
    angles = np.arange(MAX_SEQUENCE_LENGTH)[:, None] / wavelengths
    for variable in encoder.trainable_variables:
        if variable.path.endswith("kernel"):
            variable.assign(variable * (width**-0.5 / 0.02))
        if "position" in variable.path:
            waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
            variable.assign(0.04 * waves)
    return encoder


def pretrain(run, corpus, tokenizer, seed):
    """Pretrains a small BERT on the corpus."""
    import keras

    from tfzoo.data.pretraining import open_pretraining_data
    from tfzoo.tasks import BertPretrainer

    source = open_pretraining_data(
        [corpus],
        tokenizer,
        cache_directory=run.checkpoints / "text",
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        max_predictions=round(0.15 * MAX_SEQUENCE_LENGTH),
        seed=seed,
    )
    steps, batch_size = PRETRAINING["steps"], PRETRAINING["batch_size"]
    print(
        f"Pretraining on masked words and next-sentence prediction: {steps} batches of "
        f"{batch_size}, from {source.num_examples} examples"
    )
    keras.utils.set_random_seed(seed)
    encoder = new_encoder(tokenizer, PRETRAINING["dropout"])
    task = BertPretrainer(encoder, tokenizer)
    task.compile(learning_rate=PRETRAINING["learning_rate"], total_steps=steps)
    run.fit(
        task,
        lambda start: source.batches(batch_size, start_step=start),
        steps_per_epoch=-(-steps // 5),
        total_steps=steps,
    )
    run.finish(task.save_to_preset, run.record.epochs[-1])


@dataclasses.dataclass
class Goal:
    """What a model is trained for, and how it is measured.

    Attributes:
        name: Name of the model.
        task: Class of the task.
        labels: Its labels.
        settings: Settings of its training.
        examples: Inputs and targets to train on, as the task takes them.
        held_out: Other inputs.
        measures: Dict of name -> function of the labels predicted for `held_out` that
            returns a score from 0 to 1.
        baselines: Dict of name -> function of `examples` and the other inputs that
            returns their labels.
        show: Function of an exported model that prints some of its answers.
        pretrained: Directory of the weights to begin with; None for random ones.
    """

    name: str
    task: type
    labels: list
    settings: dict
    examples: tuple
    held_out: list
    measures: dict
    baselines: dict
    show: Callable
    pretrained: pathlib.Path | None = None


def restoring(directory, tokenizer, seed):
    """The goal to restore capitals and punctuation of the text in a directory."""
    from tfzoo.baselines import tag_by_window, tag_by_word
    from tfzoo.data import restoration
    from tfzoo.tasks import TokenClassifier

    def read(name):
        text = (directory / f"{name}.txt").read_text(encoding="utf-8")
        words, labels = restoration.bare_words(text[: MOST_CHARACTERS[name]])
        distinct = [*dict.fromkeys(words)]
        sizes = dict(zip(distinct, map(len, tokenizer.tokenize(distinct)), strict=True))
        room = MAX_SEQUENCE_LENGTH - tokenizer.layout_ids.num_special(1)
        return restoration.passages(words, labels, map(sizes.get, words), room)

    examples, (held_out, true) = read("corpus"), read("held_out")

    def show(base):
        texts = [" ".join(words) for words in held_out[:: -(-len(held_out) // SHOWN)]]
        for text, answer in zip(texts, ask(base, texts), strict=True):
            print(f"  {text}\n  = {restoration.restored(text, answer['words'])}")

    def measure(f1):
        return lambda found: f1(itertools.chain(*true), itertools.chain(*found))

    words = sum(map(len, held_out))
    return Goal(
        "restorer",
        TokenClassifier,
        list(restoration.LABELS),
        RESTORING,
        examples,
        held_out,
        {
            f"F1 of capitals, {words} held-out words": measure(restoration.capitals_f1),
            "F1 of punctuation": measure(restoration.punctuation_f1),
        },
        {
            "each word by itself": tag_by_word,
            f"words within {RADIUS}, pairs, endings": lambda *data: tag_by_window(
                *data, radius=RADIUS, seed=seed
            ),
        },
        show,
    )


def classifying(examples, held_out, pretrained, seed):
    """The goal to classify texts as a table does."""
    from tfzoo.baselines import classify_by_bag
    from tfzoo.data.examples import label_list
    from tfzoo.tasks import TextClassifier

    def show(base):
        texts = held_out.texts[:SHOWN]
        for text, answer in zip(texts, ask(base, texts), strict=True):
            print(f"  {answer['label']}\t{answer['score']:.3f}\t{text}")

    def most_frequent(texts, labels, others):
        label = collections.Counter(labels).most_common(1)[0][0]
        return [label] * len(others)

    def bag(characters):
        return lambda *data: classify_by_bag(*data, characters=characters, seed=seed)

    def accuracy(found):
        return sum(map(str.__eq__, found, held_out.labels)) / len(held_out)

    return Goal(
        "classifier",
        TextClassifier,
        label_list(examples),
        CLASSIFYING,
        (examples.texts, examples.labels),
        held_out.texts,
        {f"Accuracy, {len(held_out)} held-out rows": accuracy},
        {
            "most frequent label": most_frequent,
            "words, pairs by TF-IDF": bag(characters=False),
            "characters by TF-IDF": bag(characters=True),
        },
        show,
        pretrained,
    )


def compare(goal, part, tokenizer, seed, base):
    """Trains, measures and exports a model and trains what it is compared with.

    Returns:
        Dict of measure -> dict of name -> score, from 0 to 1.
    """
    from tfzoo.files import read_json

    scratch = {}
    if goal.pretrained is not None:
        with part(f"{goal.name}_from_scratch") as run:
            if not run.finished:
                print(f"Training the {goal.name} without pretraining, for comparison")
                task = fine_tune(run, goal, None, tokenizer, seed)
                scores = {"BERT, not pretrained": predicted(goal, task)}
                run.finish(task.save_to_preset, measured(goal, scores))
        scratch = read_json(run.directory / "metrics.json")["metrics"]
    with part(goal.name) as run:
        if not run.finished:
            print(f"Training the baselines of the {goal.name}")
            plain = {
                name: baseline(*goal.examples, goal.held_out)
                for name, baseline in goal.baselines.items()
            }
            print(f"Training the {goal.name}")
            task = fine_tune(run, goal, goal.pretrained, tokenizer, seed)
            row = "trained" if goal.pretrained is None else "pretrained"
            ours = {f"BERT, {row} on the text": predicted(goal, task)}
            tables = [measured(goal, plain), scratch, measured(goal, ours)]
            scores = {
                measure: {k: v for t in tables for k, v in t.get(measure, {}).items()}
                for measure in goal.measures
            }
            task.export_version(base)
            run.finish(task.save_to_preset, scores)
    return read_json(run.directory / "metrics.json")["metrics"]


def fine_tune(run, goal, pretrained, tokenizer, seed):
    """Trains a model for a goal from pretrained or random weights; returns it."""
    import keras

    keras.utils.set_random_seed(seed)
    if pretrained is None:
        encoder = new_encoder(tokenizer, goal.settings["dropout"])
        task = goal.task(encoder, tokenizer, goal.labels)
    else:
        task = goal.task.from_preset(pretrained, labels=goal.labels)
    inputs, targets = goal.examples
    batch_size = goal.settings["batch_size"]
    steps_per_epoch = -(-len(inputs) // batch_size)
    epochs = goal.settings["epochs"]
    steps = min(epochs * steps_per_epoch, goal.settings["most_steps"])
    print(f"{steps} batches of {batch_size}, from {len(inputs)} examples")
    task.compile(learning_rate=goal.settings["learning_rate"], total_steps=steps)
    run.fit(
        task,
        lambda start: task.training_data(
            inputs,
            targets,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
            start_step=start,
        ),
        steps_per_epoch=steps_per_epoch,
        total_steps=steps,
    )
    return task


def predicted(goal, task):
    """The labels that a trained model predicts for the other inputs."""
    found = task.predict(goal.held_out, verbose=0).argmax(axis=-1)
    if found.ndim == 1:
        return [goal.labels[i] for i in found]
    return [
        [goal.labels[i] for i in row[: len(words)]]
        for row, words in zip(found, goal.held_out, strict=True)
    ]


def measured(goal, found):
    """The scores of predicted labels: dict of measure -> dict of name -> score."""
    return {
        measure: {name: score(labels) for name, labels in found.items()}
        for measure, score in goal.measures.items()
    }


def ask(base, texts):
    """Runs an exported model with `predict`, which needs only TensorFlow.

    Returns:
        For each text a dict of the model's outputs.
    """
    recipe = pathlib.Path(__file__).with_name("predict.py")
    answers = subprocess.run(
        [sys.executable, str(recipe), "--model", str(base), "--json"],
        input="".join(" ".join(text.split()) + "\n" for text in texts).encode(),
        env={**os.environ, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    return [json.loads(line) for line in answers.decode().split("\n")[:-1]]


def print_tables(metrics):
    """Prints the scores of each goal."""
    for measure, scores in metrics.items():
        print(f"\n{measure}:")
        for name, value in scores.items():
            print(f"  {name:32}{value:6.1%}")
    print()
