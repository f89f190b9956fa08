"""Latency from raw string to label: the exported model against `classify()` in Python.

    python benchmarks/serving_latency.py

A classifier of 4 layers of width 256 with random weights and a vocabulary trained on
Python's own documentation, whose lines are the texts. The exported model is called by
its TensorFlow signature in a process that only imports TensorFlow; no network is
involved. XLA is the same model exported with `jit_compile=True`; all its shapes are
compiled before the clock starts, as the warm-up records do in TF Serving.
"""

import contextlib
import functools
import pathlib
import tempfile

import side_by_side

VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE = 8192, 4, 4, 256, 1024
MAX_LENGTH = 128
LABELS = ("a", "b", "c", "d")
CALLS = {1: 60, 8: 24, 32: 12}  # texts per call -> calls per round


def main(contender: str = "", rounds: int = 7, folder: pathlib.Path | None = None):
    """Latency from raw string to label: the exported model against `classify()`.

    Args:
        contender: For internal use: the contender that this process runs.
        rounds: Number of measured rounds per contender.
        folder: Directory of the exported models. By default a temporary one.
    """
    if contender:
        return side_by_side.serve(
            functools.partial(CONTENDERS[contender].prepare, folder)
        )
    with tempfile.TemporaryDirectory() as place:
        folder = folder or pathlib.Path(place)
        if not (folder / "preset").exists():
            make_models(folder)
        results = side_by_side.compare(
            __file__, CONTENDERS, rounds=rounds, arguments=["--folder", folder]
        )
    print(side_by_side.machine(), "", *latencies(results), sep="\n")


def lines():
    """Real text of typical length: lines of Python's documentation."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    return [line.strip() for line in text.splitlines() if len(line.strip()) > 20]


def make_models(folder):
    """Writes a preset and both exports of one model."""
    from tfzoo.families import BertEncoder
    from tfzoo.tasks import TextClassifier
    from tfzoo.text import WordPieceTokenizer

    tokenizer = WordPieceTokenizer.train(
        lines(), vocabulary_size=VOCABULARY, progress=False
    )
    backbone = BertEncoder(
        tokenizer.vocabulary_size,
        LAYERS,
        HEADS,
        HIDDEN,
        INTERMEDIATE,
        max_sequence_length=MAX_LENGTH,
    )
    task = TextClassifier(backbone, tokenizer, list(LABELS))
    task.export_version(folder / "graph")
    task.export_version(folder / "xla", jit_compile=True)
    task.save_to_preset(folder / "preset")


def rounds_of(answer):
    """`round` of a function that takes a list of texts and returns labels."""
    texts = lines()
    for size in CALLS:  # tracing, memory allocation and compilation, if any
        for start in range(0, 20 * size, size):
            answer(texts[start : start + size])

    def measure():
        watch, milliseconds = side_by_side.Stopwatch(), {}
        for size, calls in CALLS.items():
            seconds = []
            for call in range(calls):
                start = (call * size * 7) % (len(texts) - size)
                clock = side_by_side.Stopwatch()
                answer(texts[start : start + size])
                seconds.append(clock.measured(1).seconds)
            milliseconds[str(size)] = [1000 * second for second in seconds]
        return watch.measured(sum(CALLS.values()), **milliseconds)

    return measure


def saved_model(name, folder):
    """The exported model, called by its signature."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / name / "1"))
    signature = loaded.signatures["serving_default"]
    warm_up(loaded, folder / name / "1")

    def answer(texts, loaded=loaded):
        return signature(text=tf.constant(texts))["label"].numpy()

    return rounds_of(answer)


def warm_up(loaded, version):
    """Sends the model its warm-up records of ids, which cover every shape."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    records = version / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        if request.model_spec.signature_name == "token_ids":
            inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            tensors = {name: tf.constant(value) for name, value in inputs.items()}
            loaded.signatures["token_ids"](**tensors)


def in_process(folder):
    """The task's own `classify`, which is designed for many texts."""
    from tfzoo.tasks import TextClassifier

    task = TextClassifier.from_preset(folder / "preset")
    with contextlib.suppress(AttributeError):
        task.compile()
    return rounds_of(task.classify)


def latencies(results):
    """Lines of a Markdown table of milliseconds per call."""
    import numpy as np

    sizes = [str(size) for size in CALLS]
    yield "| contender | " + " | ".join(f"{s}: p50 ms | p99 ms" for s in sizes) + " |"
    yield "|---" * (1 + 2 * len(sizes)) + "|"
    for name, result in results.items():
        cells = []
        for size in sizes:
            every = [ms for measured in result.rounds for ms in measured.notes[size]]
            cells += [f"{value:.2f}" for value in np.percentile(every, (50, 99))]
        yield f"| {name} | " + " | ".join(cells) + " |"


CONTENDERS = {
    "SavedModel, graph": side_by_side.Contender(
        functools.partial(saved_model, "graph"), ("tensorflow",)
    ),
    "SavedModel, XLA": side_by_side.Contender(
        functools.partial(saved_model, "xla"), ("tensorflow",)
    ),
    "classify() in Python": side_by_side.Contender(in_process, ("tfzoo",)),
}

if __name__ == "__main__":
    import tyro

    tyro.cli(main)
