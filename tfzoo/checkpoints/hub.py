"""The Hugging Face hub: `hf://ORG/NAME` or `hf://ORG/NAME@REVISION`.

All of it goes through `huggingface_hub`, whose are the cache, the endpoint, the tokens,
the progress bars and what an interrupted download does next: `HF_HOME`, `HF_ENDPOINT`,
`HF_TOKEN`, `HF_HUB_OFFLINE`. That library does not look at what it has received; here
every file is compared with the hash by which the hub knows it.
"""

import fnmatch
import hashlib
import os
import pathlib
import re
import tempfile

from tfzoo.checkpoints.safetensors_files import FROM_PICKLE
from tfzoo.errors import CheckpointError

SCHEME = "hf://"
# Git has no ".." in the name of a branch, and the cache makes a path of it.
_REFERENCE = re.compile(r"hf://((?:[\w.-]+/)?[\w.-]+)(?:@((?!.*\.\.)[\w./+-]+))?")
_FORM = "A repository of the hub is hf://ORG/NAME or hf://ORG/NAME@REVISION."
# Of a repository, whatever the weights: what a model is, and how it reads text.
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "assets/tokenizer/*",  # KerasHub
    "modules.json",  # sentence-transformers, likewise the next three
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
# The first kind that is there is downloaded, and no other.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("tf_model.h5",),
    ("model.weights.h5",),
)
_PICKLE = "pytorch_model.bin"
_VERIFIED = "verified"  # folder in the cache of a repository: hash -> size and time
# A blob's name in the cache is its hash: of Git, or where Git keeps a pointer, SHA-256.
_GIT_HASH, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")


def download(reference, *, weights=True):
    """The files of a repository that are needed, in the cache.

    Args:
        reference: `hf://ORG/NAME`, or `hf://ORG/NAME@REVISION` with a branch, a tag or
            a commit.
        weights: Whether the weights are needed, or the small files alone.

    Returns:
        The `pathlib.Path` of the directory of the revision.

    Raises:
        CheckpointError: there is no such repository or revision, or no right to it; it
            cannot be reached and is not in the cache; it has no weights that can be
            read; or what was received is not what the hub has.
    """
    repo_id, revision = _parse(reference)
    if not weights:
        return _snapshot(reference, repo_id, revision, _SMALL_FILES)
    for kind in _WEIGHTS:
        directory = _snapshot(reference, repo_id, revision, (*_SMALL_FILES, *kind))
        if any((directory / name).exists() for name in kind):
            return directory
    raise _without_weights(reference, repo_id, revision)


def upload(repo_id, save, *, private=None, token=None):
    """Writes a directory and uploads it; the repository is made if it is not there.

    Args:
        repo_id: `ORG/NAME`.
        save: Function of a path that is free: writes the directory there.
        private: Whether a new repository is private; None: as the account has it.
        token: Of an account that may write; None takes the one that is logged in.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: the hub refuses it or cannot be reached.
    """
    import huggingface_hub

    _parse(f"{SCHEME}{repo_id}")
    api = huggingface_hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as beside:
        folder = pathlib.Path(beside) / "preset"
        save(folder)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, commit_message="Upload by tfzoo"
            )
        except Exception as e:  # see _explained
            raise _explained(e, f"{SCHEME}{repo_id}") from e
    return commit.commit_url


class PushToHub:
    """A mix-in: a model whose `save_to_preset` writes a directory, on the hub."""

    def push_to_hub(self, repo_id, *, private=None, token=None, **options):
        """Uploads what `save_to_preset` writes.

        Args:
            repo_id: `ORG/NAME`; the repository is made if it is not there.
            private: Whether a new repository is private; None: as the account has it.
            token: Of an account that may write; None takes the one that is logged in.
            **options: As of `save_to_preset`.

        Returns:
            The address of the commit.

        Raises:
            CheckpointError: the hub refuses it or cannot be reached.
        """
        return upload(
            repo_id,
            lambda folder: self.save_to_preset(folder, **options),
            private=private,
            token=token,
        )


def _parse(reference):
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise CheckpointError(_FORM, path=reference)
    return found.groups()


def _snapshot(reference, repo_id, revision, patterns):
    """Downloads the files that match, and verifies them."""
    import huggingface_hub

    try:
        directory = huggingface_hub.snapshot_download(
            repo_id, revision=revision, allow_patterns=list(patterns)
        )
    except Exception as e:  # see _explained
        raise _explained(e, reference) from e
    directory = pathlib.Path(directory)
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() and any(fnmatch.fnmatchcase(name, p) for p in patterns):
            _verify(path, directory.parents[1] / _VERIFIED, reference, name)
    return directory


