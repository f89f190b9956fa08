"""The directory that `prepare_pretraining_data` writes, and what stands in it.

`run.json` (what the files are a function of) comes first and `manifest.json` last;
between them `work/` holds what is needed to go on, and is removed in the end.
"""

import contextlib
import hashlib
import json
import pathlib
import shutil
import sys

from tfzoo.data.running_text import content_hash
from tfzoo.errors import DataError, OutputError
from tfzoo.files import (
    read_json,
    read_sealed_json,
    write_json,
    write_sealed_json,
    written_beside,
)

MANIFEST = "manifest.json"
_RUN = "run.json"
_COUNTS = ("examples", "tokens", "random", "masked")


class PreparedDirectory:
    """Claims a directory for one run, and finds what an earlier start left.

    Args:
        path: New, empty, or begun by the same run.
        run: JSON object: all that the output is a function of.
        shards: Number of files.

    Attributes:
        work: Directory for what is needed until the end.
        is_finished: Whether all stands there.

    Raises:
        OutputError: the directory holds something else.
    """

    def __init__(self, path, run, shards):
        self.path, self.work = pathlib.Path(path), pathlib.Path(path) / "work"
        self._run, self._shards = run, shards
        if self.path.is_dir() and any(self.path.iterdir()):
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
        """Numbers of the shards that do not stand there yet."""
        return [i for i in range(self._shards) if not self.shard(i).exists()]

    @contextlib.contextmanager
    def new_shard(self, number):
        """Yields a path to write a shard to, and an object to count in.

        The counts are kept before the shard stands there, so that every shard has its
        counts.
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
        """Leaves nothing behind, unless a shard stands there."""
        if len(self.missing_shards()) == self._shards:
            shutil.rmtree(self.work, ignore_errors=True)
            (self.path / _RUN).unlink()

    def _counts_path(self, number):
        return self.work / f"shard-{number:05d}.json"

    def _check(self):
        if not (self.path / _RUN).is_file():
            raise OutputError(
                "The output directory holds something else, and nothing is ever "
                "overwritten.",
                path=self.path,
                fix="Name another directory.",
            )
        before = read_json(self.path / _RUN, OutputError)
        if before != self._run:
            raise OutputError(
                "The output directory was begun with another "
                f"{_first_difference(before, self._run)}.",
                path=self.path,
                fix="Name another directory, or give the same command to go on.",
            )

    def _remove_half_written(self):
        for pattern in (".pretraining-*", ".manifest.*", "work/.*", "work/*/.*"):
            for left in self.path.glob(pattern):
                shutil.rmtree(left)


def record_files(paths, tokenizer):
    """The files among `paths`, and the shards of the directories among them.

    Returns:
        List of (path, what its manifest says of it: `file`, `examples`, `sha256`; an
        empty dict where there is none). A shard that is named alone has one too.

    Raises:
        DataError: a directory that `prepare_pretraining_data` did not write, did not
            finish, or wrote with another tokenizer; or a manifest that was changed.
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
                    f"A directory of pretraining data must hold {MANIFEST}, which is "
                    "written last.",
                    path=path,
                    fix="Run the preparation again to finish it, or name files.",
                )
            files += shards(path).items()
            if manifests[path].get("tokenizer") != tokenizer_fingerprint(tokenizer):
                raise DataError(
                    "The data must have been made with this tokenizer; it was another.",
                    path=path,
                )
        elif all((path.parent / name).is_file() for name in (MANIFEST, _RUN)):
            files.append((path, shards(path.parent).get(path, {})))
        else:
            files.append((path, {}))
    return files


def read_manifest(directory):
    """The manifest of a finished directory, as it was written.

    One that an earlier version wrote, without checksums, gives a line of warning.
    """
    path = directory / MANIFEST
    manifest = read_json(path, DataError)
    shards = manifest.get("shards")
    if not isinstance(shards, list) or not all(
        isinstance(shard, dict) and isinstance(shard.get("file"), str)
        for shard in shards
    ):
        raise DataError("It must name the shards.", path=path)
    if "sha256" in manifest or any("sha256" in shard for shard in shards):
        read_sealed_json(path, DataError)
    else:
        print(
            f"warning: {path}: It was written without checksums by an earlier version, "
            "so that no change of a file is seen. Prepare the data again.",
            file=sys.stderr,
        )
    if (directory / _RUN).exists():
        run = read_json(directory / _RUN, DataError)
        if any(manifest.get(name) != value for name, value in run.items()):
            raise DataError(f"It must agree with {MANIFEST}.", path=directory / _RUN)
    return manifest


def tokenizer_fingerprint(tokenizer):
    """A value that changes with the vocabulary or the options."""
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
