"""Batches for `BertPretrainer`, from text or prepared records."""

import dataclasses
import os

from tfzoo.data.corpus import build_corpus
from tfzoo.data.example_settings import Settings
from tfzoo.data.pretraining_records import RecordSource
from tfzoo.data.pretraining_text import TextSource
from tfzoo.data.readers import expanded, file_kind, is_data_set
from tfzoo.data.running_text import RunningText
from tfzoo.errors import DataError, about, shown


def open_pretraining_data(
    paths,
    tokenizer,
    *,
    cache_directory=None,
    next_sentence=True,
    sentences="lines",
    documents="auto",
    text_column="text",
    header=True,
    processes=1,
    progress=True,
    **settings,
):
    """Opens text, with pairs and masks made on the fly, or prepared TFRecords.

    Args:
        paths: Text files (or `tfds:...`, or Hugging Face datasets); or TFRecord files
            and directories written by `prepare_pretraining_data`. Not both.
        tokenizer: The tokenizer.
        cache_directory: Where to keep the tokenized text. None for a temporary
            directory that lives as long as the result.
        next_sentence: Whether examples are pairs with a label.
        sentences: Where sentences end, as in `RunningText`; text only.
        documents: Where documents end, as in `RunningText`; text only.
        text_column: Column of the text in files with columns.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.
        processes: Number of tokenizing processes.
        progress: Whether to show progress bars, if stderr is a terminal.
        **settings: As in `Settings`. For records, `max_sequence_length` and
            `max_predictions` are upper bounds, and `seed` is the seed of their order;
            the others are for text only.

    Returns:
        `TextSource` or `RecordSource`: both have `num_examples`, `fingerprint`,
        `batches(batch_size, start_step=)` and `validation_batches(batch_size)`.

    Raises:
        DataError: the data is invalid.
    """
    settings = Settings.of("open_pretraining_data", settings)
    if isinstance(paths, str) or is_data_set(paths):
        raise ValueError(f"paths must be a list of files. Received: {shown(paths)}")
    paths = [*map(expanded, paths)]
    if not paths:
        raise ValueError("paths must have at least one file. Received: []")
    if _are_records(paths):
        return RecordSource(
            paths,
            tokenizer,
            max_sequence_length=settings.max_sequence_length,
            max_predictions=settings.max_predictions,
            next_sentence=next_sentence,
            seed=settings.seed,
        )
    corpus = build_corpus(
        RunningText(paths, sentences, documents, text_column, header=header),
        tokenizer,
        cache_directory,
        processes=processes,
        progress=progress,
    )
    with about(", ".join(map(str, paths))):
        return TextSource(
            corpus,
            tokenizer,
            next_sentence=next_sentence,
            **dataclasses.asdict(settings),
        )


def pretraining_dataset(
    paths,
    tokenizer,
    *,
    batch_size,
    start_step=0,
    validation=False,
    max_examples=None,
    **options,
):
    """A `tf.data.Dataset` of (inputs, targets, weights) for `BertPretrainer`.

    Args:
        paths: As in `open_pretraining_data`.
        tokenizer: The tokenizer.
        batch_size: B; every batch has exactly B rows.
        start_step: Number of steps to skip from the beginning.
        validation: Whether the dataset is finite and in a fixed order, not endless.
        max_examples: Maximum number of validation examples.
        **options: The other arguments of `open_pretraining_data`.

    Returns:
        inputs: `token_ids`, `segment_ids`, `padding_mask`, int32 (B, S), and
        `mask_positions`, int32 (B, M). targets: `masked_words`, int32 (B, M), and
        `next_sentence`, int32 (B,), 1 if the next sentence is a random one. weights:
        float32, with the names and shapes of the targets, 0 for filling.
    """
    source = open_pretraining_data(paths, tokenizer, **options)
    if validation:
        return source.validation_batches(batch_size, max_examples=max_examples)
    return source.batches(batch_size, start_step=start_step)


def _are_records(paths):
    kinds = {_is_record(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(
            "The input must be text files or TFRecord files, not both. Received: "
            f"{', '.join(map(str, paths))}."
        )
    return kinds.pop()


def _is_record(path):
    if is_data_set(path):
        return False
    return os.path.isdir(path) or file_kind(path) == "tfrecord"
