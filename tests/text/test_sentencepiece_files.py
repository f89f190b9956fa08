"""SentencePiece files: written, read, of several families, and invalid ones."""

import json
import resource
import time

import pytest
import tensorflow as tf

from sentencepiece_models import LINES, bpe_json, trained, unigram_json, write_marian
from tfzoo.errors import OutputError, TfzooError, TokenizerError
from tfzoo.text import Layout, SentencePieceTokenizer, tokenizer_from_preset
from tfzoo.text.sentencepiece.model_file import parsed


def changed(change):
    """The bytes of the trained model after a change of its `ModelProto`."""
    proto = parsed(trained().model)
    change(proto)
    return proto.SerializeToString()


@pytest.mark.parametrize(
    "options, name",
    [
        ({}, "spiece.model"),
        ({"start_token": "<s>"}, "tokenizer.model"),
        ({"end_token": None, "pad_token": None}, "tokenizer.model"),
    ],
    ids=str,
)
def test_a_saved_model_is_read_back_equal(options, name, tmp_path):
    tokenizer = trained(**options)
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    assert (tmp_path / name).read_bytes() == tokenizer.model
    assert tokenizer_from_preset(tmp_path).get_config() == tokenizer.get_config()
    with pytest.raises(OutputError, match="already exists"):
        tokenizer.save_to_preset(tmp_path)


@pytest.mark.parametrize("model", [unigram_json, bpe_json])
def test_a_saved_json_model_is_read_back_equal(model, tmp_path):
    tokenizer = SentencePieceTokenizer(
        model(), end_token="<unk>", layout=Layout(last="end", second_segment=0)
    )
    tokenizer.save_to_preset(tmp_path)
    assert tokenizer_from_preset(tmp_path).get_config() == tokenizer.get_config()


def test_a_bpe_as_in_llama_merges_in_the_order_of_its_list():
    tokenizer = SentencePieceTokenizer(bpe_json())
    texts = ["ab abc", "abab", " ab", "\u65e5 ab", "", "ccbca"]
    ids = tokenizer.tokenize(texts)
    pieces = [tokenizer.id_to_token(index) for index in ids[0]]
    assert pieces == ["\u2581ab", "\u2581ab", "c"]
    assert tokenizer.graph(tf.constant(texts)).to_list() == ids
    assert tokenizer.detokenize(ids) == texts


def test_xlm_r_shifts_the_ids_as_fairseq_does(tmp_path):
    def fairseq(proto):
        for piece, name in zip(proto.pieces, ("<unk>", "<s>", "</s>"), strict=False):
            piece.piece, piece.type = name, 2 if name == "<unk>" else 3

    content = changed(fairseq)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(content)
    tokenizer = tokenizer_from_preset(tmp_path)
    plain = SentencePieceTokenizer(content)
    assert tokenizer.vocabulary[:5] == (
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        plain.vocabulary[3],
    )
    expected = [index + 1 for index in plain.tokenize(LINES[0])]
    assert tokenizer.encode(LINES[0]).token_ids == [0, *expected, 2]
    assert tokenizer.id_to_token(tokenizer.mask_id) == "<mask>"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: p.trainer_spec.ClearField("model_type"), None),
        (lambda p: setattr(p.trainer_spec, "model_type", 4), "unigram or bpe"),
        (
            lambda p: setattr(p.trainer_spec, "treat_whitespace_as_suffix", True),
            "treat_whitespace_as_suffix: This must be False",
        ),
        (
            lambda p: setattr(p.normalizer_spec, "escape_whitespaces", False),
            "escape_whitespaces: This must be True",
        ),
        (lambda p: setattr(p.pieces[9], "piece", p.pieces[8].piece), "must be unique"),
        (lambda p: setattr(p.pieces[9], "piece", ""), "non-empty string"),
        (lambda p: setattr(p.pieces[9], "score", float("nan")), "score must be"),
        (lambda p: setattr(p.pieces[2], "type", 1), "One piece must be unknown"),
        (lambda p: setattr(p.pieces[9], "type", 6), "piece of a byte"),
        (
            lambda p: setattr(p.normalizer_spec, "precompiled_charsmap", b"\0\4\0\0ab"),
            "trie of a charsmap must be whole blocks",
        ),
    ],
)
def test_a_model_that_breaks_a_rule_is_refused_with_the_rule(change, message):
    content = changed(change)
    if message is None:
        SentencePieceTokenizer(content)
    else:
        with pytest.raises(TokenizerError, match=message):
            SentencePieceTokenizer(content)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: m["model"].update(unk_id=None), "id of a piece"),
        (lambda m: m["model"].update(type="WordLevel"), '"Unigram" or "BPE"'),
        (lambda m: m["model"]["vocab"].append(["<unk>", 1.0]), "must be unique"),
        (lambda m: m.update(normalizer={"type": "Lowercase"}), "normalizer: This must"),
        (
            lambda m: m.update(
                normalizer={"type": "Sequence", "normalizers": [m["normalizer"], 3]}
            ),
            "must be a list of objects",
        ),
        (lambda m: m.update(pre_tokenizer=None), "must replace spaces"),
        (
            lambda m: m.update(decoder={"type": "WordPiece"}),
            "decoder must be Metaspace",
        ),
    ],
)
def test_a_json_model_that_breaks_a_rule_is_refused_with_the_rule(change, message):
    model = json.loads(json.dumps(unigram_json()))
    change(model)
    with pytest.raises(TokenizerError, match=message):
        SentencePieceTokenizer(model)


def test_a_directory_without_a_model_or_of_another_class_is_refused(tmp_path):
    with pytest.raises(TokenizerError, match=r"must contain tokenizer\.json, spiece"):
        SentencePieceTokenizer.from_preset(tmp_path)
    (tmp_path / "spiece.model").write_bytes(trained().model)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Albert"}')
    with pytest.raises(TokenizerError, match="class must be one of T5Tokenizer"):
        SentencePieceTokenizer.from_preset(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["spiece.model", "tokenizer.json", "bpe", "vocab.json"]
)
def test_scrambled_files_are_refused_or_work(name, tmp_path, refusals):
    if name == "vocab.json":
        write_marian(tmp_path)
    elif name == "spiece.model":
        trained().save_to_preset(tmp_path)
    else:
        model = bpe_json() if name == "bpe" else unigram_json()
        SentencePieceTokenizer(model).save_to_preset(tmp_path)
        name = "tokenizer.json"
    slowest = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def opened():
        nonlocal slowest
        start = time.perf_counter()
        try:
            tokenizer = tokenizer_from_preset(tmp_path)
            tokenizer.detokenize(tokenizer.encode("The quick \u65e5 e\u0301").token_ids)
        except TfzooError:
            raise
        finally:
            slowest = max(slowest, time.perf_counter() - start)

    assert refusals(tmp_path / name, opened) > 50
    assert slowest < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
