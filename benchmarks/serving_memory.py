"""Memory and time of large requests to exported models.

    python benchmarks/serving_memory.py
    python benchmarks/serving_memory.py --sizes bert_base --tasks tagger gpt

Models with random weights, of the sizes of MiniLM (6 layers of width 384) and
BERT-base, and a GPT of the size of GPT-2. Each is loaded in its own process, by
TensorFlow only, into a session, as TensorFlow Serving does; `tf.saved_model.load` keeps
some 100 MB more for the graphs in Python. "Peak" is the peak memory of the process
while it answers, minus the weights and the memory after importing TensorFlow; the
target is 500 MB. "At rest" is the memory of the process before the request, as a
multiple of the weights, after subtracting that of a model with as many layers and 4
units per head, which has the same graphs. "Added" is what the request adds to it.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Literal

import side_by_side

SIZES = {  # layers, heads, width, width of the feed-forward networks
    "minilm": (6, 12, 384, 1536),
    "bert_base": (12, 12, 768, 3072),
    "gpt2": (12, 12, 768, 3072),
}
MAX_LENGTH, VOCABULARY = 512, 8192
LABELS = ("O", "B-PER", "I-PER")
TASKS = ("classifier", "tagger", "answerer", "masked_words", "embedder", "gpt")
REQUESTS = {  # number of rows, and the text of a row
    "1 short row": (1, "Row {} alone."),
    "10,000 short rows": (10_000, "Row {} of many."),
    "10,000 empty rows": (10_000, ""),
    "32 rows of 1 MB": (32, "A megabyte of words, row {}. " * 40_000),
    "32 rows of 1 MB without a space": (32, "megabyte{}" * 110_000),
}


def main(
    sizes: tuple[str, ...] = ("minilm", "bert_base"),
    tasks: tuple[str, ...] = ("classifier",),
    requests: tuple[str, ...] = tuple(REQUESTS),
    xla: Literal["no", "yes", "both"] = "both",
    max_length: int = MAX_LENGTH,
    folder: pathlib.Path | None = None,
    ask: pathlib.Path | None = None,
):
    """Memory and time of large requests to exported models.

    Args:
        sizes: Names of sizes; a GPT has its own.
        tasks: Any of classifier, tagger, answerer, masked_words, embedder, gpt.
        requests: Which requests to send, by the beginnings of their names.
        xla: Whether XLA compiles the models.
        max_length: Maximum number of tokens in a row.
        folder: Directory of the exported models. By default a temporary one.
        ask: For internal use: the model that this process loads.
    """
    chosen = [name for name in REQUESTS if name.startswith(tuple(requests))]
    if ask:
        return print(json.dumps(measured(ask, requests)))
    print(side_by_side.machine(), "", *table_head(), sep="\n", flush=True)
    modes = {"no": [False], "yes": [True], "both": [False, True]}[xla]
    with tempfile.TemporaryDirectory() as place:
        for task, jit_compile in itertools.product(tasks, modes):
            for size in ("gpt2",) if task == "gpt" else sizes:
                suffix = "xla" if jit_compile else ""
                base = folder or pathlib.Path(place)
                base /= f"{task}_{size}_{max_length}_{suffix}"
                layers, heads, *_ = SIZES[size]
                narrow = base.with_name(f"{base.name}_narrow")
                for path, widths in (
                    (base, SIZES[size]),
                    (narrow, (layers, heads, 4 * heads, 16 * heads)),
                ):
                    if not path.exists():
                        options = (task, widths, path, jit_compile, max_length)
                        in_a_process(make_model, *options)
                for request in chosen:
                    command = [__file__, "--requests", request, "--ask"]
                    row = [task, size, "yes" if jit_compile else "no", request]
                    print_rows(row, asked([*command, base]), asked([*command, narrow]))


def in_a_process(function, *arguments):
    """Calls a function in a new process, whose memory is freed with it."""
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(
        target=function, args=arguments
    )
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def make_model(task, widths, base, jit_compile, max_length):
    """Exports a model with random weights."""
    from pydoc_data.topics import topics

    import tfzoo

    lines = "\n".join(topics[name] for name in sorted(topics)).split("\n")
    options = {"vocabulary_size": VOCABULARY, "progress": False}
    if task == "gpt":
        tokenizer = tfzoo.ByteBPETokenizer.train(lines, **options)
        vocabulary = 50257 if widths[2] > 64 else VOCABULARY + 1
        decoder = tfzoo.GPTDecoder(vocabulary, *widths, max_sequence_length=1024)
        model = tfzoo.CausalLM(decoder, tokenizer)
    else:
        tokenizer = tfzoo.WordPieceTokenizer.train(lines, **options)
        vocabulary = 30522 if widths[2] > 64 else VOCABULARY
        encoder = tfzoo.BertEncoder(vocabulary, *widths, max_sequence_length=max_length)
        kinds = {
            "classifier": tfzoo.TextClassifier,
            "tagger": tfzoo.TokenClassifier,
            "answerer": tfzoo.QuestionAnswerer,
            "masked_words": tfzoo.MaskedLM,
            "embedder": tfzoo.TextEmbedder,
        }
        more = [list(LABELS)] if task in ("classifier", "tagger") else []
        model = kinds[task](encoder, tokenizer, *more)
    model.export_version(base, jit_compile=jit_compile)


def measured(base, requests):
    """By signature: bytes at rest, of the weights, added, at the peak; seconds."""
    import tensorflow as tf

    tf.constant(0)
    imported = memory("VmRSS")
    weights = sum(path.stat().st_size for path in base.glob("1/variables/*"))
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        # As in TensorFlow Serving, without what Python's loader keeps
        loader = tf.compat.v1.saved_model.load
        signatures = loader(session, ["serve"], str(base / "1")).signature_def
    results = {}
    for name in ("serving_default", "score"):
        if name not in signatures:
            continue
        outputs = [value.name for value in signatures[name].outputs.values()]
        inputs = {key: value.name for key, value in signatures[name].inputs.items()}
        session.run(outputs, dict.fromkeys(inputs.values(), ["A short row."]))
        for request in requests:
            texts = {inputs[key]: texts_of(request, key) for key in inputs}
            pathlib.Path("/proc/self/clear_refs").write_text("5")
            at_rest, start = memory("VmRSS"), time.perf_counter()
            session.run(outputs, texts)
            seconds, peak = time.perf_counter() - start, memory("VmHWM")
            results[name] = [
                at_rest,
                weights,
                peak - at_rest,
                peak - imported - weights,
                seconds,
            ]
    return results


def texts_of(request, input_name):
    """The value of an input in a request, an array of bytes."""
    import numpy as np

    rows, text = REQUESTS[request]
    if input_name == "question":
        text = "Which row?"
    texts = [text.format(*[row] * 200_000).encode() for row in range(rows)]
    return np.array(texts, object)


def memory(name):
    """A value from /proc/self/status, in bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def table_head():
    """The first lines of the table."""
    return [
        "| model | size | XLA | request | signature | at rest / weights "
        "| added MB | peak MB | seconds |",
        "|---|---|---|---|---|---:|---:|---:|---:|",
    ]


def asked(command):
    """The result of `measured` for a model in a new process."""
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return json.loads(result.stdout)


def print_rows(row, of_model, of_narrow):
    """Prints a row of the table for each signature."""
    for signature, (at_rest, weights, added, peak, seconds) in of_model.items():
        narrow, narrow_weights, *_ = of_narrow[signature]
        times = (at_rest - narrow) / (weights - narrow_weights)
        figures = [f"{times:.2f}", f"{added / 1e6:.0f}", f"{peak / 1e6:.0f}"]
        columns = [*row, signature, *figures, f"{seconds:.1f}"]
        print("|", " | ".join(columns), "|", flush=True)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
