"""The output directory of `prepare_pretraining_data`.

`run.json` (everything that determines the files) is written first and `manifest.json`
last; until then `work/` holds what is needed to continue.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys

from tfzoo.data.running_text import content_hash
from tfzoo.errors import DataError, OutputError
from tfzoo.files import (
    local_path,
    read_json,
    read_sealed_json,
    remove_leftovers,
    utf8_path,
    write_json,
    write_sealed_json,
    written_beside,
)

MANIFEST = "manifest.json"
_RUN = "run.json"
_COUNTS = ("examples", "tokens", "random", "masked")


class PreparedDirectory:
    """Claims a directory for a run, or continues what the same run has begun.

    Args:
        path: The directory: new, empty, or begun by the same run.
        run: JSON object of everything that determines the output.
        shards: Number of files.

    Attributes:
        work: Directory for temporary files.
        is_finished: Whether the directory is complete.

    Raises:
        OutputError: the directory contains something else.
    """

    def __init__(self, path, run, shards):
        utf8_path(path, OutputError)
        self.path, self.work = local_path(path), local_path(path) / "work"
        self._run, self._shards = run, shards
        remove_leftovers(self.path)
        if os.path.isdir(self.path) and any(self.path.iterdir()):
            self._check()
            self._remove_half_written()
        else:
            write_json(self.path / _RUN, run)
        self.is_finished = (self.path / MANIFEST).is_file()
        if self.is_finished:
            shutil.rmtree(self.work, ignore_errors=True)

    def shard(self, number):
        """Path of a shard."""
        name = f"pretraining-{number:05d}-of-{self._shards:05d}.tfrecord"
        return self.path / name

    def missing_shards(self):
        """Numbers of the shards that do not exist yet."""
        return [i for i in range(self._shards) if not self.shard(i).exists()]

    @contextlib.contextmanager
    def new_shard(self, number):
        """Yields a path to write a shard to, and a dict for its counts.

        The counts are saved before the shard is renamed into place, so that every shard
        has counts.
        """
        path = self.shard(number)
        counts = {"file": path.name, **dict.fromkeys(_COUNTS, 0)}
        with written_beside(path) as beside:
            yield beside, counts
            counts["sha256"] = content_hash(beside)
            write_sealed_json(self._counts_path(number), {"counts": counts})

    def finish(self):
        """Writes the manifest and removes what is no longer needed."""
        each = [
            read_sealed_json(self._counts_path(i), DataError)["counts"]
            for i in range(self._shards)
        ]
        total = {name: sum(counts[name] for counts in each) for name in _COUNTS}
        manifest = {
            **self._run,
            "shards": [
                {name: counts[name] for name in ("file", "examples", "sha256")}
                for counts in each
            ],
            "examples": total["examples"],
            "tokens": total["tokens"],
            "random_next_share": total["random"] / total["examples"],
            "masked_share": total["masked"] / total["tokens"],
        }
        write_sealed_json(self.path / MANIFEST, manifest)
        shutil.rmtree(self.work)

    def manifest(self):
        """Counts, arguments and fingerprints of the finished directory."""
        return read_manifest(self.path)

    def give_up(self):
        """Removes everything, unless there is a finished shard."""
        if len(self.missing_shards()) == self._shards:
            shutil.rmtree(self.work, ignore_errors=True)
            (self.path / _RUN).unlink()

    def _counts_path(self, number):
        return self.work / f"shard-{number:05d}.json"

    def _check(self):
        if not (self.path / _RUN).is_file():
            raise OutputError(
                "The output directory contains something else, and existing output is "
                "never overwritten.",
                path=self.path,
                fix="Choose another directory.",
            )
        before = read_json(self.path / _RUN, OutputError)
        if before != self._run:
            raise OutputError(
                "The output directory was begun with a different "
                f"{_first_difference(before, self._run)}.",
                path=self.path,
                fix="Choose another directory, or repeat the original command to "
                "continue.",
            )

    def _remove_half_written(self):
        for pattern in (".pretraining-*", ".manifest.*", "work/.*", "work/*/.*"):
            for left in self.path.glob(pattern):
                shutil.rmtree(left)


def record_files(paths, tokenizer):
    """Expands directories in `paths` to their shards.

    Returns:
        List of (path, its manifest entry: `file`, `examples`, `sha256`; an empty dict
        if there is none). A single shard of a prepared directory has an entry, too.

    Raises:
        DataError: a directory was not written by `prepare_pretraining_data`, is not
            finished, or was made with another tokenizer; or a manifest has changed.
    """
    files, manifests = [], {}

    def shards(directory):
        if directory not in manifests:
            manifests[directory] = read_manifest(directory)
        listed = manifests[directory]["shards"]
        return {directory / shard["file"]: shard for shard in listed}

    for path in map(pathlib.Path, paths):
        if path.is_dir():
            if not (path / MANIFEST).is_file():
                raise DataError(
                    f"A directory of pretraining data must contain {MANIFEST}, which "
                    "is written last.",
                    path=path,
                    fix="Run the preparation again to finish it, or give files.",
                )
            files += shards(path).items()
            if manifests[path].get("tokenizer") != tokenizer_fingerprint(tokenizer):
                raise DataError(
                    "The data must have been prepared with this tokenizer. Received: "
                    "data prepared with another one.",
                    path=path,
                )
        elif all((path.parent / name).is_file() for name in (MANIFEST, _RUN)):
            files.append((path, shards(path.parent).get(path, {})))
        else:
            files.append((path, {}))
    return files


def read_manifest(directory):
    """Reads and verifies the manifest of a finished directory.

    Prints a warning if an earlier version wrote it, without checksums.
    """
    path = directory / MANIFEST
    manifest = read_json(path, DataError)
    shards = manifest.get("shards")
    if not isinstance(shards, list) or not all(
        isinstance(shard, dict) and isinstance(shard.get("file"), str)
        for shard in shards
    ):
        raise DataError("The manifest must list the shards.", path=path)
    if "sha256" in manifest or any("sha256" in shard for shard in shards):
        read_sealed_json(path, DataError)
    else:
        print(
            f"warning: {path}: an earlier version wrote this without checksums, so "
            "changes to the files cannot be detected. Prepare the data again.",
            file=sys.stderr,
        )
    if (directory / _RUN).exists():
        run = read_json(directory / _RUN, DataError)
        if any(manifest.get(name) != value for name, value in run.items()):
            raise DataError(
                f"The file must agree with {MANIFEST}.", path=directory / _RUN
            )
    return manifest


def tokenizer_fingerprint(tokenizer):
    """Hash of the tokenizer's vocabulary and options."""
    text = json.dumps(tokenizer.get_config(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _first_difference(before, now):
    for part in ("text", "tokenizer"):
        if before.get(part) != now[part]:
            return part
    old, new = before.get("arguments", {}), now["arguments"]
    for name, value in new.items():
        if old.get(name) != value:
            return f"{name}: {old.get(name)!r}, now {value!r}"
    return "version of tfzoo"
