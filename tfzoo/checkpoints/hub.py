"""The Hugging Face Hub: `hf://ORG/NAME` or `hf://ORG/NAME@REVISION`.

Everything goes through `huggingface_hub`, which handles cache, endpoint, tokens,
progress bars and resumed downloads; `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and
`HF_HUB_OFFLINE` apply. That library does not verify what it receives; here every file
is checked against the hash the Hub has for it.
"""

import fnmatch
import hashlib
import os
import pathlib
import re
import tempfile

from tfzoo.checkpoints.safetensors_files import FROM_PICKLE
from tfzoo.errors import CheckpointError, printable, shown
from tfzoo.files import read_json

SCHEME = "hf://"
_HUB = "https://huggingface.co"  # unless HF_ENDPOINT names a mirror
# Git allows no ".." in branch names, and the cache turns the revision into a path.
_REFERENCE = re.compile(r"hf://((?:[\w.-]+/)?[\w.-]+)(?:@((?!.*\.\.)[\w./+-]+))?")
_FORM = "A Hub repository must be given as hf://ORG/NAME or hf://ORG/NAME@REVISION."
_INCOMPLETE = "The cache does not have all of its files, and"
_KNOWN_ERRORS = {  # of huggingface_hub, derived classes first: what is wrong, the fix
    "OfflineModeIsEnabled": (
        "The Hub is not asked, because HF_HUB_OFFLINE is set.",
        "Unset HF_HUB_OFFLINE and run once.",
    ),
    "GatedRepoError": (
        "The repository is gated.",
        "Accept its terms on its page and log in: hf auth login.",
    ),
    "RepositoryNotFoundError": (
        "The repository does not exist or is private.",
        "Check the name, or log in: hf auth login.",
    ),
    "RevisionNotFoundError": (
        "The repository has no such revision.",
        "Give an existing branch, tag or commit.",
    ),
}
# Downloaded whatever the weight format: configuration and tokenizer.
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "spiece.model",  # of SentencePiece, as are the next five
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "assets/tokenizer/*",  # KerasHub
    "modules.json",  # sentence-transformers, as are the next three
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
# Only the first of these formats that the repository has is downloaded.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("tf_model.h5",),
    ("model.weights.h5",),
)
_PICKLE = "pytorch_model.bin"
READABLE = set()  # model types of supported architectures; filled by `declared`
_VERIFIED = "verified"  # folder in a repository's cache: hash -> size and mtime
# A blob's name in the cache is its hash: Git's, or SHA-256 for Git LFS files.
_GIT_HASH, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")


def download(reference, *, weights=True):
    """Downloads the files of a repository that are needed into the cache.

    Args:
        reference: `hf://ORG/NAME`, or `hf://ORG/NAME@REVISION` with a branch, tag or
            commit.
        weights: Whether to download the weights, or only the small files.

    Returns:
        The `pathlib.Path` of the revision's directory.

    Raises:
        CheckpointError: the repository or revision does not exist or is not accessible;
            it cannot be reached and is not in the cache; its architecture is not
            supported, or it has no weights in a supported format; or a downloaded file
            does not match the Hub's hash.
    """
    repo_id, revision = _parse(reference)
    directory = _snapshot(reference, repo_id, revision, _SMALL_FILES)
    if not weights:
        return directory
    _check_model_type(reference, directory / "config.json")
    for kind in _WEIGHTS:
        directory = _snapshot(reference, repo_id, revision, (*_SMALL_FILES, *kind))
        if any((directory / name).exists() for name in kind):
            return directory
    raise _without_weights(reference, repo_id, revision)


def download_files(reference, names):
    """Downloads some files of a repository, which are verified as in `download`.

    Args:
        reference: As in `download`.
        names: Names of files.

    Returns:
        The `pathlib.Path` of the revision's directory.

    Raises:
        CheckpointError: as in `download`, or the repository lacks one of them.
    """
    directory = _snapshot(reference, *_parse(reference), names)
    for name in names:
        if not (directory / name).exists():
            raise CheckpointError(f"The repository must have {name}.", path=reference)
    return directory


