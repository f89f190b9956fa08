"""Preparation of pretraining examples as sharded TFRecords, by several processes.

Memory use does not grow with the corpus: it is tokenized to disk, the pairs of each
pass over it are listed on disk, and examples are drawn at random from those lists.
Worker processes make the examples and this one writes them in order, so the output is a
function of (files, tokenizer, arguments), not of the number of processes.
"""

import dataclasses
import functools
import time

import tensorflow as tf
from tqdm import tqdm

from tfzoo.data import example_making
from tfzoo.data.corpus import build_corpus, tokenizer_maker
from tfzoo.data.example_settings import Settings
from tfzoo.data.prepared_directory import PreparedDirectory, tokenizer_fingerprint
from tfzoo.data.workers import Workers
from tfzoo.errors import DataError, OutputError

_EXAMPLES_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Result of `prepare_pretraining_data`.

    Attributes:
        manifest: Counts, arguments and fingerprints: the content of `manifest.json`.
        was_finished: Whether the directory was already complete.
        examples_written: Number of examples written by this call.
        seconds: Time from when the processes were ready to the last shard.
        startup_seconds: Time until the processes were ready.
    """

    manifest: dict
    was_finished: bool
    examples_written: int = 0
    seconds: float = 0.0
    startup_seconds: float = 0.0


def prepare_pretraining_data(
    text,
    tokenizer,
    directory,
    *,
    duplicates=10,
    shards=8,
    processes=1,
    progress=True,
    **settings,
):
    """Writes a directory of TFRecord files for `pretraining_dataset`.

    Files are written atomically, `manifest.json` last. After an interruption, the same
    call continues with the missing files.

    Args:
        text: A `RunningText`.
        tokenizer: The tokenizer.
        directory: Output directory: new, empty, or begun by the same call.
        duplicates: Passes over the corpus; each divides and masks it differently.
        shards: Number of files.
        processes: Number of worker processes.
        progress: Whether to show progress bars, if stderr is a terminal.
        **settings: As in `Settings`.

    Returns:
        `Preparation`.

    Raises:
        DataError: the text is invalid or gives fewer examples than `shards`.
        OutputError: `directory` contains something else.
    """
    for name, value in (("duplicates", duplicates), ("shards", shards)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1. Received: {name}={value}")
    settings = Settings.of("prepare_pretraining_data", settings)
    settings.masking(tokenizer)  # checks the arguments before any work
    run = _description(text, tokenizer, settings, duplicates, shards)
    output = PreparedDirectory(directory, run, shards)
    if output.is_finished:
        return Preparation(output.manifest(), was_finished=True)
    begun = time.perf_counter()
    maker = functools.partial(
        example_making.Maker, tokenizer_maker(tokenizer), settings
    )
    try:
        with Workers(processes, maker) as workers:
            workers.wait_until_started()
            ready = time.perf_counter()
            corpus = build_corpus(
                text, tokenizer, output.work, workers=workers, progress=progress
            )
            plan = _planned(corpus, settings, duplicates, workers, progress=progress)
            written = _write_shards(output, plan, shards, workers, progress=progress)
            ended = time.perf_counter()
    except DataError:
        output.give_up()
        raise
    output.finish()
    return Preparation(
        output.manifest(),
        was_finished=False,
        examples_written=written,
        seconds=ended - ready,
        startup_seconds=ready - begun,
    )


def _description(text, tokenizer, settings, duplicates, shards):
    """Everything that determines the output."""
    return {
        "format": "pretraining records 2",
        "arguments": {
            **dataclasses.asdict(settings),
            "duplicates": duplicates,
            "shards": shards,
            "sentences": text.sentences,
            "documents": text.documents,
            "text_column": text.text_column,
            **({} if text.header else {"header": False}),
        },
        "text": text.contents(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
    }


def _planned(corpus, settings, duplicates, workers, *, progress):
    """Writes the pairs of every pass over the corpus to disk."""
    files = [corpus.directory / f"pairs-{i:05d}.bin" for i in range(duplicates)]
    tasks = [
        (str(corpus.directory), settings, epoch, str(file))
        for epoch, file in enumerate(files)
    ]
    made = workers.map(example_making.list_pairs, tasks)
    counts = list(
        tqdm(
            made, "pairing", duplicates, unit="pass", disable=None if progress else True
        )
    )
    return example_making.Plan(
        str(corpus.directory), tuple(map(str, files)), tuple(counts), settings
    )


def _write_shards(output, plan, shards, workers, *, progress):
    """Writes the missing shards; returns the number of examples written."""
    total = sum(plan.counts)
    if total < shards:
        raise DataError(
            f"There must be at least one example for each of the {shards} shards. "
            f"Received: {total} examples.",
            path=output.path,
            fix="Use fewer shards or give more text.",
        )
    ranges = {
        shard: (total * shard // shards, total * (shard + 1) // shards)
        for shard in output.missing_shards()
    }
    tasks = (
        (plan, first, min(first + _EXAMPLES_AT_ONCE, end))
        for begin, end in ranges.values()
        for first in range(begin, end, _EXAMPLES_AT_ONCE)
    )
    made = workers.map(example_making.make_examples, tasks)
    count = sum(end - begin for begin, end in ranges.values())
    with tqdm(
        desc="writing", total=count, unit="example", disable=None if progress else True
    ) as bar:
        for shard, (begin, end) in ranges.items():
            with output.new_shard(shard) as (path, counts):
                _write_shard(path, counts, end - begin, made, bar)
    return count


def _write_shard(path, counts, size, made, bar):
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            while counts["examples"] < size:
                records, more = next(made)
                for record in records:
                    writer.write(record)
                for name, value in more.items():
                    counts[name] += value
                bar.update(len(records))
    except tf.errors.OpError as e:  # for example a full disk
        raise OutputError(f"Cannot write the output: {e.message}.", path=path) from None
