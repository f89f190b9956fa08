"""Fine-tuning a small BERT on sentences, against KerasHub and PyTorch.

    python benchmarks/fine_tuning.py [--data train.tsv]

The task is to tokenize, batch and train on an epoch of raw strings: 4 layers of width
256, a vocabulary of 30522, at most 128 tokens, batches of 32, dropout 0.1, AdamW or
Adam, float32. A round of tfzoo and PyTorch is a whole epoch over the sample, including
tokenization. KerasHub pads every sentence to the same length, so its rate does not
depend on the sentences: it gets fewer of them, and its clock starts after the first
batch of each `fit`, to exclude the start of `fit`. The extra time of the first round
(tracing, compiling) is a separate column for all.
"""

import gzip
import json
import os
import pathlib
import tempfile

import side_by_side
import tyro

VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE = 30522, 4, 4, 256, 1024
BATCH, LENGTH, DROPOUT, LEARNING_RATE = 32, 128, 0.1, 1e-4
POOL_BATCHES = 50  # as in the grouping by length of transformers' Trainer
SKIPPED = 1  # batches at the start of KerasHub's `fit`
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
REAL_DATA = pathlib.Path(
    os.environ.get("TFZOO_DATA")
    or pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
)


def main(
    contender: str = "",
    data: str = "",
    examples: int = 2048,
    rounds: int = 3,
    only: tuple[str, ...] = (),
    sample: str = "",
):
    """Fine-tuning a small BERT on sentences, against KerasHub and PyTorch.

    Args:
        contender: For internal use: the contender that this process runs.
        data: Sentences and labels: a file with the columns `sentence` and `label`, or
            `tfds:...`. Defaults to SST-2.
        examples: Number of sentences, evenly spread over the data.
        rounds: Number of measured rounds per contender.
        only: Names of the contenders to compare. Defaults to all.
        sample: For internal use: directory of the sampled sentences.
    """
    if contender:
        return side_by_side.serve(lambda: CONTENDERS[contender].prepare(sample))
    with tempfile.TemporaryDirectory(prefix="tfzoo-fine-tuning-") as folder:
        draw_sample(data or default_data(), examples, pathlib.Path(folder))
        results = side_by_side.compare(
            __file__,
            {name: CONTENDERS[name] for name in only or CONTENDERS},
            rounds=rounds,
            arguments=["--sample", folder],
        )
    baseline = "KerasHub, its defaults (512 tokens)"
    print(side_by_side.table(results, unit="examples", baseline=baseline))


def default_data():
    """SST-2: the file if it exists, otherwise TensorFlow Datasets."""
    path = REAL_DATA / "sst2" / "train.tsv.gz"
    return str(path) if path.exists() else "tfds:glue/sst2:train"


