"""Preparing pretraining data: examples/s and peak memory as the corpus grows.

    python benchmarks/preparation.py [--input text.txt ...]

Prepares a corpus of 1, 4 and 16 times the size, each run in its own process, and prints
the median rate and the highest peak of the proportional set size (Linux), summed over
the process and its workers. The rate excludes the start of the workers, which is
printed separately. Without `--input` the text is Python's own `pydoc_data.topics`, with
its paragraphs in a different random order in every copy.
"""

import functools
import multiprocessing
import os
import pathlib
import platform
import random
import statistics
import tempfile
import threading

from tfzoo import cli

SIZES = (1, 4, 16)


def main(
    input: tuple[pathlib.Path, ...] = (),
    megabytes: float = 4.0,
    duplicates: int = 1,
    repeats: int = 3,
    processes: int = 2,
):
    """Preparing pretraining data: examples/s and peak memory as the corpus grows.

    Args:
        input: Text files, blank lines between documents. Defaults to Python's topics.
        megabytes: Size of the smallest corpus.
        duplicates: Number of passes over each corpus.
        repeats: Number of runs per size; the median rate is reported.
        processes: Number of worker processes.
    """
    from tfzoo.text import WordPieceTokenizer

    documents = _documents(input)
    print(_machine(), f"{processes} workers, {duplicates} pass(es).", sep="\n")
    results = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory(prefix="tfzoo-preparation-") as place:
        place = pathlib.Path(place)
        tokenizer = WordPieceTokenizer.train(documents, vocabulary_size=8192)
        (place / "tokenizer").mkdir()
        tokenizer.save_to_preset(place / "tokenizer")
        for size in SIZES:
            _write_corpus(place / f"{size}.txt", documents, size * megabytes * 1e6)
        for repeat in range(repeats):
            for size in SIZES:
                output = place / f"output-{size}-{repeat}"
                work = functools.partial(
                    _prepare, place / f"{size}.txt", place / "tokenizer", output
                )
                results[size].append(_measured(work, duplicates, processes))
    _print_table(results, megabytes)


def _print_table(results, megabytes):
    first_rate = statistics.median(run["rate"] for run in results[1])
    first_peak = max(run["peak"] for run in results[1])
    print("size   text MB   examples   start s   examples/s  ratio   peak MB  ratio")
    for size, runs in results.items():
        rate = statistics.median(run["rate"] for run in runs)
        peak = max(run["peak"] for run in runs)
        start = statistics.median(run["startup"] for run in runs)
        print(
            f"{size:3}x {size * megabytes:10.0f} {runs[0]['examples']:10} {start:9.1f} "
            f"{rate:12.0f} {rate / first_rate:6.2f} {peak / 1e6:9.0f} "
            f"{peak / first_peak:6.2f}"
        )


def _documents(paths):
    if paths:
        texts = [path.read_text(encoding="utf-8") for path in paths]
    else:
        import pydoc_data.topics

        texts = list(pydoc_data.topics.topics.values())
    return [part for text in texts for part in text.split("\n\n") if part.strip()]


def _write_corpus(path, documents, num_bytes):
    numbers, written = random.Random(0), 0
    with open(path, "w", encoding="utf-8") as file:
        while written < num_bytes:
            for document in numbers.sample(documents, len(documents)):
                written += file.write(document + "\n\n")
                if written >= num_bytes:
                    break


def _prepare(text, tokenizer, output, duplicates, processes, results):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from tfzoo.data.preparation import prepare_pretraining_data
    from tfzoo.data.running_text import RunningText
    from tfzoo.text import WordPieceTokenizer

    done = prepare_pretraining_data(
        RunningText([text]),
        WordPieceTokenizer.from_preset(tokenizer),
        output,
        duplicates=duplicates,
        processes=processes,
        progress=False,
    )
    results.put(
        {
            "examples": done.examples_written,
            "rate": done.examples_written / done.seconds,
            "startup": done.startup_seconds,
        }
    )


def _measured(work, duplicates, processes):
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=work, args=(duplicates, processes, results))
    process.start()
    peak, ended = [0], threading.Event()

    def watch():
        while not ended.wait(0.1):
            peak[0] = max(peak[0], _memory_of_tree(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.join()
    ended.set()
    watcher.join()
    if process.exitcode:
        raise SystemExit(f"error: the preparation exited with {process.exitcode}")
    return {**results.get(), "peak": peak[0]}


def _memory_of_tree(root):
    """Proportional set size, in bytes, of a process and its descendants."""
    parents = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
    tree = {root}
    while more := {p for p, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(map(_memory, tree))


def _memory(process):
    try:
        lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _machine():
    model = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.platform()}"


if __name__ == "__main__":
    cli.run(main)