def upload(repo_id, save, *, private=None, token=None):
    """Saves a directory and uploads it, creating the repository if necessary.

    Args:
        repo_id: `ORG/NAME`.
        save: Function that writes the directory to the unused path it is given.
        private: Whether a new repository is private. None for the account's default.
        token: Access token with write permission. None for that of the local login.

    Returns:
        The URL of the commit.

    Raises:
        CheckpointError: the Hub refuses the upload or cannot be reached.
    """
    import huggingface_hub

    _parse(f"{SCHEME}{repo_id}")
    _check_endpoint(f"{SCHEME}{repo_id}")
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
    """Mixin for models with `save_to_preset`: uploads the preset to the Hub."""

    def push_to_hub(self, repo_id, *, private=None, token=None, **options):
        """Saves the model with `save_to_preset` and uploads the directory.

        Args:
            repo_id: `ORG/NAME`; the repository is created if it does not exist.
            private: Whether a new repository is private. None for the account's
                default.
            token: Access token with write permission. None for that of the local
                login.
            **options: Passed to `save_to_preset`.

        Returns:
            The URL of the commit.

        Raises:
            CheckpointError: the Hub refuses the upload or cannot be reached.
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


def _check_endpoint(reference):
    """Raises `CheckpointError` if HF_ENDPOINT is used but is no address."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or re.match("https?://.", constants.ENDPOINT):
        return
    raise CheckpointError(
        "HF_ENDPOINT must be the address of a mirror of the Hub, with https:// in "
        f"front. Received: {shown(constants.ENDPOINT)}.",
        path=reference,
    )


def _check_model_type(reference, path):
    """Raises `CheckpointError` for an architecture whose weights are of no use."""
    config = read_json(path, CheckpointError) if path.exists() else {}
    model_type = config.get("model_type")
    if READABLE and isinstance(model_type, str) and model_type not in READABLE:
        raise CheckpointError(
            f"Must be one of {', '.join(sorted(READABLE))}. "
            f"Received: {shown(model_type)}.",
            path=reference,
            tensor="model_type",
        )


def _snapshot(reference, repo_id, revision, patterns):
    """Downloads the files that match `patterns` and verifies them."""
    import huggingface_hub

    _check_endpoint(reference)
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
    """Raises `CheckpointError` unless a file matches the hash in its blob's name.

    A cache without symlinks, or a mirror that names blobs differently, has no hashes to
    compare with.

    Args:
        link: The file in the snapshot, a link to a blob.
        verified: Folder that records the size and modification time of verified blobs,
            so that they are not read again.
        reference: The repository, for the error message.
        name: Name of the file in the repository.
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
            f"{name} must have the Hub's hash, {blob.name}. Received: {found}.",
            path=reference,
            fix=f"Remove {blob} and try again.",
        )
    try:
        verified.mkdir(exist_ok=True)
        record.write_text(state)
    except OSError:
        pass  # the cache is not writable: the file is verified again next time


def _without_weights(reference, repo_id, revision):
    """The `CheckpointError` for a repository without weights in a supported format."""
    import huggingface_hub

    rule = f"The repository must have {' or '.join(kind[0] for kind in _WEIGHTS)}."
    try:
        api = huggingface_hub.HfApi()
        has_pickle = api.file_exists(repo_id, _PICKLE, revision=revision)
    except Exception as e:  # see _explained
        return _explained(e, reference)
    if not has_pickle:
        return CheckpointError(rule, path=reference)
    of_revision = f" --revision {revision}" if revision else ""
    return CheckpointError(
        f"{rule} Received: {_PICKLE}, a pickle, which is never opened: it could run "
        "any code.",
        path=reference,
        fix=f"Download it (hf download {repo_id}{of_revision} --local-dir DIR) and "
        f"convert it in DIR, with PyTorch installed: {FROM_PICKLE}",
    )


def _explained(error, reference):
    """The `CheckpointError` for any error from `huggingface_hub`."""
    rule, fix = _rule_and_fix(error)
    return CheckpointError(rule, path=reference, fix=fix)


def _rule_and_fix(error):
    """What went wrong, and what to do about it or None.

    The versions of `huggingface_hub` use different HTTP libraries, whose errors share
    no base class: unknown errors are quoted.
    """
    from huggingface_hub import constants, errors

    for name, known in _KNOWN_ERRORS.items():
        if isinstance(error, getattr(errors, name)):
            return known
    place = constants.ENDPOINT
    later, mirror = "Try again later.", "set HF_ENDPOINT to a mirror"
    if place != _HUB:
        later = f"Try again later, or check HF_ENDPOINT, {place}."
        mirror = "check HF_ENDPOINT"
    if isinstance(error, errors.HFValidationError):
        return f"{_FORM} {printable(error, 200)}", None
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        log_in = "Log in with a token that permits this: hf auth login."
        fix = log_in if status in (401, 403) else later
        return f"The Hub refused with status {status}.", fix
    if isinstance(error, errors.LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            fix = "Unset HF_HUB_OFFLINE and run once, or give a local directory."
            return f"{_INCOMPLETE} HF_HUB_OFFLINE is set.", fix
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            status = error.__cause__.response.status_code
            return f"{_INCOMPLETE} the Hub answered with status {status}.", later
        fix = f"Connect to the network, {mirror}, or give a local directory."
        return f"{_INCOMPLETE} the Hub, {place}, cannot be reached.", fix
    told = [f"{type(e).__name__}: {e}" for e in (error, error.__cause__) if e]
    return f"The transfer failed. {' '.join(told)[:500]}", later
