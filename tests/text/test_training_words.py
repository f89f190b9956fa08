"""Words of any length are trained on in time, and Ctrl+C works."""

import random
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tfzoo.errors import TfzooError
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer, training_words
from tfzoo.text.trainer_process import trained
from tfzoo.text.training_words import LONGEST_WORD, LongWords

KINDS = [WordPieceTokenizer, ByteBPETokenizer]
LINES = ["the good cat sat on the mat", "the bad dog ran"] * 50
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
BERT = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
NORMALIZE = normalizers.BertNormalizer().normalize_str


def letters(count, seed=0):
    return "".join(random.Random(seed).choices("abcdefghijklmnop", k=count))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["list", "iterator", "file"])
def test_a_long_word_is_reported_in_one_line(kind, how, tmp_path, caplog):
    lines = [*LINES, "x" * 100_000, letters(1001)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    source = {
        "list": lines,
        "iterator": iter(lines),
        "file": [tmp_path / "text.txt"],
    }[how]
    tokenizer = kind.train(source, vocabulary_size=290, progress=False)
    done = "left out" if kind is WordPieceTokenizer else "cut"
    assert caplog.messages == [f"Words of more than 1000 characters were {done}: 2."]
    assert tokenizer.token_to_id("the") is not None


@pytest.mark.parametrize("kind", KINDS)
def test_skipped_words_do_not_change_the_vocabulary(kind):
    options = {"vocabulary_size": 290, "progress": False}
    word = "cat" * 1000
    if kind is ByteBPETokenizer:
        pieces = [word[i : i + 1000] for i in range(0, 3000, 1000)]
    else:
        pieces = [""]
    long, short = (kind.train([*LINES, *more], **options) for more in ([word], pieces))
    assert long.vocabulary == short.vocabulary


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["vocabulary_size", "min_frequency", "alphabet_size"])
def test_a_number_that_is_not_whole_is_named(kind, name):
    if name == "alphabet_size" and kind is ByteBPETokenizer:
        return
    options = {"vocabulary_size": 290, name: 50.5}
    with pytest.raises(ValueError, match=f"{name} must be an integer >= .*50.5"):
        kind.train(LINES, **options, progress=False)


def test_an_error_of_the_trainer_is_quoted():
    rust = Tokenizer(models.BPE())
    with pytest.raises(TfzooError, match="not trained: TypeError: .*as an integer"):
        trained(rust, ("BpeTrainer", {"vocab_size": "many"}), LINES)
    with pytest.raises(TfzooError, match="not trained: AttributeError: .*NoTrainer"):
        trained(rust, ("NoTrainer", {}), LINES)


def words_of(split, texts):
    return [text[a:b] for text in texts for _, (a, b) in split(text)]


TEXTS = st.lists(
    st.sampled_from(["ab", "a1", "'s", "!", " ", "  ", "\n", "\u72d7", "e\u0301", "."]),
    max_size=60,
).map("".join)


@given(TEXTS)
@example("abababab'sabababab\u72d7ab")  # the only borders are an ideograph's
@example("ababababa1abababa1abab")  # the only borders are between letters and digits
@example("ababababa1!'sabababab")  # a quote behind a mark begins no contraction
@example("abababab!! abababe\u0301ab")  # an accent counts in the text only
def test_words_up_to_the_limit_are_those_of_the_whole_text(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_words, "_PART", 20)
        patch.setattr(training_words, "LONGEST_WORD", 9)
        patch.setattr(training_words, "_OF_BPE", training_words.re.compile(""))
        patch.setattr(training_words, "_OF_WORDPIECE", training_words.re.compile(""))
        of_bpe, of_bert = LongWords(GPT2), LongWords(BERT)
        cut = words_of(GPT2, of_bpe.cut([text]))
        whole = words_of(GPT2, [text])
        assert "".join(cut) == text
        assert max(map(len, cut), default=0) <= 9
        if max(map(len, whole), default=0) <= 9:
            assert cut == whole and not of_bpe.count
        left = [
            w
            for t in of_bert.left_out([text], NORMALIZE)
            for w, _ in BERT(NORMALIZE(t))
        ]
        words = [word for word, _ in BERT(NORMALIZE(text))]
        if max(map(len, words), default=0) <= 9:
            assert left == words and not of_bert.count


def test_a_text_without_long_words_is_unchanged():
    texts = [
        "ab " * 5000,
        "!" * LONGEST_WORD,
        letters(LONGEST_WORD),
        "",
        "\u72d7" * 999,
    ]
    assert list(LongWords(GPT2).cut(texts)) == texts
    assert list(LongWords(BERT).left_out(texts, NORMALIZE)) == texts


PROGRAM = """
import random, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer
word = "".join(random.Random(0).choices("abcdefghijklmnop", k=5_000_000))
lines = ["the good cat"] * 100 + [word if sys.argv[1] == "byte_bpe" else "!" + word]
kind = ByteBPETokenizer if sys.argv[1] == "byte_bpe" else WordPieceTokenizer
print("begins", flush=True)
try:
    kind.train(lines * int(sys.argv[2]), vocabulary_size=30_000, progress=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_word_of_5_mb_is_trained_on_within_a_minute(kind):
    lines = [*LINES, letters(5_000_000), *LINES]
    start = time.process_time()
    kind.train(lines, vocabulary_size=8000, progress=False)
    assert time.process_time() - start < 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece"])
@pytest.mark.parametrize("seconds", [0.5, 4])
def test_an_interrupt_ends_training_within_two_seconds(kind, seconds):
    command = [sys.executable, "-c", PROGRAM, kind, "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begins\n"
        time.sleep(seconds)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - start < 2


@pytest.mark.slow
def test_terminated_training_leaves_no_process_behind():
    command = [sys.executable, "-c", PROGRAM, "byte_bpe", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(4)
        listed = ["pgrep", "-P", str(process.pid)]
        shown = subprocess.run(listed, capture_output=True, check=True)
        (child,) = shown.stdout.split()
        process.terminate()
        process.wait(2)
        time.sleep(1)
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-p", child], capture_output=True, check=False
        )
        assert shown.stdout[:1] in (b"", b"Z")  # ended, perhaps not yet reaped
