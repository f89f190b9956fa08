"""A tokenized corpus on disk has the same content as the text."""

import gzip
import json
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from tfzoo.data.corpus import build_corpus
from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.data.running_text import RunningText
from tfzoo.errors import DataError


def build(paths, tokenizer, directory, processes=1, **options):
    text = RunningText(paths, **options)
    return build_corpus(text, tokenizer, directory, processes=processes, progress=False)


def contents(corpus):
    """The documents, as lists of sentences, which are lists of ids."""
    starts = corpus.sentence_starts(0, corpus.num_sentences)
    documents = corpus.document_starts(0, corpus.num_documents)
    return [
        [corpus.tokens(starts[i], starts[i + 1]).tolist() for i in range(first, last)]
        for first, last in zip(documents, documents[1:], strict=False)
    ]


def test_the_corpus_holds_each_sentence_of_each_document(
    documents, text_file, tokenizer, tmp_path
):
    corpus = build([text_file], tokenizer, tmp_path)
    assert contents(corpus) == [tokenizer.tokenize(lines) for lines in documents]
    assert corpus.num_tokens == sum(map(len, sum(contents(corpus), [])))
    assert corpus.vocabulary_size == tokenizer.vocabulary_size


def test_blank_lines_end_documents_and_so_do_files(number_tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("\n \t\n10\n  11 12 \r\n\u3000\n\n13\n\n")
    (tmp_path / "b.txt").write_text("14")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    corpus = build(paths, number_tokenizer(), tmp_path)
    assert contents(corpus) == [[[10], [11, 12]], [[13]], [[14]]]
    corpus = build(paths, number_tokenizer(), tmp_path, documents="file")
    assert contents(corpus) == [[[10], [11, 12], [13]], [[14]]]
    corpus = build(paths, number_tokenizer(), tmp_path, documents="record")
    assert contents(corpus) == [[[10]], [[11, 12]], [[13]], [[14]]]


def test_records_of_other_files_are_documents(number_tokenizer, tmp_path):
    objects = [{"n": 0, "text": "10 11\n\n12"}, {"n": 1, "text": "13"}]
    lines = "\n".join(map(json.dumps, objects))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "b.tsv").write_text("x\ttext\n1\t14\n2\t15\n")
    paths = [tmp_path / "a.jsonl.gz", tmp_path / "b.tsv"]
    corpus = build(paths, number_tokenizer(), tmp_path)
    assert contents(corpus) == [[[10, 11], [12]], [[13]], [[14]], [[15]]]
    corpus = build(paths, number_tokenizer(), tmp_path, documents="file")
    assert contents(corpus) == [[[10, 11], [12], [13]], [[14], [15]]]
    corpus = build(paths[1:], number_tokenizer(), tmp_path, text_column="x")
    assert contents(corpus) == [[[1]], [[2]]]
    with pytest.raises(DataError, match=r"b\.tsv: .*blank_line.* is for \.txt files"):
        build(paths[1:], number_tokenizer(), tmp_path, documents="blank_line")
    with pytest.raises(DataError, match=r"jsonl\.gz:1: The column .*Received: 'z'"):
        build(paths, number_tokenizer(), tmp_path, text_column="z")


