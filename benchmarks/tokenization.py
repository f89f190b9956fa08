"""Tokenizers: a library on one thread against tfzoo's and KerasHub's graphs.

    python benchmarks/tokenization.py
    python benchmarks/tokenization.py --kind byte_bpe
    python benchmarks/tokenization.py --kind unigram
    python benchmarks/tokenization.py --kind llama-3
    python benchmarks/tokenization.py --tokenizer DIRECTORY

The texts are the lines of Python's `pydoc_data.topics`, in batches of 1, 32 and 1024.
The vocabulary is trained on them if none is given; the newer byte-level BPEs (SmolLM2,
Qwen 2, Llama 3, CLIP) get the merges of GPT-2's. All calls are made from Python; the
graphs get strings that are already tensors. Ratios are to Rust on one thread, which the
graph, on the two threads that all have, should reach at batch 1024. KerasHub's graphs
need `tensorflow_text`; the ids of its WordPiece differ where it folds characters, and
its byte-level BPE keeps a table of the words it has seen.
"""

import os
import pathlib
import tempfile
from typing import Literal

import side_by_side

BATCH_SIZES = (1, 32, 1024)
SENTENCEPIECE = ("unigram", "sentencepiece_bpe")
SPACE = "\u0120"
DECLARED = {
    "smollm-2": {"split": "smollm-2"},
    "qwen-2": {"split": "qwen-2", "normalizer": "nfc"},
    "llama-3": {"split": "llama-3", "ignore_merges": True},
    "clip": {"split": "clip", "normalizer": "clip", "end_of_word_suffix": "</w>"},
}
RUST = "Rust, 1 thread"


def main(
    contender: str = "",
    rounds: int = 9,
    kind: Literal[
        "wordpiece",
        "byte_bpe",
        "smollm-2",
        "qwen-2",
        "llama-3",
        "clip",
        "unigram",
        "sentencepiece_bpe",
    ] = "wordpiece",
    tokenizer: pathlib.Path | None = None,
    batch_size: int = 0,
    texts_per_round: int = 4096,
):
    """Tokenizers: Rust on one thread against tfzoo's and KerasHub's TensorFlow graphs.

    Args:
        contender: For internal use: the contender that this process runs.
        rounds: Number of measured rounds per contender.
        kind: Kind of the tokenizer to train if no directory is given.
        tokenizer: Directory of a tokenizer of any kind. By default one is trained.
        batch_size: Texts per call; 0 for 1, 32 and 1024.
        texts_per_round: Texts per round, at most 512 calls.
    """
    if contender:
        prepare = CONTENDERS[contender].prepare
        return side_by_side.serve(
            lambda: prepare(tokenizer, batch_size, texts_per_round)
        )
    contenders = dict(CONTENDERS)
    if kind in SENTENCEPIECE:  # KerasHub's is the operation of tensorflow_text
        del contenders["KerasHub graph"]
    with tempfile.TemporaryDirectory(prefix="tfzoo-tokenization-") as place:
        if tokenizer is None:
            tokenizer = trained(kind, place)
        for size in [batch_size] if batch_size else BATCH_SIZES:
            arguments = {
                "--tokenizer": tokenizer,
                "--batch-size": size,
                "--texts-per-round": texts_per_round,
            }
            results = side_by_side.compare(
                __file__,
                contenders,
                rounds=rounds,
                arguments=[part for pair in arguments.items() for part in pair],
            )
            print(f"\nBatches of {size}:")
            print(side_by_side.table(results, unit="texts", baseline=RUST))


def lines():
    """The non-blank lines of Python's help topics."""
    from pydoc_data import topics

    texts = (topics.topics[name] for name in sorted(topics.topics))
    return [line for text in texts for line in text.split("\n") if line.strip()]


