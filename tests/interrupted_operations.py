"""Interrupts a run, a save and an export at each of their file operations.

    python interrupted_operations.py SCENARIO KIND

SCENARIO is run, save or export. If KIND is KILL, forked processes are killed before the
operation; else the operation raises this error, such as ENOSPC. The output must then be
as before or complete, and the next attempt must complete it and leave nothing else.
Prints the number of operations.
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
import tensorflow as tf

from tfzoo.errors import OutputError
from tfzoo.families import BertEncoder
from tfzoo.serving import ServedModel, export_version
from tfzoo.text import WordPieceTokenizer
from tfzoo.training import runs

FLUSHED = "tests/fsync"  # an event of our own
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir"}
EVENTS |= {"os.scandir", "os.truncate", "os.link", "os.symlink", FLUSHED}


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
    existed = (root / "model").exists()
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = WordPieceTokenizer([*special, "word"])
    try:
        encoder = BertEncoder(6, 1, 2, 4, 8)
        encoder.save_to_preset(root / "model", tokenizer=tokenizer)
    except OutputError:
        if not existed:
            raise


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


class Watch:
    """Acts before one of the file operations below `root`.

    Args:
        root: The directory.
        kind: "KILL", or the name of the error that the operation raises.
    """

    def __init__(self, root, kind):
        self.root, self.kind, self.wanted = str(root), kind, None
        self.flush, os.fsync = os.fsync, self.fsync
        sys.addaudithook(self.before)

    def act_before(self, number):
        """Acts before the operation of this number, from 1, counted from now on."""
        self.wanted, self.count = number, 0

    def fsync(self, descriptor):
        sys.audit(FLUSHED, descriptor)
        self.flush(descriptor)

    def before(self, event, arguments):
        if self.wanted is None or event not in EVENTS:
            return
        path = arguments[0]
        if isinstance(path, int) and event != "open":
            path = os.readlink(f"/proc/self/fd/{path}")
        if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), path)
        if not isinstance(path, str | os.PathLike) or self.root not in str(path):
            return
        self.count += 1
        if self.count != self.wanted:
            return
        self.wanted = None
        if self.kind == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.kind)
        raise OSError(code, os.strerror(code), path)


class Attempts:
    """Interrupts the work at one operation after the other."""

    def __init__(self, scenario, kind):
        self.work = globals()[scenario]
        self.is_complete = globals()[f"complete_{scenario}"]
        top = pathlib.Path(tempfile.mkdtemp())
        self.top, self.root = top, top / "interrupted"
        self.reference = top / "reference"
        self.kind, self.watch = kind, None

    def begin(self):
        """Called once in each process."""
        self.watch = Watch(self.root, self.kind)
        if not self.reference.exists():
            self.work(self.reference)

    def interrupt(self, number):
        """Returns whether the work had that many operations."""
        self.root.mkdir()
        self.watch.act_before(number)
        try:
            self.work(self.root)
        except (OSError, OutputError) as e:
            print(f"{number}: {type(e).__name__}: {e}", file=sys.stderr)
        was_reached, self.watch.wanted = self.watch.wanted is None, None
        return was_reached

    def complete(self):
        """The next start; it leaves what an uninterrupted one would."""
        assert self.is_complete(self.root, self.reference), listing(self.root)
        self.work(self.root)
        assert self.is_complete(self.root, self.reference), listing(self.root)
        different = listing(self.root) ^ listing(self.reference)
        assert not different, different
        shutil.rmtree(self.root)


def main(scenario, kind):
    attempts = Attempts(scenario, kind)
    number = 1
    if kind != "KILL":
        attempts.begin()
        while attempts.interrupt(number):
            attempts.complete()
            number += 1
    else:
        while forked(attempts, number) == -signal.SIGKILL:
            number += 1
    print(f"{scenario} {kind}: {number - 1} operations")
    shutil.rmtree(attempts.top)


def forked(attempts, number):
    """Makes an attempt in a forked process; returns its exit status, or -signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            attempts.begin()
            if attempts.root.exists():
                attempts.complete()
            attempts.interrupt(number)
            status = 0
        finally:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), number
    return status


if __name__ == "__main__":
    main(*sys.argv[1:])
