"""What a killed preparation leaves behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf


def contents(directory):
    return {
        path.name: path.read_bytes()
        for path in sorted(directory.iterdir())
        if path.is_file()
    }


SCRIPT = """
import sys
from tfzoo.data.preparation import prepare_pretraining_data
from tfzoo.data.running_text import RunningText
from tfzoo.text import WordPieceTokenizer
if __name__ == "__main__":
    tokenizer = WordPieceTokenizer.from_preset(sys.argv[2])
    prepare_pretraining_data(
        RunningText([sys.argv[1]]), tokenizer, sys.argv[3],
        max_sequence_length=32, max_predictions=5, duplicates=40, shards=10,
        processes=2, progress=False,
    )
"""


def children_of(pid):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_killed_run_leaves_complete_files_and_no_processes_and_can_continue(
    text_file, tokenizer, tmp_path
):
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    (tmp_path / "run.py").write_text(SCRIPT)
    out = tmp_path / "out"
    command = [
        sys.executable,
        tmp_path / "run.py",
        text_file,
        tmp_path / "tokenizer",
        out,
    ]
    for wanted in (0, 2, 5):
        with subprocess.Popen(command) as process:
            try:
                while (
                    len(list(out.glob("*.tfrecord"))) < wanted
                    or len(children_of(process.pid)) < 2
                ):
                    time.sleep(0.02)
                    assert process.poll() is None
                workers = children_of(process.pid)
            finally:
                process.kill()
        for path in out.glob("*.tfrecord"):
            for _ in tf.data.TFRecordDataset(str(path)):
                pass
        deadline = time.time() + 120  # they may still import TensorFlow
        while any(os.path.exists(f"/proc/{pid}/exe") for pid in workers):
            assert time.time() < deadline, "the workers ended too"
            time.sleep(0.1)
    subprocess.run(command, check=True)
    command[-1] = tmp_path / "at once"
    subprocess.run(command, check=True)
    assert contents(out) == contents(tmp_path / "at once")
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_killed_worker_is_an_error(text_file, tokenizer, tmp_path):
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    (tmp_path / "run.py").write_text(SCRIPT)
    out = tmp_path / "out"
    command = [sys.executable, tmp_path / "run.py", text_file]
    process = subprocess.Popen(
        [*command, tmp_path / "tokenizer", out], stderr=subprocess.PIPE, text=True
    )
    while len(list(out.glob("*.tfrecord"))) < 1:
        time.sleep(0.02)
    for pid in children_of(process.pid):
        if "spawn_main" in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
            break
    _, printed = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "A worker process died" in printed