def trained(kind, place):
    """Trains a tokenizer on the texts; returns its directory."""
    from tfzoo.text import (
        ByteBPETokenizer,
        SentencePieceTokenizer,
        WordPieceTokenizer,
    )

    cls, options = ByteBPETokenizer, {}
    if kind == "wordpiece":
        cls = WordPieceTokenizer
    elif kind in SENTENCEPIECE:
        cls = SentencePieceTokenizer
        options = {"algorithm": "bpe" if kind == "sentencepiece_bpe" else "unigram"}
    tokenizer = cls.train(lines(), vocabulary_size=8192, progress=False, **options)
    if kind in DECLARED:
        tokenizer = ByteBPETokenizer(**declared(kind, tokenizer))
    tokenizer.save_to_preset(place)
    return place


def declared(kind, tokenizer):
    """The constructor arguments of a tokenizer with the merges of another one."""
    arguments = {**tokenizer.get_config(), **DECLARED[kind]}
    if kind == "clip":  # the same merges inside and at the end of a word
        merges = [(a.lstrip(SPACE), b) for a, b in tokenizer.merges]
        merges = [(a, b + end) for a, b in merges if a for end in ("", "</w>")]
        letters = tokenizer.vocabulary[:256]
        made = [*letters, *(letter + "</w>" for letter in letters)]
        arguments["merges"] = list(dict.fromkeys(merges))
        made += map("".join, arguments["merges"])
        arguments["vocabulary"] = [*dict.fromkeys(made), tokenizer.end_token]
    return arguments


def rounds_of(call, batches):
    """`round` of a contender: all batches, one after the other."""

    def measure():
        watch = side_by_side.Stopwatch()
        for batch in batches:
            call(batch)
        return watch.measured(sum(map(len, batches)))

    return measure


def batches_of(batch_size, texts_per_round):
    """Lists of texts, the same for all contenders."""
    count = min(texts_per_round, 512 * batch_size) // batch_size * batch_size
    texts = lines()
    texts = (texts * (count // len(texts) + 1))[: max(count, batch_size)]
    return [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]


def rust(directory, batch_size, texts_per_round):
    """`tokenize` of the tokenizer on one thread."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # for `sentencepiece`
    from tfzoo.text import tokenizer_from_preset

    tokenizer = tokenizer_from_preset(directory)
    return rounds_of(tokenizer.tokenize, batches_of(batch_size, texts_per_round))


def graph(directory, batch_size, texts_per_round):
    """`graph` of the tokenizer."""
    import tensorflow as tf

    from tfzoo.text import tokenizer_from_preset

    tokenizer = tokenizer_from_preset(directory)
    batches = [tf.constant(b) for b in batches_of(batch_size, texts_per_round)]
    return rounds_of(lambda b: tokenizer.graph(b).flat_values.numpy(), batches)


def keras_hub(directory, batch_size, texts_per_round):
    """KerasHub's tokenizer as a graph."""
    import keras_hub
    import tensorflow as tf

    from tfzoo.text import WordPieceTokenizer, tokenizer_from_preset

    ours = tokenizer_from_preset(directory)
    if isinstance(ours, WordPieceTokenizer):
        tokenizer = keras_hub.tokenizers.WordPieceTokenizer(
            vocabulary=list(ours.vocabulary),
            lowercase=True,
            strip_accents=True,
            split_on_cjk=True,
        )
    else:
        tokenizer = keras_hub.tokenizers.BytePairTokenizer(
            vocabulary={t: i for i, t in enumerate(ours.vocabulary) if t},
            merges=list(map(" ".join, ours.merges)),
        )
    call = tf.function(tokenizer.tokenize)
    batches = [tf.constant(b) for b in batches_of(batch_size, texts_per_round)]
    return rounds_of(lambda b: call(b).flat_values.numpy(), batches)


CONTENDERS = {
    RUST: side_by_side.Contender(rust),
    "graph": side_by_side.Contender(graph, requires=("tensorflow",)),
    "KerasHub graph": side_by_side.Contender(
        keras_hub, requires=("keras_hub", "tensorflow_text")
    ),
}

if __name__ == "__main__":
    from tfzoo import cli

    cli.run(main)
