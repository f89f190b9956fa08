"""What a checkpoint is named by: a directory, `hf://ORG/NAME`, `keras_hub://NAME`."""

import pathlib

from tfzoo.checkpoints import hub, keras_hub
from tfzoo.errors import CheckpointError

_REMOTE = {
    hub.SCHEME: hub.download,
    keras_hub.SCHEME: keras_hub.download,
}


def is_remote(reference):
    """Whether a reference names something that must be downloaded."""
    return _scheme(reference) is not None


def local_directory(reference, *, weights=True):
    """The directory of a checkpoint; the network is used for `hf://` and the like only.

    Args:
        reference: A directory, `hf://ORG/NAME[@REVISION]` or `keras_hub://NAME`.
        weights: Whether weights are needed, or configuration and tokenizer alone.

    Returns:
        A `pathlib.Path`. A directory that was named need not exist.

    Raises:
        CheckpointError: it cannot be downloaded.
    """
    scheme = _scheme(reference)
    if scheme is None:
        return pathlib.Path(reference)
    if not isinstance(reference, str):
        raise CheckpointError(
            f"What begins with {scheme} must be text: a path has no double slash. "
            f"Received: {reference!r}."
        )
    return _REMOTE[scheme](reference, weights=weights)


def _scheme(reference):
    text = str(reference)
    for scheme in _REMOTE:
        if text.startswith(scheme.removesuffix("/")):  # as a `pathlib.Path` has it
            return scheme
    return None
