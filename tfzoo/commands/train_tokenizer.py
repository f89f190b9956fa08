"""Trains a tokenizer on text: WordPiece, byte-level BPE or SentencePiece.

    tfzoo train-tokenizer --input text/*.txt --vocabulary-size 8000 \
        --output runs/tokenizer
    tfzoo train-tokenizer --kind byte_bpe --input text/*.txt \
        --vocabulary-size 8000 --output runs/byte_bpe
    tfzoo train-tokenizer --kind unigram --input text/*.txt \
        --vocabulary-size 8000 --output runs/unigram

Reads text files (.txt by lines; .tsv, .csv, .jsonl, .json, .parquet by records; each
also .gz). Writes `tokenizer.json`, `tokenizer_config.json` and `vocab.txt`, or
`vocab.json` and `merges.txt`; or `spiece.model` with its configuration; and
`metrics.json`. `transformers` also opens the tokenizer. The same text always gives the
same tokenizer.
"""

import itertools
import pathlib
import time
from typing import Literal

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable

MEASURED = 100_000  # lines or texts
ALPHABET_SIZE = 1000
ALGORITHMS = {
    "unigram": {"algorithm": "unigram"},
    "sentencepiece_bpe": {
        "algorithm": "bpe",
        "byte_fallback": True,
        "pad_token": None,
        "start_token": "<s>",
    },
}
OF_SPLITS = {
    "gpt-2": {},
    "smollm-2": {},
    "qwen-2": {"normalizer": "nfc"},
    "llama-3": {},
    "clip": {"normalizer": "clip", "end_of_word_suffix": "</w>"},
}


def main(
    input: tuple[pathlib.Path, ...],
    vocabulary_size: int,
    output: pathlib.Path,
    kind: Literal[
        "wordpiece", "byte_bpe", "roberta", "unigram", "sentencepiece_bpe"
    ] = "wordpiece",
    split: Literal["gpt-2", "smollm-2", "qwen-2", "llama-3", "clip"] | None = None,
    cased: bool = False,
    min_frequency: int = 2,
    alphabet_size: int | None = None,
    text_column: args.TextColumnIfAny = "text",
    header: args.Header = True,
):
    """Trains a tokenizer on text: WordPiece, byte-level BPE or SentencePiece.

    Args:
        input: Text files (.txt, .tsv, .csv, .jsonl, .json, .parquet; each also .gz; or
            TFRecord).
        vocabulary_size: Number of tokens, including special tokens and characters.
        output: Output directory; must not exist, or be empty.
        kind: wordpiece (BERT); byte_bpe (GPT-2), or roberta: byte-level BPE with
            RoBERTa's special tokens; unigram (T5) or sentencepiece_bpe (Llama 2), which
            falls back to bytes.
        split: How byte_bpe splits text into words, and normalizes it: like the models
            of this name; default gpt-2.
        cased: Keep case and accents. WordPiece removes them otherwise; the other kinds
            always keep them.
        min_frequency: How often a pair must occur to be merged into a token; of no
            effect on SentencePiece.
        alphabet_size: Number of characters that WordPiece keeps, the most frequent
            ones; default 1000. Byte-level BPE covers all characters.
    """
    cli.check_numbers(locals())
    from tfzoo.errors import about
    from tfzoo.files import refuse_existing, write_json, written_beside

    if split is not None and kind != "byte_bpe":
        raise ValueError(
            "split must only be given with kind byte_bpe. Received: "
            f"kind={kind}, split={split}"
        )
    options = {"vocabulary_size": vocabulary_size, "min_frequency": min_frequency}
    if kind == "wordpiece":
        alphabet_size = ALPHABET_SIZE if alphabet_size is None else alphabet_size
        options |= {"lowercase": not cased, "alphabet_size": alphabet_size}
    elif cased or alphabet_size is not None:
        raise ValueError(
            "cased and alphabet_size must only be given with kind wordpiece. Received: "
            f"kind={kind}, cased={cased}, alphabet_size={alphabet_size}"
        )
    elif kind == "byte_bpe":
        split = split or "gpt-2"
        options |= {"split": split, **OF_SPLITS[split]}
    elif kind == "roberta":
        from tfzoo.text import ROBERTA_TOKENS

        options |= ROBERTA_TOKENS
    refuse_existing(output, allow_empty=True)
    start = time.perf_counter()
    if kind in ALGORITHMS:
        options = {"vocabulary_size": vocabulary_size, **ALGORITHMS[kind]}
        learn = learn_sentencepiece
    else:
        learn = learn_wordpiece if kind == "wordpiece" else learn_byte_bpe
    with about(", ".join(map(str, input))):
        tokenizer, metrics = learn(input, text_column, header, options)
    metrics = {
        "vocabulary_size": tokenizer.vocabulary_size,
        **metrics,
        "seconds": round(time.perf_counter() - start, 2),
    }
    with written_beside(output, directory=True) as directory:
        tokenizer.save_to_preset(directory)
        write_json(directory / "metrics.json", metrics)
    figures = ", ".join(f"{name} {value:.5g}" for name, value in metrics.items())
    print(f"Trained a {kind} tokenizer: {figures}.")
    print(f"The tokenizer and metrics.json are in {printable(output)}.")


