"""What a run is made with: versions of the code and libraries, number of cores."""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys

LIBRARIES = ("tensorflow", "keras", "numpy", "tokenizers")


def made_with():
    """`versions` and `cores` for `run.json`.

    `versions` has the distributions, Python, and as `code` a digest of tfzoo's sources,
    which tells apart two commits, and edits, with the same version.
    """
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    versions |= {"tfzoo": importlib.metadata.version("tfzoo"), "code": _code()}
    versions["python"] = platform.python_version()
    return {"versions": versions, "cores": _cores()}


def tell_changes(path, former, now):
    """Warns, in one line on stderr, that a run goes on with something else.

    Args:
        path: The `run.json`.
        former: Its content, a dict that has `versions`.
        now: From `made_with`.

    Returns:
        Dict to add to `run.json`: what earlier processes of the run were made with, as
        `earlier`. Empty if that has not changed since its beginning.
    """
    before = {name: former[name] for name in ("versions", "cores") if name in former}
    earlier = former.get("earlier", [])
    old = {**before["versions"], "cores": before.get("cores")}
    new = {**now["versions"], "cores": now["cores"]}
    changes = [
        f"{name} was {old[name]} and is now {value}"
        for name, value in new.items()
        if old.get(name) not in (None, value)  # None: not recorded
    ]
    if changes:
        earlier = [*earlier, before]
        print(
            f"warning: {path}: {', '.join(changes)}. The result may differ from that "
            "of an uninterrupted run.",
            file=sys.stderr,
        )
    return {"earlier": earlier} if earlier else {}


def _cores():
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


@functools.cache
def _code():
    """Digest of the names and contents of the package's source files."""
    root, digest = pathlib.Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(hashlib.sha256(str(path.relative_to(root)).encode()).digest())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
