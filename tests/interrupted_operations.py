"""Interrupts a run, a save and an export at each of their file operations.

    python interrupted_operations.py SCENARIO KIND

SCENARIO is run, save or export. Every attempt is a forked process. If KIND is KILL, it
is killed before the operation, else the operation raises this error, such as ENOSPC.
The output must then be as before or complete, and the next process must complete it and
leave nothing else. Prints the number of operations.
"""

import errno
import hashlib
import importlib.util
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import traceback

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tfzoo.errors import OutputError
from tfzoo.families import BertEncoder
from tfzoo.serving import ServedModel, export_version
from tfzoo.text import WordPieceTokenizer
from tfzoo.training import runs

EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir"}
EVENTS |= {"os.scandir", "os.truncate", "os.link", "os.symlink"}
FLUSHED = "tests/fsync"  # an event of our own


def eager_run():
    path = pathlib.Path(__file__).with_name("training") / "eager_run.py"
    spec = importlib.util.spec_from_file_location("eager_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.STEPS_PER_EPOCH = 2
    runs.save_curves = lambda record, path: path.write_bytes(b"curves")
    return module


def run(root):
    eager_run().train(root / "run", epochs=1, steps_between_saves=1)


def save(root):
    if not (root / "model").exists():
        keras.utils.set_random_seed(0)
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer = WordPieceTokenizer([*special, "word"])
        encoder = BertEncoder(6, 1, 2, 4, 8)
        encoder.save_to_preset(root / "model", tokenizer=tokenizer)


def export(root):
    weights = tf.Variable(tf.range(10.0), name="output/kernel")
    function = tf.function(lambda x: {"y": x * weights}, autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([None, 1], name="x"))
    served = ServedModel({"serving_default": concrete}, {}, ())
    export_version(root / "mail", served)


def complete_run(root, reference):
    """Whether the run is complete; it may always be incomplete."""
    names = ("last/last.npy", "best.npy", "metrics.json", "curves.png")
    return all(
        (root / "run" / n).read_bytes() == (reference / "run" / n).read_bytes()
        for n in names
        if (root / "run" / n).exists()
    )


def complete_save(root, reference):
    """Whether the directory is missing or complete."""
    model = root / "model"
    return not model.exists() or contents(model) == contents(reference / "model")


def complete_export(root, reference):
    """Whether every version is complete."""
    wanted = sorted(contents(reference / "mail" / "1"))
    versions = [p for p in root.glob("mail/*") if p.name.isdigit()]
    return all(sorted(contents(version)) == wanted for version in versions)


def contents(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def listing(root):
    """All names, without event logs and the versions after the first."""
    names = [str(path.relative_to(root)) for path in root.rglob("*")]
    return {n for n in names if "tfevents" not in n and not n.startswith("mail/2")}


def watch(root, act):
    """Calls `act(number, path)` before each file operation below `root`, from 1."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        if event not in EVENTS and event != FLUSHED:
            return
        path = arguments[0] if arguments else None
        if isinstance(path, int) and event != "open":
            path = os.readlink(f"/proc/self/fd/{path}")
        in_directory = event in ("os.remove", "os.rmdir") and arguments[1] != -1
        if in_directory:
            path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), path)
        if isinstance(path, str | os.PathLike) and str(path).startswith(str(root)):
            count += 1
            act(count, str(path))

    flush = os.fsync

    def fsync(descriptor):
        sys.audit(FLUSHED, descriptor)
        flush(descriptor)

    os.fsync = fsync
    sys.addaudithook(hook)
    return lambda: count


def forked(work):
    """Calls `work()` in a forked process; returns its exit status, or -signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            status = 0
        except (OSError, OutputError) as e:
            status = 3
            sys.stderr.write(f"{type(e).__name__}: {e}\n")
        except BaseException:
            traceback.print_exc()
            status = 4
        sys.stderr.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(scenario, kind):
    top = pathlib.Path(tempfile.mkdtemp())
    work = globals()[scenario]
    is_complete = globals()[f"complete_{scenario}"]
    reference = top / "reference"

    def counted():
        found = watch(reference, lambda number, path: None)
        work(reference)
        (top / "count").write_text(str(found()))

    assert forked(counted) == 0
    total = int((top / "count").read_text())
    for number in range(1, total + 1):
        root = top / "interrupted"
        root.mkdir()

        def act(count, path, number=number):
            if count != number:
                return
            if kind == "KILL":
                os.kill(os.getpid(), signal.SIGKILL)
            code = getattr(errno, kind)
            raise OSError(code, os.strerror(code), path)

        def interrupted(root=root, act=act):
            watch(root, act)
            work(root)

        status = forked(interrupted)
        assert status == -signal.SIGKILL if kind == "KILL" else status in (0, 3), number
        assert is_complete(root, reference), (number, listing(root))
        assert forked(lambda root=root: work(root)) == 0, number
        assert is_complete(root, reference), (number, listing(root))
        assert listing(root) == listing(reference), number
        shutil.rmtree(root)
    print(f"{scenario} {kind}: {total} operations")
    shutil.rmtree(top)


if __name__ == "__main__":
    np.random.seed(0)
    main(*sys.argv[1:])
