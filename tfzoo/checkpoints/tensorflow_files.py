"""TensorFlow checkpoints: `NAME.index` and `NAME.data-00000-of-00001`.

TensorFlow is only imported when such a file is opened.
"""

import logging
import math
import re

from tfzoo.errors import CheckpointError
from tfzoo.files import read_bytes, utf8_path

MAX_INDEX_BYTES = 8 << 20
_STATE = "checkpoint"

logger = logging.getLogger("tfzoo")


class TensorFlowCheckpoint:
    """The tensors of a TensorFlow checkpoint under its own names (see `Tensors`).

    Args:
        directory: The directory. If it has several checkpoints, its file `checkpoint`,
            which TensorFlow writes, names the one to open.

    Raises:
        CheckpointError: it has none, or several of which none is named, or an
            incomplete one.
    """

    def __init__(self, directory):
        import tensorflow as tf

        self.path = _index_file(directory)
        read_bytes(self.path, MAX_INDEX_BYTES, CheckpointError)
        prefix = self.path.with_suffix("")
        self._errors = (tf.errors.OpError, RuntimeError, ValueError, IndexError)
        try:
            self._reader = tf.train.load_checkpoint(utf8_path(prefix, CheckpointError))
            dtypes = self._reader.get_variable_to_dtype_map()
            shapes = self._reader.get_variable_to_shape_map()
        except self._errors as e:
            raise self._unreadable(e) from None
        self._dtypes = dtypes
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.names = frozenset(self._shapes)
        data = directory.glob(f"{prefix.name}.data-*")
        room = sum(path.stat().st_size for path in data)
        for name, shape in sorted(self._shapes.items()):
            if math.prod(shape) * max(dtypes[name].size, 1) > room:
                raise CheckpointError(
                    f"The data must include shape {shape} of {dtypes[name].name}. "
                    f"Received: {room} bytes in total.",
                    path=self.path,
                    tensor=name,
                    fix="Copy the files again.",
                )

    def shape(self, name):
        return self._shapes[name]

    def dtype(self, name):
        return self._dtypes[name].name

    def read(self, name):
        try:
            return self._reader.get_tensor(name)
        except self._errors as e:
            raise self._unreadable(e, name) from None

    def _unreadable(self, error, name=None):
        return CheckpointError(
            f"Not a complete checkpoint: {str(error)[:300]}.",
            path=self.path,
            tensor=name,
            fix="Copy the files again.",
        )


def _index_file(directory):
    """The `.index` file of the checkpoint to open."""
    found = {path.stem: path for path in sorted(directory.glob("*.index"))}
    if not found:
        raise CheckpointError(
            "The directory must contain a checkpoint, files NAME.index and "
            "NAME.data-00000-of-00001. Received: no *.index.",
            path=directory,
        )
    if len(found) == 1:
        return next(iter(found.values()))
    named = _named_checkpoint(directory / _STATE)
    if named in found:
        logger.warning("%s: opened %s of %d checkpoints", directory, named, len(found))
        return found[named]
    names = ", ".join(map(repr, [*found][:10])) + (", ..." if len(found) > 10 else "")
    said = "" if named is None else f", and the file {_STATE} names {named!r:.80}"
    raise CheckpointError(
        f"Of several checkpoints, one must be named. Received: {names}{said}.",
        path=directory,
        fix="Move the others away, or name one in a file 'checkpoint' there: "
        'model_checkpoint_path: "NAME"',
    )


def _named_checkpoint(path):
    """The name in TensorFlow's file `checkpoint`; None without one.

    Its directory, which may be one of another machine, is dropped.
    """
    if not path.exists():
        return None
    content = read_bytes(path, MAX_INDEX_BYTES, CheckpointError)
    found = re.search(rb'^model_checkpoint_path: *"([^"\n]*)"', content, re.M)
    if found is None:
        return ""
    return found[1].decode("utf-8", "replace").replace("\\", "/").split("/")[-1]
