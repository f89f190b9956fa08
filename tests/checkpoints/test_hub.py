"""References to the Hugging Face Hub, against a server on the loopback address."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from tfzoo import families
from tfzoo.checkpoints import hub as hub_module
from tfzoo.checkpoints.hub import download
from tfzoo.checkpoints.references import local_directory
from tfzoo.errors import CheckpointError

WEIGHTS = bytes(range(256)) * 40
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "model.safetensors": WEIGHTS,
    "tf_model.h5": b"not needed",
    "pytorch_model.bin": b"not needed",
    "onnx/model.onnx": b"not needed",
    "README.md": b"not needed",
    "1_Pooling/config.json": b"{}",
}
NEEDED = ["1_Pooling/config.json", "config.json", "model.safetensors", "vocab.txt"]


@pytest.fixture
def mini(hub):
    return hub.add("org/mini", FILES)


@pytest.fixture
def offline(monkeypatch):
    """Function that forbids the client to contact the Hub."""
    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def refused(reference, **options):
    """The message of the error, which must be one line that names the reference."""
    with pytest.raises(CheckpointError) as raised:
        download(reference, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{reference}: ")
    return message


def test_only_the_needed_files_are_downloaded(hub, mini):
    directory = download("hf://org/mini")
    assert sorted(hub.sent) == NEEDED
    for name in NEEDED:
        assert (directory / name).read_bytes() == FILES[name]


def test_a_tokenizer_needs_no_weights(hub, mini):
    download("hf://org/mini", weights=False)
    assert "vocab.txt" in hub.sent
    assert "model.safetensors" not in hub.sent


@pytest.mark.parametrize(
    "weights",
    [
        {"model.safetensors.index.json", "model-00001-of-00002.safetensors"},
        {"tf_model.h5"},
        {"model.weights.h5"},
    ],
    ids=lambda names: min(names),
)
def test_weights_are_found_whatever_their_format(hub, weights):
    hub.add("org/mini", {"config.json": b"{}", **dict.fromkeys(weights, b"w")})
    download("hf://org/mini")
    assert set(hub.sent) == {"config.json", *weights}


def test_a_revision_is_a_branch_or_a_commit(hub, mini):
    first = mini.refs["main"]
    second = mini.commit({**FILES, "config.json": b"{}"}, "refs/pr/1")
    assert download("hf://org/mini@refs/pr/1").name == second
    assert download(f"hf://org/mini@{first}").name == first
    assert download("hf://org/mini").name == first


def test_cached_files_are_not_downloaded_again(hub, mini):
    download("hf://org/mini")
    hub.sent.clear()
    download("hf://org/mini")
    assert hub.sent == []


def test_the_cache_is_used_offline(hub, mini, offline):
    online = download("hf://org/mini")
    offline()
    hub.requests.clear()
    assert download("hf://org/mini") == online
    assert hub.requests == []


def test_the_cache_is_used_where_the_hub_cannot_be_reached(hub, mini, monkeypatch):
    online = download("hf://org/mini")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert download("hf://org/mini") == online


def test_offline_and_not_in_the_cache_says_so(hub, mini, offline):
    offline()
    assert "HF_HUB_OFFLINE" in refused("hf://org/mini")
    assert hub.requests == []


@pytest.fixture
def mirror(monkeypatch):
    """Function that sets HF_ENDPOINT, which the client reads on import."""

    def point(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return point


def test_a_mirror_that_cannot_be_reached_is_named(hub, mini, mirror):
    mirror("http://127.0.0.1:9")
    message = refused("hf://org/mini")
    assert "the Hub, http://127.0.0.1:9, cannot be reached" in message
    assert "check HF_ENDPOINT, or give a local directory" in message


def test_a_mirror_may_be_below_a_path(hub, mini, mirror):
    hub.prefix = "/mirrors/hub"
    mirror(hub.url)
    directory = download("hf://org/mini")
    assert (directory / "model.safetensors").read_bytes() == WEIGHTS
    assert all(asked[1].startswith(hub.prefix) for asked in hub.requests)


def test_a_mirror_must_be_an_address(hub, mini, mirror):
    mirror("hub.example.org")
    message = refused("hf://org/mini")
    assert "HF_ENDPOINT must be the address of a mirror" in message
    assert "with https:// in front. Received: 'hub.example.org'" in message


def test_an_address_that_is_no_hub_is_named(hub, mini):
    hub.page = b"<html>Welcome</html>"
    message = refused("hf://org/mini")
    assert f"check HF_ENDPOINT, {hub.url}" in message and "<html>" not in message


def test_a_mirror_is_not_asked_offline(hub, mini, mirror, offline):
    online = download("hf://org/mini")
    mirror("nowhere")
    offline()
    assert download("hf://org/mini") == online


def test_what_to_do_offline_without_weights_is_said(hub, offline):
    hub.add("org/data", {"config.json": b"{}"})
    download("hf://org/data", weights=False)
    offline()
    message = refused("hf://org/data")
    assert "HF_HUB_OFFLINE is set" in message
    assert "Unset HF_HUB_OFFLINE and run once" in message


def test_a_broken_hub_is_reported_with_its_status(hub, mini):
    hub.broken = 503
    assert "the Hub answered with status 503" in refused("hf://org/mini")
    hub.broken = None
    online = download("hf://org/mini")
    hub.broken = 503
    assert download("hf://org/mini") == online


def test_a_snapshot_without_weights_is_not_considered_complete(hub, mini, offline):
    download("hf://org/mini", weights=False)
    offline()
    assert "HF_HUB_OFFLINE" in refused("hf://org/mini")


def test_a_download_resumes_after_its_connection_is_cut(hub, mini, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut["model.safetensors"] = 4000
    directory = download("hf://org/mini")
    assert (directory / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [asked[2] for asked in hub.requests if asked[1].endswith("safetensors")]
    assert ranges[-2:] == [None, "bytes=4000-"]


def test_a_killed_download_leaves_nothing_that_passes_for_the_file(hub, mini, tmp_path):
    blobs = tmp_path / "cache" / "models--org--mini" / "blobs"
    blobs.mkdir(parents=True)
    name = hashlib.sha256(WEIGHTS).hexdigest()
    (blobs / f"{name}.0123abcd.incomplete").write_bytes(WEIGHTS[:100])
    directory = download("hf://org/mini")
    assert (directory / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_content_that_does_not_match_its_hash_is_refused(hub, mini, name):
    hub.forged[name] = bytes(len(FILES[name]))
    message = refused("hf://org/mini")
    assert f"{name} must have the Hub's hash" in message
    blob = pathlib.Path(re.search(r"Remove (.*) and try again", message)[1])
    assert refused("hf://org/mini") == message  # nor is it trusted the second time
    blob.unlink()
    hub.forged.clear()
    assert (download("hf://org/mini") / name).read_bytes() == FILES[name]


def test_content_of_another_size_is_refused(hub, mini):
    hub.forged["model.safetensors"] = WEIGHTS[:-1]
    assert f"should be of size {len(WEIGHTS)}" in refused("hf://org/mini")


def test_a_verified_file_is_not_read_again_until_it_changes(hub, mini, monkeypatch):
    directory = download("hf://org/mini")
    hashed, digest = [], hub_module.hashlib.file_digest

    def recorded(file, *arguments):
        hashed.append(file.name)
        return digest(file, *arguments)

    monkeypatch.setattr(hub_module.hashlib, "file_digest", recorded)
    download("hf://org/mini")
    assert hashed == []
    os.utime(directory / "model.safetensors", ns=(0, 0))
    download("hf://org/mini")
    assert len(hashed) == 1


@pytest.mark.parametrize(
    ("options", "reference", "rule"),
    [
        ({}, "hf://org/other", "The repository does not exist or is private"),
        ({"private": True}, "hf://org/mini", "hf auth login"),
        ({"gated": True}, "hf://org/mini", "is gated"),
        ({}, "hf://org/mini@v9", "no such revision"),
    ],
    ids=["absent", "private", "gated", "revision"],
)
def test_refusals_of_the_hub_are_explained(hub, options, reference, rule):
    hub.add("org/mini", FILES, **options)
    assert rule in refused(reference)


def test_a_token_opens_a_private_repository(hub, monkeypatch):
    hub.add("org/mini", FILES, private=True)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert (download("hf://org/mini") / "vocab.txt").exists()


def test_a_lone_pickle_is_refused_with_the_command_that_converts_it(hub):
    hub.add("org/old", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04."})
    message = refused("hf://org/old")
    assert "Received: pytorch_model.bin" in message
    assert "hf download org/old --local-dir DIR" in message
    assert "torch.load('pytorch_model.bin', weights_only=True)" in message
    assert "pytorch_model.bin" not in hub.sent


def test_the_command_that_downloads_a_pickle_has_its_revision(hub):
    hub.add("org/old", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04."})
    message = refused("hf://org/old@main")
    assert "hf download org/old --revision main --local-dir DIR" in message


def test_weights_of_an_unknown_architecture_are_not_downloaded(hub):
    config = json.dumps({"model_type": "xlnet"}).encode()
    hub.add("org/xlnet", {**FILES, "config.json": config})
    with pytest.raises(CheckpointError, match="model_type: Must be one of bart, ") as e:
        families.BertEncoder.from_preset("hf://org/xlnet")
    assert "roberta" in str(e.value) and str(e.value).endswith("Received: 'xlnet'.")
    assert "model.safetensors" not in hub.sent


def test_a_repository_without_weights_is_refused(hub):
    hub.add("org/data", {"README.md": b"", "config.json": b"{}"})
    assert "The repository must have model.safetensors" in refused("hf://org/data")


@pytest.mark.parametrize(
    "reference",
    [
        "hf://",
        "hf://a/b/c",
        "hf://a/b@",
        "hf://../x",
        "hf://a b",
        "hf://a/../../b",
        "hf://a/b@../../c",
    ],
)
def test_an_invalid_reference_is_refused_without_a_request(hub, reference):
    refused(reference)
    assert hub.requests == []


@pytest.mark.parametrize("reference", ["hf://a/{}", "hf://{}/b", "hf://org/mini@{}"])
def test_a_reference_of_5000_characters_is_a_short_line(hub, mini, reference):
    for letter in ("x", "\n", "-", "\x1b"):
        with pytest.raises(CheckpointError) as raised:
            download(reference.format(letter * 5000))
        message = str(raised.value)
        assert "\n" not in message and len(message) < 1500


@given(text=st.text(st.characters(codec=None)) | st.from_regex(r"[\w./@+-]*"))
def test_any_reference_is_parsed_or_refused_in_one_line(text):
    try:
        repo_id, revision = hub_module._parse(f"hf://{text}")
    except CheckpointError as error:
        assert not {"\n", "\x1b", "\u202e"} & {*str(error)}
    else:
        assert text in (repo_id, f"{repo_id}@{revision}")
        assert ".." not in (revision or "")


@given(text=st.text(st.characters(codec=None)))
def test_any_text_is_a_directory_or_refused_in_one_line(text, tmp_path):
    path = f"{tmp_path}/{text}"
    try:
        assert local_directory(path) == pathlib.Path(path)
    except CheckpointError as error:
        assert not {"\n", "\x1b", "\u202e"} & {*str(error)}


def test_a_path_object_with_a_scheme_is_refused():
    with pytest.raises(CheckpointError, match="a path loses the double slash"):
        local_directory(pathlib.Path("hf://org/mini"))


def test_opening_a_directory_sends_no_request(hub, tmp_path):
    assert local_directory(str(tmp_path)) == tmp_path
    assert hub.requests == []


def test_the_environment_variables_of_the_client_apply(hub, mini, tmp_path):
    program = (
        "from tfzoo.checkpoints.hub import download\nprint(download('hf://org/mini'))"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(pathlib.Path(hub_module.__file__).parents[2]),
    }
    for more in ({}, {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, **more},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        directory = pathlib.Path(done.stdout.splitlines()[-1])
        assert directory.is_relative_to(tmp_path / "home")
        assert json.loads((directory / "config.json").read_bytes())