def _verify(link, verified, reference, name):
    """Raises `CheckpointError` unless a file has the hash that names it in the cache.

    Where the cache has no links, or a mirror names files otherwise, there is nothing to
    compare with.

    Args:
        link: The file of a snapshot, a link to a blob.
        verified: The folder that says which blobs were verified, and how large and how
            old they were: they are not read again.
        reference: For the error.
        name: Of the file in the repository.
    """
    blob = pathlib.Path(os.path.abspath(link.parent / os.readlink(link)))
    about = blob.stat()
    state, record = f"{about.st_size} {about.st_mtime_ns}", verified / blob.name
    if _SHA256.fullmatch(blob.name):
        start = hashlib.sha256()
    elif _GIT_HASH.fullmatch(blob.name):
        start = hashlib.sha1(b"blob %d\0" % about.st_size, usedforsecurity=False)
    else:
        return
    if record.exists() and record.read_text() == state:
        return
    with open(blob, "rb") as file:
        found = hashlib.file_digest(file, lambda: start).hexdigest()
    if found != blob.name:
        raise CheckpointError(
            f"{name} is not what the hub has: its hash must be {blob.name}. "
            f"Received: {found}.",
            path=reference,
            fix=f"Remove {blob} and try again.",
        )
    try:
        verified.mkdir(exist_ok=True)
        record.write_text(state)
    except OSError:
        pass  # a cache that cannot be written: it is read again next time


def _without_weights(reference, repo_id, revision):
    """The `CheckpointError` for a repository whose weights cannot be read."""
    import huggingface_hub

    rule = f"There must be one of {', '.join(kind[0] for kind in _WEIGHTS)}."
    try:
        api = huggingface_hub.HfApi()
        has_pickle = api.file_exists(repo_id, _PICKLE, revision=revision)
    except Exception as e:  # see _explained
        return _explained(e, reference)
    if not has_pickle:
        return CheckpointError(rule, path=reference)
    return CheckpointError(
        f"{rule} Received: {_PICKLE}, which is never opened, since that can run what "
        "is in it.",
        path=reference,
        fix=f"Get it, hf download {repo_id} --local-dir DIR, and convert it in DIR, "
        f"where PyTorch is installed: {FROM_PICKLE}",
    )


def _explained(error, reference):
    """The `CheckpointError` for whatever went wrong in `huggingface_hub`.

    Its versions stand on different HTTP libraries, whose errors have no class in
    common: what is not known is quoted.
    """
    from huggingface_hub import constants, errors

    fix = None
    if isinstance(error, errors.HFValidationError):
        rule = f"{_FORM} {error}"
    elif isinstance(error, errors.GatedRepoError):
        rule = "The repository is gated."
        fix = "Accept its terms on its page, and log in: hf auth login."
    elif isinstance(error, errors.RepositoryNotFoundError):
        rule = "There is no such repository, or it is private."
        fix = "Mend the name, or log in: hf auth login."
    elif isinstance(error, errors.RevisionNotFoundError):
        rule = "The repository has no such revision."
        fix = "Name a branch, a tag or a commit that it has."
    elif isinstance(error, errors.HfHubHTTPError):
        rule = f"The hub refuses it with status {error.response.status_code}."
        if error.response.status_code in (401, 403):
            fix = "Log in with a token that may do this: hf auth login."
    elif isinstance(error, errors.LocalEntryNotFoundError):
        rule, fix = (
            "It is not whole in the cache, and ",
            "Connect, or name a directory.",
        )
        if constants.HF_HUB_OFFLINE:
            rule += "HF_HUB_OFFLINE forbids to ask the hub."
            fix = "Unset HF_HUB_OFFLINE once."
        elif isinstance(error.__cause__, errors.HfHubHTTPError):
            rule += (
                f"the hub answers with status {error.__cause__.response.status_code}."
            )
            fix = "Try again later."
        else:
            rule += f"the hub, {constants.ENDPOINT}, cannot be reached."
    else:
        told = [f"{type(e).__name__}: {e}" for e in (error, error.__cause__) if e]
        rule = f"The transfer failed. {' '.join(told)[:500]}"
        fix = "Try again."
    return CheckpointError(rule, path=reference, fix=fix)
