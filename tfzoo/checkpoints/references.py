"""References to checkpoints: a directory, `hf://ORG/NAME`, `keras_hub://NAME`."""

from tfzoo.checkpoints import hub, keras_hub
from tfzoo.errors import CheckpointError, shown
from tfzoo.files import local_path

_REMOTE = {
    hub.SCHEME: hub.download,
    keras_hub.SCHEME: keras_hub.download,
}


def is_remote(reference):
    """Whether a reference is to something that must be downloaded."""
    return _scheme(reference) is not None


def local_directory(reference, *, weights=True):
    """Resolves a reference to a local directory, downloading remote checkpoints.

    Args:
        reference: A directory, `hf://ORG/NAME[@REVISION]` or `keras_hub://NAME`.
        weights: Whether to download weights, or only configuration and tokenizer.

    Returns:
        A `pathlib.Path`. A local directory is not checked to exist.

    Raises:
        CheckpointError: it cannot be downloaded, or cannot be a directory: its name is
            too long, or a loop of links.
    """
    scheme = _checked_scheme(reference)
    if scheme is None:
        return _readable(local_path(reference))
    return _REMOTE[scheme](reference, weights=weights)


def local_adapter(reference, names):
    """Resolves a reference to an adapter to a local directory.

    Args:
        reference: A directory or `hf://ORG/NAME[@REVISION]`.
        names: Names of the files to download.

    Returns:
        A `pathlib.Path`. A local directory is not checked to exist.

    Raises:
        CheckpointError: it cannot be downloaded.
    """
    scheme = _checked_scheme(reference)
    if scheme is None:
        return local_path(reference)
    if scheme != hub.SCHEME:
        rule = f"An adapter must be a directory or {hub.SCHEME}ORG/NAME."
        raise CheckpointError(rule, path=reference)
    return hub.download_files(reference, names)


def _checked_scheme(reference):
    scheme = _scheme(reference)
    if scheme is not None and not isinstance(reference, str):
        raise CheckpointError(
            f"A reference with {scheme} must be a str, as a path loses the double "
            f"slash. Received: {shown(reference)}.",
            path=reference,
        )
    return scheme


def _readable(directory):
    """The directory, if files can be looked up in it; it need not have any."""
    try:
        (directory / "config.json").stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as e:
        rule = f"The preset directory cannot be read: {e.strerror}."
        raise CheckpointError(rule, path=directory) from None
    except ValueError:
        rule = "The name of a directory must not have NUL or half of a surrogate pair."
        raise CheckpointError(rule, path=directory) from None
    return directory


def _scheme(reference):
    text = str(reference)
    for scheme in _REMOTE:
        if text.startswith(scheme.removesuffix("/")):  # as in a `pathlib.Path`
            return scheme
    return None