def learn_wordpiece(paths, text_column, header, options):
    """Trains WordPiece; returns it and statistics on some lines."""
    import numpy as np

    from tfzoo.data.running_text import RunningText
    from tfzoo.text import WordPieceTokenizer

    text = RunningText(paths, text_column=text_column, header=header)
    lines = Again(
        lambda: (line for batch, _ in text.batches(progress=False) for line in batch)
    )
    tokenizer = WordPieceTokenizer.train(lines, **options)
    num_lines = num_words = num_tokens = num_unknown = 0
    for ids in map(np.array, tokenizer.tokenize(lines.first(MEASURED))):
        num_lines += 1
        num_tokens += len(ids)
        num_words += int(np.sum(~tokenizer.continues[ids])) if len(ids) else 0
        num_unknown += int(np.sum(ids == tokenizer.unknown_id))
    return tokenizer, {
        "lines": num_lines,
        "words": num_words,
        "tokens_per_word": num_tokens / max(num_words, 1),
        "unknown_rate": num_unknown / max(num_words, 1),
    }


def learn_byte_bpe(paths, text_column, header, options):
    """Trains byte-level BPE; returns it and statistics on some texts."""
    from tfzoo.data.whole_text import WholeText
    from tfzoo.text import ByteBPETokenizer

    files = WholeText(paths, text_column=text_column, header=header)
    texts = Again(lambda: whole_texts(files))
    tokenizer = ByteBPETokenizer.train(texts, **options)
    num_bytes = sum(len(text.encode()) for text in texts.first(MEASURED))
    num_tokens = len(tokenizer.tokenize_batch(texts.first(MEASURED)).token_ids)
    return tokenizer, {
        "bytes": num_bytes,
        "tokens": num_tokens,
        "bytes_per_token": num_bytes / max(num_tokens, 1),
    }


def learn_sentencepiece(paths, text_column, header, options):
    """Trains SentencePiece; returns it and statistics on some lines."""
    from tfzoo.data.running_text import RunningText
    from tfzoo.text import SentencePieceTokenizer

    text = RunningText(paths, text_column=text_column, header=header)
    lines = Again(
        lambda: (line for batch, _ in text.batches(progress=False) for line in batch)
    )
    tokenizer = SentencePieceTokenizer.train(lines, **options)
    num_bytes = sum(len(line.encode()) for line in lines.first(MEASURED))
    ids = tokenizer.encode_batch(lines.first(MEASURED))
    num_tokens = len(ids.token_ids)
    return tokenizer, {
        "lines": len(ids.lengths),
        "tokens": num_tokens,
        "bytes_per_token": num_bytes / max(num_tokens, 1),
    }


def whole_texts(files):
    """Yields the text of a `WholeText` verbatim, with whitespace and line breaks."""
    from tfzoo.data.readers import file_kind, is_data_set
    from tfzoo.text.lines import read_lines
    from tfzoo.text.training_text import passages

    for path in files.paths:
        if not is_data_set(path) and file_kind(path) == ".txt":
            yield from passages(line for _, line in read_lines(path, keep_ends=True))
        else:
            yield from files.texts(path)


class Again:
    """Makes a generator function iterable more than once."""

    def __init__(self, generate):
        self._generate = generate

    def __iter__(self):
        return self._generate()

    def first(self, count):
        """An iterator over the first `count` items."""
        return itertools.islice(self._generate(), count)
