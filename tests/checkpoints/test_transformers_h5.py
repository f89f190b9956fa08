"""Models saved by the TensorFlow classes of transformers 4 compute the same here.

Those classes wrote the files (make_transformers_h5.py).
"""

import pathlib
import zipfile

import h5py
import numpy as np
import pytest

from tfzoo import tasks
from tfzoo.checkpoints.transformers_h5 import open_transformers_h5
from tfzoo.errors import CheckpointError, TfzooError
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS

ARCHIVE = pathlib.Path(__file__).with_name("transformers_h5.zip")
HEADS = {
    "ForPreTraining": "BertPretrainer",
    "ForMaskedLM": "MaskedLM",
    "ForSequenceClassification": "TextClassifier",
    "ForTokenClassification": "TokenClassifier",
    "ForQuestionAnswering": "QuestionAnswerer",
    "LMHeadModel": "CausalLM",
}
CLASSES = sorted({name.split("/")[0] for name in zipfile.ZipFile(ARCHIVE).namelist()})


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    zipfile.ZipFile(ARCHIVE).extractall(directory)
    return directory


def a_tokenizer(class_name):
    """A tokenizer of 30 tokens, with special tokens where the architecture has them."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    if "Roberta" in class_name:
        special[:2] = "[CLS]", "[PAD]"
    return WordPieceTokenizer([*special, *"abcdefghijklmnopqrstuvwxy"])


def test_every_class_is_there():
    assert len(CLASSES) == 14


@pytest.mark.parametrize("class_name", CLASSES)
def test_outputs_are_those_of_the_class_that_saved_it(class_name, directories, caplog):
    directory = directories / class_name
    head = next(task for name, task in HEADS.items() if class_name.endswith(name))
    saved = np.load(directory / "io.npz")
    fed = {
        "token_ids": saved["ids"],
        "segment_ids": np.zeros_like(saved["ids"]),
        "padding_mask": saved["mask"],
        "mask_positions": np.tile(np.arange(7, dtype=np.int32), (2, 1)),
    }
    kept = saved["mask"] > 0
    if head == "CausalLM":  # its tokenizer needs more than 30 ids
        from tfzoo.families import GPTDecoder

        decoder = GPTDecoder.from_preset(directory)
        hidden = decoder({k: fed[k] for k in ("token_ids", "padding_mask")})
        found = {"logits": np.array(decoder.logits(hidden))}
    else:
        task = getattr(tasks, head).from_preset(
            directory, tokenizer=a_tokenizer(class_name)
        )
        found = task({name: fed[name] for name in task.input}, training=False)
        if head == "BertPretrainer":
            names = ["prediction_logits", "seq_relationship_logits"]
            found = dict(zip(names, map(np.array, found.values()), strict=True))
        elif head == "QuestionAnswerer":
            starts, ends = np.moveaxis(np.array(found), -1, 0)
            found = {"start_logits": starts, "end_logits": ends}
        else:
            found = {"logits": np.array(found)}
    assert "New" not in caplog.text
    for name, ours in found.items():
        theirs = saved[name]
        rows = kept if ours.shape[:2] == kept.shape else ...
        assert np.ptp(theirs) > 0.05
        np.testing.assert_allclose(ours[rows], theirs[rows], rtol=0, atol=1e-5)


def test_a_vocabulary_larger_than_the_embedding_is_refused(directories):
    words = ByteBPETokenizer([*CHARACTERS, "<|endoftext|>"], [])
    with pytest.raises(TfzooError, match="257.*30|30.*257"):
        tasks.CausalLM.from_preset(directories / "TFGPT2LMHeadModel", tokenizer=words)


def chunked(file):
    file.create_dataset("a/m/b/c", data=np.ones((4, 4)), chunks=(2, 2))


def compressed(file):
    file.create_dataset("a/m/b/c", data=np.ones((4, 4)), compression="gzip")


def elsewhere(file):
    file.create_dataset("a/m/b/c", (2,), "f4", external=[("/etc/passwd", 0, 8)])


def virtual(file):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    file.create_virtual_dataset("a/m/b/c", layout)


def differing(file):
    file["other/tf_bert_model/bert/pooler/dense/kernel:0"] = np.zeros((2, 2), "f4")


def misshapen(file):
    file["other/tf_bert_model/bert/pooler/dense/kernel:0"] = np.ones((2, 3), "f4")


def deep(file):
    file["/".join("abcdefghijklmnopqrstuvwxyz")] = np.ones(1)


def many(file):
    for name in range(5_000):
        file.create_group(f"{name}")


def odd(file):
    file["a/m/\x1b[2J\n\u202e/" + "c" * 5000] = np.ones(1)
    file["a/m/\x1b[2J\n\u202e/d"] = h5py.SoftLink("/bert")


def not_utf_8(file):
    h5py.h5g.create(file.id, b"caf\xe9")


def linked(file):
    file["a"] = h5py.ExternalLink("/etc/passwd", "/x")


def softly_linked(file):
    file["a"] = h5py.SoftLink("/bert")


def looped(file):
    file["bert/again"] = file["bert"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (chunked, "a/m/b/c: A tensor must be stored contiguously"),
        (compressed, "a/m/b/c: A tensor must be stored contiguously"),
        (elsewhere, "a/m/b/c: A tensor must be stored contiguously"),
        (virtual, "a/m/b/c: A tensor must be stored contiguously"),
        (linked, "contain no links"),
        (softly_linked, "contain no links"),
        (many, "at most 5000 tensors and groups"),
        (odd, r"a/m/\\x1b\[2J\\n\\u202e/d: The file must contain no links"),
        (not_utf_8, "h5: The names in the file must be UTF-8"),
        (looped, "16 levels deep"),
        (differing, "pooler.dense.*must be the same in all"),
        (misshapen, "pooler/dense/kernel:0: .*must be the same in all"),
        (deep, "16 levels deep"),
    ],
)
def test_features_that_such_files_never_use_are_refused(change, rule, tmp_path):
    path = tmp_path / "tf_model.h5"
    with h5py.File(path, "w") as file:
        file["bert/tf_bert_model/bert/pooler/dense/kernel:0"] = np.ones((2, 2), "f4")
        change(file)
    with pytest.raises(CheckpointError, match=rule) as error:
        tensors = open_transformers_h5(path)
        [tensors.read(name) for name in tensors.names]
    assert str(error.value).isprintable() and len(str(error.value)) < 1000
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.slow
def test_a_scrambled_file_opens_or_is_refused(directories, tmp_path, refusals):
    path = tmp_path / "tf_model.h5"
    path.write_bytes((directories / "TFBertForMaskedLM" / path.name).read_bytes())

    def opened():
        tensors = open_transformers_h5(path)
        [tensors.read(name) for name in tensors.names]

    assert refusals(path, opened, most=30) > 100