def draw_sample(data, count, folder):
    """Writes `texts.json`, `labels.json` and `vocab.txt`."""
    from tfzoo.data import read_examples
    from tfzoo.text import WordPieceTokenizer

    examples = read_examples(data, text_column="sentence", label_column="label")
    step = max(1, len(examples) // count)
    texts = examples.texts[::step][:count]
    labels = [int(label) for label in examples.labels[::step][:count]]
    (folder / "texts.json").write_text(json.dumps(texts))
    (folder / "labels.json").write_text(json.dumps(labels))
    published = REAL_DATA / "vocab" / "bert-base-uncased-vocab.txt.gz"
    if published.exists():
        (folder / "vocab.txt").write_bytes(gzip.decompress(published.read_bytes()))
    else:
        trained = WordPieceTokenizer.train(examples.texts, vocabulary_size=VOCABULARY)
        lines = "".join(f"{token}\n" for token in trained.vocabulary)
        (folder / "vocab.txt").write_text(lines)


def read_sample(folder):
    """Returns texts, labels and the lines of the vocabulary."""
    folder = pathlib.Path(folder)
    texts = json.loads((folder / "texts.json").read_text())
    labels = json.loads((folder / "labels.json").read_text())
    return texts, labels, (folder / "vocab.txt").read_text().splitlines()


def tfzoo(*, jit_compile):
    def prepare(sample):
        import tfzoo

        texts, labels, vocabulary = read_sample(sample)
        encoder = tfzoo.BertEncoder(
            VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, dropout=DROPOUT
        )
        model = tfzoo.TextClassifier(
            encoder,
            tfzoo.WordPieceTokenizer(vocabulary),
            labels=["negative", "positive"],
            max_sequence_length=LENGTH,
        )
        model.compile(
            learning_rate=LEARNING_RATE, total_steps=100_000, jit_compile=jit_compile
        )

        def measure():
            watch = side_by_side.Stopwatch()
            history = model.fit(texts, labels, batch_size=BATCH, verbose=0)
            return watch.measured(len(texts), loss=history.history["loss"][-1])

        return measure

    return side_by_side.Contender(prepare)


def keras_hub(num_examples, **preprocessing):
    def prepare(sample):
        import keras
        import keras_hub
        import numpy as np

        texts, labels, vocabulary = read_sample(sample)
        texts, labels = np.array(texts[:num_examples]), np.array(labels[:num_examples])
        tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True)
        backbone = keras_hub.models.BertBackbone(
            VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, dropout=DROPOUT
        )
        preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
            tokenizer, **preprocessing
        )
        model = keras_hub.models.BertTextClassifier(
            backbone, num_classes=2, preprocessor=preprocessor
        )

        class Clock(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == SKIPPED - 1:
                    self.watch = side_by_side.Stopwatch()

        def measure():
            whole, clock = side_by_side.Stopwatch(), Clock()
            history = model.fit(
                texts, labels, batch_size=BATCH, verbose=0, callbacks=[clock]
            )
            loss = history.history["loss"][-1]
            if not hasattr(measure, "warm"):
                measure.warm = True
                return whole.measured(len(texts), loss=loss)
            return clock.watch.measured(len(texts) - SKIPPED * BATCH, loss=loss)

        return measure

    return side_by_side.Contender(prepare, ("keras_hub",))


def pytorch(*, grouped):
    def prepare(sample):
        import numpy as np
        import torch
        import transformers

        torch.set_num_threads(side_by_side.THREADS)
        texts, labels, vocabulary = read_sample(sample)
        tokenizer = transformers.BertTokenizer(
            vocab={token: i for i, token in enumerate(vocabulary)}
        )
        model = transformers.BertForSequenceClassification(
            transformers.BertConfig(
                vocab_size=VOCABULARY,
                hidden_size=HIDDEN,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                intermediate_size=INTERMEDIATE,
                hidden_dropout_prob=DROPOUT,
                attention_probs_dropout_prob=DROPOUT,
                num_labels=2,
            )
        ).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
        random = np.random.default_rng(0)

        def step(encoded, rows):
            batch = tokenizer.pad(
                {name: [values[i] for i in rows] for name, values in encoded.items()},
                return_tensors="pt",
            )
            target = torch.tensor([labels[i] for i in rows])
            loss = model(**batch, labels=target).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        def measure():
            watch = side_by_side.Stopwatch()
            encoded = dict(tokenizer(texts, truncation=True, max_length=LENGTH))
            order = random.permutation(len(texts))
            if grouped:
                order = by_length(order, [len(ids) for ids in encoded["input_ids"]])
            losses = [
                step(encoded, order[start : start + BATCH])
                for start in range(0, len(order), BATCH)
            ]
            return watch.measured(len(texts), loss=sum(losses) / len(losses))

        return measure

    return side_by_side.Contender(prepare, ("torch", "transformers"))


def by_length(order, lengths):
    """Sorts the shuffled order by length within pools, longest first."""
    pool = POOL_BATCHES * BATCH
    pools = [order[start : start + pool] for start in range(0, len(order), pool)]
    return [i for part in pools for i in sorted(part, key=lambda i: -lengths[i])]


CONTENDERS = {
    "tfzoo, graph": tfzoo(jit_compile=False),
    "KerasHub, its defaults (512 tokens)": keras_hub(6 * BATCH),
    "KerasHub, 128 tokens": keras_hub(16 * BATCH, sequence_length=LENGTH),
    "PyTorch transformers": pytorch(grouped=False),
    "PyTorch transformers, grouped by length": pytorch(grouped=True),
}

if __name__ == "__main__":
    tyro.cli(main)
