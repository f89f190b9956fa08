"""Commands start without TensorFlow's greetings; its errors and warnings stay."""

import logging
import os
import subprocess
import sys

import pytest

from helpers import ROOT
from tfzoo import quiet_start


def errors_of(program):
    """What a program writes to standard error in a process of its own."""
    environment = {**os.environ}
    environment.pop("TF_CPP_MIN_LOG_LEVEL")  # of these tests
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


WRITES = """
import os
from tfzoo.quiet_start import without_lines
with without_lines(["^greet", "hello$"]):
    os.write(2, b"greetings\\nan error\\nsay hello\\na war")
    os.write(2, b"ning\\nhello, you\\n")
    {inside}
os.write(2, b"greetings\\n")
"""


def test_only_known_lines_are_dropped_and_only_within():
    code, error = errors_of(WRITES.format(inside="pass"))
    assert code == 0
    assert error == "an error\na warning\nhello, you\ngreetings\n"


@pytest.mark.parametrize("inside", ["os.abort()", "os._exit(3)"])
def test_nothing_is_lost_if_the_process_ends_within(inside):
    code, error = errors_of(WRITES.format(inside=inside))
    assert code in (-6, 3)
    assert error == "an error\na warning\nhello, you\n"


def test_an_exception_within_leaves_the_descriptor_as_it_was():
    code, error = errors_of(WRITES.format(inside="raise SystemExit(4)"))
    assert code == 4
    assert error == "an error\na warning\nhello, you\n"


STARTS = """
from tfzoo import cli
with cli.endings():
    import tensorflow as tf
    f = tf.function(lambda x: x + 1)
    for length in range(1, 12):
        f(tf.zeros((length,)))
    {then}
"""


@pytest.mark.slow
def test_a_command_that_uses_tensorflow_writes_nothing_to_standard_error():
    assert errors_of(STARTS.format(then="pass")) == (0, "")


@pytest.mark.slow
def test_warnings_of_tensorflow_are_still_written():
    code, error = errors_of(STARTS.format(then="tf.get_logger().warning('Beware.')"))
    assert code == 0
    assert "Beware." in error


IMPORTS = """
import logging, os, sys
before = [*sys.meta_path], {**os.environ}
import tfzoo, tfzoo.errors, tfzoo.files
after = [*sys.meta_path], {**os.environ}
after[1].pop("TF_ENABLE_ONEDNN_OPTS", None)
before[1].pop("TF_ENABLE_ONEDNN_OPTS", None)
assert before == after
assert logging.getLogger("tensorflow").filters == []
"""


def test_importing_the_package_changes_nothing_about_tensorflows_messages():
    assert errors_of(IMPORTS) == (0, "")


def test_only_warnings_of_retracing_are_dropped(caplog):
    quiet_start.quiet_start()
    logger = logging.getLogger("tensorflow")
    retracing = "%d out of the last %d calls to %s triggered tf.function retracing."
    logger.warning(retracing, 5, 5, "f")
    logger.warning("Beware.")
    assert [record.getMessage() for record in caplog.records] == ["Beware."]


TAGS = """
from tfzoo import cli
with cli.endings():
    from tfzoo.data.word_rows import encode_sentences
    from tfzoo.text import WordPieceTokenizer
    words = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
    encode_sentences([["a", "a"], ["a"]], words, max_length=8)
"""


@pytest.mark.slow
def test_words_are_encoded_without_a_line_about_operations_that_onednn_lacks():
    assert errors_of(TAGS) == (0, "")