def test_punctuation_divides_the_running_text_of_a_document(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("One. Two\nis here. Three\n\nFour. five")
    corpus = build([tmp_path / "a.txt"], tokenizer, tmp_path, sentences="punctuation")
    expected = [["One.", "Two is here.", "Three"], ["Four. five"]]
    assert contents(corpus) == [tokenizer.tokenize(lines) for lines in expected]


def test_sentences_and_documents_without_tokens_are_skipped(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("\x00\nstatement\n\n\x01\x02\n\n\x03\nvalue\n")
    corpus = build([tmp_path / "a.txt"], tokenizer, tmp_path)
    expected = [["statement"], ["value"]]
    assert contents(corpus) == [tokenizer.tokenize(lines) for lines in expected]


def test_ids_over_16_bits_are_kept(number_tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("65535 65536 69999")
    corpus = build([tmp_path / "a.txt"], number_tokenizer(70_000), tmp_path)
    assert corpus.tokens(0, 3).tolist() == [65535, 65536, 69_999]


def test_a_corpus_is_built_once_and_again_when_anything_changes(
    number_text, number_tokenizer, tmp_path, monkeypatch
):
    path = number_text([[3, 4], [5]])
    first = build([path], number_tokenizer(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(number_tokenizer, "tokenize", None)
        assert build([path], number_tokenizer(), tmp_path).directory == first.directory
    others = [
        build([path], number_tokenizer(999), tmp_path),
        build([path], number_tokenizer(), tmp_path, documents="file"),
        build([path], number_tokenizer(), tmp_path, sentences="punctuation"),
        build([path, path], number_tokenizer(), tmp_path),
    ]
    path.write_text(path.read_text() + "\n11")
    others.append(build([path], number_tokenizer(), tmp_path))
    assert len({c.fingerprint for c in [first, *others]}) == 6


@pytest.mark.slow
def test_more_processes_give_the_same_corpus(text_file, tokenizer, tmp_path):
    one = build([text_file], tokenizer, tmp_path / "1")
    two = build([text_file], tokenizer, tmp_path / "2", processes=2)
    for name in ("tokens.bin", "sentences.bin", "documents.bin", "corpus.json"):
        assert (one.directory / name).read_bytes() == (
            two.directory / name
        ).read_bytes()


@pytest.mark.parametrize("content", [b"\n \n", b"\x00\n"])
def test_text_without_tokens_is_an_error(tokenizer, tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"must have at least one token.*a\.txt"):
        build([tmp_path / "a.txt"], tokenizer, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_broken_line_far_into_a_file_leaves_nothing_behind(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine line\n" * 50_000 + b"\xff\n")
    with pytest.raises(DataError, match=r"a\.txt:50001: The text must be UTF-8"):
        build([tmp_path / "a.txt"], tokenizer, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_corpus_of_another_text_is_an_error(number_text, number_tokenizer, tmp_path):
    corpus = build([number_text([[3], [4]])], number_tokenizer(), tmp_path)
    about = corpus.directory / "corpus.json"
    about.write_text(about.read_text().replace('"<u2"', '"<u4"'))
    with pytest.raises(
        DataError, match=r"corpus\.json: .* its checksum does not match"
    ):
        build([number_text([[3], [4]])], number_tokenizer(), tmp_path)


def test_no_flipped_bit_of_a_corpus_goes_unnoticed(
    text_file, tokenizer, tmp_path, flips
):
    def read_all():
        source = open_pretraining_data(
            [text_file], tokenizer, cache_directory=tmp_path, progress=False
        )
        corpus = source._corpus
        corpus.tokens(0, corpus.num_tokens)
        corpus.sentence_starts(0, corpus.num_sentences)
        corpus.document_starts(0, corpus.num_documents)

    read_all()
    for path in flips(tmp_path, 60):
        with pytest.raises(DataError, match=re.escape(path.name)):
            read_all()
    read_all()


def test_a_bit_flipped_during_training_is_reported(text_file, tokenizer, tmp_path):
    source = open_pretraining_data(
        [text_file], tokenizer, cache_directory=tmp_path, progress=False
    )
    batches = source.batches(4)
    (tokens,) = tmp_path.glob("*/tokens.bin")
    content = bytearray(tokens.read_bytes())
    for place in range(0, len(content), 1 << 14):  # in blocks not yet read
        content[place] ^= 1
    tokens.write_bytes(content)
    line = r"DataError: .*tokens\.bin: The file has changed since it was written"
    with pytest.raises(tf.errors.OpError, match=line):
        next(iter(batches))


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="Received: 'words'"):
        RunningText(["a.txt"], sentences="words")
    with pytest.raises(ValueError, match="Received: 'page'"):
        RunningText(["a.txt"], documents="page")
    with pytest.raises(ValueError, match="Received: 'a.txt'"):
        RunningText("a.txt")


MEASURE = """
import resource, sys
from tfzoo.data.corpus import build_corpus
from tfzoo.data.running_text import RunningText
from tfzoo.data.sentence_pairs import sentence_pairs


class Words:
    vocabulary_size = 70_000

    def tokenize(self, texts):
        return [list(range(len(text.split()))) for text in texts]

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()


text = RunningText([sys.argv[1]], documents="file")
corpus = build_corpus(text, Words(), sys.argv[2], progress=False)
for _ in sentence_pairs(corpus, max_sequence_length=128, next_sentence=False):
    pass
print(corpus.num_tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_document(tmp_path):
    line = "some words that stand in one line of a long document\n"
    peaks = []
    for name, lines in (("small", 50_000), ("large", 800_000)):
        (tmp_path / f"{name}.txt").write_text(line * lines)
        command = [sys.executable, "-c", MEASURE, tmp_path / f"{name}.txt", tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        tokens, peak = map(int, done.stdout.split())
        assert tokens == 11 * lines
        peaks.append(peak)
    assert peaks[1] <= 1.2 * peaks[0]
