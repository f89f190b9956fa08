"""Snapshots of a training on disk, written atomically.

A snapshot is a directory: `state.safetensors` has the variables, `state.json` any other
state and the checksums of both. All variables are finite, except those of the group
"metrics".
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys

import keras
import numpy as np
from safetensors import safe_open

from tfzoo.errors import OutputError
from tfzoo.files import read_json, write_json, written_beside
from tfzoo.training.faults import is_finite
from tfzoo.weight_files import data, header, num_bytes_of

TENSORS, STATE = "state.safetensors", "state.json"


class Snapshots:
    """The newest few numbered snapshots of one kind in a directory.

    Args:
        directory: Their directory; created with the first one.
        prefix: Prefix of their names.
        kept: How many to keep; older ones are removed once a newer one is on disk.
    """

    def __init__(self, directory, prefix, kept):
        self.directory = pathlib.Path(directory)
        self.prefix = prefix
        self.kept = kept

    def save(self, number, variables, state):
        """Writes a snapshot atomically.

        Args:
            number: Its number in the order, >= 0.
            variables: Dict of name -> `keras.Variable`.
            state: A JSON value.

        Raises:
            OutputError: a variable is not finite. Nothing is written then.
        """
        path = self._path(number)
        for name, variable in variables.items():
            _require_finite(name, variable.numpy(), path)
        if path.exists():  # left from before a rewind to an older snapshot
            shutil.rmtree(path)
        size = num_bytes_of(variables.values())
        with written_beside(path, directory=True, size=size) as beside:
            digest = _write_tensors(beside / TENSORS, variables)
            content = {TENSORS: digest, "state": state, "sha256": _digest(state)}
            write_json(beside / STATE, content)
        self._remove_older()

    def newest(self):
        """Returns the newest snapshot that is intact and finite.

        Others are reported on stderr and, if an older one is intact, removed.

        Returns:
            (number, state), or None if there is no snapshot.

        Raises:
            OutputError: there are snapshots, but none is intact and finite.
        """
        for leftover in self.directory.glob(f".{self.prefix}-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # from a killed process
        damaged = []
        for number, path in reversed(self._present()):
            try:
                state = _verified(path)
            except OutputError as e:
                print(f"warning: {e}", file=sys.stderr)
                damaged.append(path)
                continue
            for other in damaged:
                shutil.rmtree(other)
            self._remove_older()
            return number, state
        if damaged:
            raise OutputError(
                "At least one snapshot must be intact and finite. Received: damaged or "
                f"non-finite {', '.join(path.name for path in damaged)}.",
                path=self.directory,
                fix="Remove the output directory to start over.",
            )
        return None

    def load(self, number, variables):
        """Assigns a snapshot's tensors to variables.

        Args:
            number: Number of the snapshot, from `newest`.
            variables: Dict of name -> `keras.Variable`. They are matched by the order
                of names, not by name, since Keras numbers layers per process.

        Raises:
            OutputError: the snapshot is of another model or optimizer.
        """
        path = self._path(number) / TENSORS
        with safe_open(path, framework="np") as file:
            for stored, name in _matched(file, path, variables):
                variables[name].assign(file.get_tensor(stored))

    def load_mean(self, numbers, variables):
        """Assigns the means of several snapshots' tensors, computed in float64.

        Variables that are no floating-point numbers remain as they are.

        Args:
            numbers: Numbers of the snapshots, from `intact`.
            variables: As in `load`.

        Raises:
            OutputError: as in `load`.
        """
        with contextlib.ExitStack() as stack:
            files = []
            for number in numbers:
                path = self._path(number) / TENSORS
                file = stack.enter_context(safe_open(path, framework="np"))
                names = {n: s for s, n in _matched(file, path, variables)}
                files.append((file, names))
            for name, variable in variables.items():
                if keras.backend.is_float_dtype(variable.dtype):
                    total = np.zeros(variable.shape, np.float64)
                    for file, names in files:
                        total += file.get_tensor(names[name]).astype(np.float64)
                    variable.assign((total / len(files)).astype(variable.dtype))

    def intact(self):
        """Numbers of the snapshots that are intact and finite, in order.

        Others are reported on stderr.

        Raises:
            OutputError: there is no such snapshot.
        """
        found = []
        for number, path in self._present():
            try:
                _verified(path)
                found.append(number)
            except OutputError as e:
                print(f"warning: {e}", file=sys.stderr)
        if not found:
            raise OutputError(
                f"There must be a snapshot {self.prefix}-* that is intact and finite.",
                path=self.directory,
            )
        return found

    def numbers(self):
        """The numbers of the snapshots, in order; some may be damaged."""
        return [number for number, _ in self._present()]

    def _remove_older(self):
        for _, old in self._present()[: -self.kept]:
            shutil.rmtree(old, ignore_errors=True)

    def _path(self, number):
        return self.directory / f"{self.prefix}-{number:09d}"

    def _present(self):
        """Pairs of number and path, in order; other names are not snapshots."""
        found = []
        for name in names_in(self.directory):
            if number := re.fullmatch(f"{self.prefix}-([0-9]{{9,}})", name):
                found.append((int(number[1]), self.directory / name))
        return sorted(found)


def names_in(directory):
    """The names in a directory, if it exists; `glob` would skip an unreadable one."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def named(**groups):
    """Gives variables unique names that sort in the order of their lists.

    Args:
        **groups: Lists of `keras.Variable` by group name.

    Returns:
        Dict of "group/number/path" -> variable.
    """
    return {
        f"{group}/{index:05d}/{variable.path}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def _matched(file, path, variables):
    """Pairs of a tensor's name and that of its variable, of the same shape."""
    names = sorted(file.keys())
    if len(names) != len(variables):
        raise OutputError(
            f"The snapshot must have the training's {len(variables)} variables. "
            f"Received: {len(names)}.",
            path=path,
        )
    pairs = list(zip(names, sorted(variables), strict=True))
    for stored, name in pairs:
        shape = tuple(file.get_slice(stored).get_shape())
        if shape != tuple(variables[name].shape):
            raise OutputError(
                f"The shape must be {tuple(variables[name].shape)}. Received: {shape}.",
                path=path,
                tensor=stored,
            )
    return pairs


def _write_tensors(path, variables):
    """Writes a safetensors file, one variable in memory at a time; returns its SHA-256.

    The library's own writer keeps a second copy of everything.
    """
    head = header([(name, str(v.dtype), v.shape) for name, v in variables.items()])
    digest = hashlib.sha256(head)
    with open(path, "wb") as file:
        file.write(head)
        for variable in variables.values():
            content = data(variable.numpy())
            digest.update(content)
            file.write(content)
    return digest.hexdigest()


def _verified(path):
    content = read_json(path / STATE, OutputError)
    if content.get("sha256") != _digest(content.get("state")):
        raise OutputError("The checksum does not match.", path=path / STATE)
    try:
        with open(path / TENSORS, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise OutputError(
            f"The file cannot be read: {e.strerror}.", path=path / TENSORS
        ) from None
    if content.get(TENSORS) != digest:
        raise OutputError("The checksum does not match.", path=path / TENSORS)
    with safe_open(path / TENSORS, framework="np") as file:
        for name in file.keys():
            _require_finite(name, file.get_tensor(name), path / TENSORS)
    return content["state"]


def _require_finite(name, array, path):
    if not name.startswith("metrics/") and not is_finite(array):
        raise OutputError("Every value must be finite.", path=path, tensor=name)


def _digest(state):
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
