"""Checksums of the files in a preset directory, to detect flipped bits.

Weight files carry their own checksums (`safetensors_writing`), so that files written by
other tools have none. The checksums of all other files are in the `"tfzoo"` object of
config.json. People and tools do edit those files, so a change is only a warning.
"""

import hashlib
import logging
import re

from tfzoo.errors import CheckpointError
from tfzoo.files import entries_below, read_bytes

logger = logging.getLogger("tfzoo")

BLOCK, FIELD = "tfzoo", "sha256"
UNKNOWN = "0" * 64  # placeholder for a checksum in the text it is computed from
_WEIGHTS = ".safetensors"
_NAME = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]*")
_MAX_FILES = 64
_MAX_CONFIG_BYTES = 4 << 20


def sha256(content):
    """SHA-256 of bytes, or of an array's memory, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def of_files(directory):
    """Dict of name -> checksum of all files below a directory except the weights."""
    return {
        path.relative_to(directory).as_posix(): _of_file(path)
        for path in sorted(entries_below(directory))
        if path.is_file() and path.suffix != _WEIGHTS
    }


def signed(text, field):
    """Replaces the `UNKNOWN` that follows `field` with the text's own checksum."""
    before, found, after = text.partition(f'"{field}": "{UNKNOWN}"')
    return before + found.replace(UNKNOWN, sha256(text.encode())) + after


def is_signed(content, checksum):
    """Whether `content` is unchanged since `signed` put `checksum` into it."""
    if not isinstance(checksum, str) or len(checksum) != len(UNKNOWN):
        return False
    unsigned = content.replace(checksum.encode(), UNKNOWN.encode(), 1)
    return sha256(unsigned) == checksum


def tell_changes(config, path, *, is_ours):
    """Warns about files in a directory that have changed since tfzoo wrote them.

    Missing files are not reported: a download may leave some out.

    Args:
        config: The content of config.json.
        path: Path of config.json.
        is_ours: Whether tfzoo wrote the weights, so that there must be checksums.
    """
    block = config.get(BLOCK)
    known = block.get(FIELD) if isinstance(block, dict) else None
    if known is None and not is_ours:
        return
    known = known if isinstance(known, dict) else {}
    content = read_bytes(path, _MAX_CONFIG_BYTES, CheckpointError)
    changed = [] if is_signed(content, known.get(path.name)) else [path.name]
    for name, checksum in [*known.items()][:_MAX_FILES]:
        file = path.parent / name
        if name != path.name and _NAME.fullmatch(name) and file.is_file():
            if _of_file(file) != checksum:
                changed.append(name)
    if changed:
        logger.warning(
            "%s: changed since tfzoo wrote it: %s", path.parent, ", ".join(changed)
        )


def _of_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
