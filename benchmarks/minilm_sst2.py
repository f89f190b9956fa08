"""Fine-tunes a published MiniLM on SST-2: tfzoo, or PyTorch `transformers`.

    TFZOO_MINILM=.../model python benchmarks/minilm_sst2.py --side tfzoo --seed 0

One run of one side; prints a JSON object with the accuracy on the 872 sentences of dev.
Both sides start from the same files, get the same batches in the same order (bucketed
by length, `tfzoo.data.buckets`) and the same recipe: AdamW without decay on biases and
normalization, warmup over a tenth of the steps and linear decay, clipping, dropout.
Only the classifier is new. The pooler is from the file, where it is untrained: its bias
is zero and its kernel has the spectrum of random numbers.
"""

import json
import os
import pathlib
import time

import tyro

LENGTH, CLIP_NORM, WEIGHT_DECAY, EPSILON = 64, 1.0, 0.01, 1e-6
WARMUP_FRACTION, DROPOUT, THREADS = 0.1, 0.1, 2
SST2 = {  # split -> file, its sentence column, name in TensorFlow Datasets
    "train": ("train.tsv.gz", "sentence", "tfds:glue/sst2:train"),
    "dev": ("dev.tsv", "content", "tfds:glue/sst2:validation"),
}
REAL_DATA = pathlib.Path(
    os.environ.get("TFZOO_DATA")
    or pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
)


def main(
    side: str = "tfzoo",
    seed: int = 0,
    model: str = os.environ.get("TFZOO_MINILM", ""),
    examples: int = 10_000,
    epochs: int = 3,
    batch_size: int = 16,
    learning_rate: float = 5e-5,
    jit_compile: bool = False,
):
    """Fine-tunes a published MiniLM on SST-2: tfzoo, or PyTorch `transformers`.

    Args:
        side: "tfzoo" or "transformers".
        seed: Seed of the order, the dropout and the new classifier.
        model: Directory of the model. Defaults to `$TFZOO_MINILM`.
        examples: Number of rows of training data to use.
        epochs: Number of passes over them.
        batch_size: Number of sentences per step.
        learning_rate: Peak learning rate.
        jit_compile: Whether XLA compiles the step; tfzoo only.
    """
    if not model:
        raise SystemExit("error: --model or $TFZOO_MINILM must give the directory")
    train, dev = read_sst2("train", examples), read_sst2("dev", None)
    options = dict(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    if side == "tfzoo":
        options["jit_compile"] = jit_compile
    accuracy, seconds = SIDES[side](model, train, dev, seed=seed, **options)
    print(
        json.dumps(
            {
                "side": side,
                "seed": seed,
                "accuracy": round(accuracy, 4),
                "fit_seconds": round(seconds),
                "examples_per_second": round(len(train[0]) * epochs / seconds, 1),
                "examples": len(train[0]),
                **options,
            }
        )
    )


def read_sst2(split, count):
    """Sentences and labels 0 or 1, from the files if they exist, otherwise TFDS."""
    from tfzoo.data import read_examples

    file, column, published = SST2[split]
    path = REAL_DATA / "sst2" / file
    if path.exists():
        found = read_examples(str(path), text_column=column, label_column="label")
    else:
        found = read_examples(published, text_column="sentence", label_column="label")
    return found.texts[:count], [int(label) for label in found.labels[:count]]


def tfzoo(model, train, dev, *, seed, epochs, batch_size, learning_rate, jit_compile):
    """Returns the accuracy on dev and the seconds of `fit`."""
    import keras
    import tensorflow as tf

    from tfzoo import TextClassifier

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    keras.utils.set_random_seed(seed)
    task = TextClassifier.from_preset(
        model,
        labels=["negative", "positive"],
        max_sequence_length=LENGTH,
        dropout=DROPOUT,
    )
    task.compile(
        learning_rate=learning_rate,
        warmup_fraction=WARMUP_FRACTION,
        weight_decay=WEIGHT_DECAY,
        clip_norm=CLIP_NORM,
        jit_compile=jit_compile,
    )
    start = time.perf_counter()
    task.fit(*train, batch_size=batch_size, epochs=epochs, seed=seed, verbose=2)
    seconds = time.perf_counter() - start
    logits = task.predict(dev[0], verbose=0)
    return float((logits.argmax(-1) == dev[1]).mean()), seconds


def transformers(model, train, dev, *, seed, epochs, batch_size, learning_rate):
    """The same with PyTorch."""
    import torch
    import transformers as library

    from tfzoo.data.buckets import bucketed_batches

    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    tokenizer = library.AutoTokenizer.from_pretrained(model)
    network = library.AutoModelForSequenceClassification.from_pretrained(
        model,
        num_labels=2,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=DROPOUT,
    )

    def encoded(texts):
        return tokenizer(list(texts), truncation=True, max_length=LENGTH)

    def logits_of(batch, rows):
        padded = tokenizer.pad(
            {name: [values[i] for i in rows] for name, values in batch.items()},
            return_tensors="pt",
        )
        return network(**padded).logits

    start = time.perf_counter()
    inputs, labels = encoded(train[0]), torch.tensor(train[1])
    lengths = [len(ids) for ids in inputs["input_ids"]]
    plans = [
        bucketed_batches(lengths, batch_size, seed=seed, epoch=epoch)
        for epoch in range(epochs)
    ]
    steps = sum(map(len, plans))
    optimizer = torch.optim.AdamW(
        parameter_groups(network), lr=learning_rate, eps=EPSILON, fused=True
    )
    schedule = library.get_linear_schedule_with_warmup(
        optimizer, round(WARMUP_FRACTION * steps), steps
    )
    network.train()
    for epoch, plan in enumerate(plans):
        total = 0.0
        for rows in plan:
            logits = logits_of(inputs, rows)
            loss = torch.nn.functional.cross_entropy(logits, labels[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1}: loss {total / len(labels):.4f}", flush=True)
    seconds = time.perf_counter() - start
    network.eval()
    inputs, right = encoded(dev[0]), 0
    with torch.no_grad():
        for first in range(0, len(dev[0]), batch_size):
            rows = range(first, min(first + batch_size, len(dev[0])))
            best = logits_of(inputs, rows).argmax(-1)
            right += sum(int(best[i]) == dev[1][row] for i, row in enumerate(rows))
    return right / len(dev[0]), seconds


def parameter_groups(network):
    """Two groups: weights with decay; biases and normalization without."""
    named = list(network.named_parameters())
    fixed = ("bias", "LayerNorm.weight")
    return [
        {
            "params": [p for n, p in named if not n.endswith(fixed)],
            "weight_decay": WEIGHT_DECAY,
        },
        {"params": [p for n, p in named if n.endswith(fixed)], "weight_decay": 0.0},
    ]


SIDES = {"tfzoo": tfzoo, "transformers": transformers}

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tyro.cli(main)
