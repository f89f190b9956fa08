"""Checkpoints of TensorFlow 1: Google's BERT and OpenAI's GPT-2."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import CheckpointError
from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.tasks import BertPretrainer, QuestionAnswerer, TextClassifier

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijk"]
WIDTH, INNER, POSITIONS = 8, 12, 10
BERT = {
    "vocab_size": len(WORDS),
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
NORM = {"gamma": (WIDTH,), "beta": (WIDTH,)}


def dense(inputs, outputs):
    return {"kernel": (inputs, outputs), "bias": (outputs,)}


def bert_shapes():
    """Names and shapes of the variables that run_pretraining.py saves."""
    places = {
        "bert/embeddings/LayerNorm": NORM,
        "bert/pooler/dense": dense(WIDTH, WIDTH),
        "cls/predictions/transform/dense": dense(WIDTH, WIDTH),
        "cls/predictions/transform/LayerNorm": NORM,
        "bert/embeddings": {
            "word_embeddings": (len(WORDS), WIDTH),
            "position_embeddings": (POSITIONS, WIDTH),
            "token_type_embeddings": (2, WIDTH),
        },
        "cls/predictions": {"output_bias": (len(WORDS),)},
        "cls/seq_relationship": {"output_weights": (2, WIDTH), "output_bias": (2,)},
    }
    for number in range(2):
        layer = f"bert/encoder/layer_{number}"
        for name in ("query", "key", "value"):
            places[f"{layer}/attention/self/{name}"] = dense(WIDTH, WIDTH)
        places[f"{layer}/attention/output/dense"] = dense(WIDTH, WIDTH)
        places[f"{layer}/attention/output/LayerNorm"] = NORM
        places[f"{layer}/intermediate/dense"] = dense(WIDTH, INNER)
        places[f"{layer}/output/dense"] = dense(INNER, WIDTH)
        places[f"{layer}/output/LayerNorm"] = NORM
    return {f"{p}/{n}": s for p, parts in places.items() for n, s in parts.items()}


def save(prefix, arrays):
    """A checkpoint as written by `tf.train.Saver`."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in bert_shapes().items()
    }


@pytest.fixture
def bert(arrays, tmp_path):
    """A directory like Google's, including the optimizer's state."""
    slots = {
        f"{name}/{slot}": 0 * array
        for name, array in arrays.items()
        for slot in ("adam_m", "adam_v")
    }
    save(tmp_path / "bert_model.ckpt", arrays | slots | {"global_step": np.int64(7)})
    (tmp_path / "bert_config.json").write_text(json.dumps(BERT))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


def test_every_variable_of_bert_is_where_it_belongs(bert, arrays, caplog):
    task = BertPretrainer.from_preset(bert)
    assert "New" not in caplog.text
    assert task.tokenizer.vocabulary == tuple(WORDS)
    found = {v.path: np.array(v) for v in task.variables if "seed" not in v.path}
    expected = {
        "token_embedding/embeddings": "bert/embeddings/word_embeddings",
        "position_embedding/embeddings": "bert/embeddings/position_embeddings",
        "segment_embedding/embeddings": "bert/embeddings/token_type_embeddings",
        "masked_lm_head/bias": "cls/predictions/output_bias",
        "next_sentence/bias": "cls/seq_relationship/output_bias",
    }
    places = {
        "embeddings_norm": "bert/embeddings/LayerNorm",
        "pooler": "bert/pooler/dense",
        "masked_lm_head/transform": "cls/predictions/transform/dense",
        "masked_lm_head/transform_norm": "cls/predictions/transform/LayerNorm",
    }
    for number in range(2):
        ours, theirs = f"transformer_layer_{number}", f"bert/encoder/layer_{number}"
        for name in ("query", "key", "value"):
            place = f"{theirs}/attention/self/{name}"
            places[f"{ours}/self_attention/{name}"] = place
        places |= {
            f"{ours}/self_attention/output": f"{theirs}/attention/output/dense",
            f"{ours}/self_attention_norm": f"{theirs}/attention/output/LayerNorm",
            f"{ours}/feed_forward/intermediate": f"{theirs}/intermediate/dense",
            f"{ours}/feed_forward/output": f"{theirs}/output/dense",
            f"{ours}/feed_forward_norm": f"{theirs}/output/LayerNorm",
        }
    for ours, theirs in places.items():
        for part in ("kernel", "bias", "gamma", "beta"):
            if f"{theirs}/{part}" in arrays:
                expected[f"{ours}/{part}"] = f"{theirs}/{part}"
    weights = "cls/seq_relationship/output_weights"  # (outputs, inputs) there
    np.testing.assert_array_equal(found.pop("next_sentence/kernel"), arrays[weights].T)
    assert found.keys() == expected.keys()
    for path, name in expected.items():
        np.testing.assert_array_equal(found[path], arrays[name])


def test_the_heads_of_the_fine_tuning_scripts_are_read(bert, arrays, caplog):
    encoder = {n: a for n, a in arrays.items() if n.startswith("bert/")}
    rng = np.random.default_rng(1)

    def head(prefix, outputs):
        weights = rng.normal(size=(outputs, WIDTH)).astype(np.float32)
        bias = rng.normal(size=outputs).astype(np.float32)
        heads = {f"{prefix}output_weights": weights, f"{prefix}output_bias": bias}
        save(bert / "bert_model.ckpt", encoder | heads)
        return weights, bias

    kernel, bias = head("", 3)  # run_classifier.py
    task = TextClassifier.from_preset(bert)
    assert task.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    np.testing.assert_array_equal(task.weights[-2], kernel.T)
    np.testing.assert_array_equal(task.weights[-1], bias)
    kernel, bias = head("cls/squad/", 2)  # run_squad.py
    task = QuestionAnswerer.from_preset(bert)
    np.testing.assert_array_equal(task.weights[-2], kernel.T)
    np.testing.assert_array_equal(task.weights[-1], bias)
    assert "New" not in caplog.text


def without(arrays, name):
    return {n: a for n, a in arrays.items() if n != name}


TABLE = "bert/embeddings/word_embeddings"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: without(a, TABLE), "word_embeddings.weight: .*lacks"),
        (lambda a: {**a, "bert/more": a[TABLE]}, "bert.more: .*the model lacks"),
        (lambda a: {**a, TABLE: a[TABLE][:3]}, r"Received: \(3, 8\)"),
        (lambda a: {**a, TABLE: a[TABLE] * np.nan}, "must be finite"),
        (lambda a: {**a, TABLE: a[TABLE].astype(np.int32)}, "Received: int32"),
        (lambda a: {**a, TABLE: np.array(["a"])}, r"word_embeddings.*\(1,\)"),
    ],
)
def test_an_invalid_variable_is_named(change, message, bert, arrays):
    save(bert / "bert_model.ckpt", change(arrays))
    with pytest.raises(CheckpointError, match=message) as error:
        BertEncoder.from_preset(bert)
    assert "\n" not in str(error.value)


def test_there_must_be_one_complete_checkpoint(bert):
    data = bert / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="bytes in total|Not a complete"):
        BertEncoder.from_preset(bert)
    data.unlink()
    with pytest.raises(CheckpointError, match="bytes in total|Not a complete"):
        BertEncoder.from_preset(bert)
    shutil.copy(bert / "bert_model.ckpt.index", bert / "other.index")
    with pytest.raises(CheckpointError, match="one must be named.*'other'\\."):
        BertEncoder.from_preset(bert)


def test_of_several_checkpoints_the_named_one_is_opened(bert, arrays):
    table = "bert/embeddings/word_embeddings"
    save(bert / "model.ckpt-20", {**arrays, table: arrays[table] + 1})
    state = bert / "checkpoint"
    for name, offset in (("bert_model.ckpt", 0), ("/elsewhere/model.ckpt-20", 1)):
        state.write_text(
            f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "other"\n'
        )
        found = BertEncoder.from_preset(bert).get_layer("token_embedding").embeddings
        np.testing.assert_array_equal(found, arrays[table] + offset)
    state.write_text('model_checkpoint_path: "model.ckpt-30"')
    rule = (
        "'bert_model.ckpt', 'model.ckpt-20', and the file checkpoint names 'model.*30'"
    )
    with pytest.raises(CheckpointError, match=rule):
        BertEncoder.from_preset(bert)


def test_sizes_beyond_the_checkpoint_are_refused_at_once(bert):
    for field in ("vocab_size", "num_hidden_layers", "intermediate_size"):
        (bert / "bert_config.json").write_text(json.dumps({**BERT, field: 10**8}))
        with pytest.raises(CheckpointError, match=f"{field}.*100000000"):
            BertEncoder.from_preset(bert)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_config.json",
    ],
)
def test_a_scrambled_file_opens_or_is_refused(name, bert, refusals):
    assert refusals(bert / name, lambda: BertEncoder.from_preset(bert)) > 100


@pytest.fixture
def gpt2(tmp_path):
    """A directory like OpenAI's, and its arrays."""
    rng = np.random.default_rng(0)
    shapes = {"wte": (258, 6), "wpe": (9, 6), "ln_f/g": (6,), "ln_f/b": (6,)}
    for number in range(2):
        for name, sizes in {
            "attn/c_attn": (6, 18),
            "attn/c_proj": (6, 6),
            "mlp/c_fc": (6, 24),
            "mlp/c_proj": (24, 6),
        }.items():
            shapes[f"h{number}/{name}/w"] = (1, *sizes)
            shapes[f"h{number}/{name}/b"] = sizes[1:]
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h{number}/{name}/{part}": (6,) for part in "gb"}
    arrays = {
        f"model/{name}": rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    save(tmp_path / "model.ckpt", arrays)
    sizes = {"n_vocab": 258, "n_ctx": 9, "n_embd": 6, "n_head": 2, "n_layer": 2}
    (tmp_path / "hparams.json").write_text(json.dumps(sizes))
    return tmp_path, arrays


def test_every_variable_of_gpt2_is_where_it_belongs(gpt2):
    directory, arrays = gpt2
    decoder = GPTDecoder.from_preset(directory)
    assert decoder.activation == "gelu_tanh"
    found = {v.path: np.array(v) for v in decoder.variables if "seed" not in v.path}
    expected = {
        "token_embedding/embeddings": arrays["model/wte"],
        "position_embedding/embeddings": arrays["model/wpe"],
        "final_norm/gamma": arrays["model/ln_f/g"],
        "final_norm/beta": arrays["model/ln_f/b"],
    }
    for number in range(2):
        ours, theirs = f"transformer_layer_{number}", f"model/h{number}"
        for name, norm in (("self_attention", "ln_1"), ("feed_forward", "ln_2")):
            expected[f"{ours}/{name}_norm/gamma"] = arrays[f"{theirs}/{norm}/g"]
            expected[f"{ours}/{name}_norm/beta"] = arrays[f"{theirs}/{norm}/b"]
        for part, letter in (("kernel", "w"), ("bias", "b")):
            three = arrays[f"{theirs}/attn/c_attn/{letter}"]
            three = np.split(three.reshape(-1, 18)[: 6 if letter == "w" else 1], 3, 1)
            for name, array in zip(("query", "key", "value"), three, strict=True):
                expected[f"{ours}/self_attention/{name}/{part}"] = array
            for name, place in {
                "self_attention/output": "attn/c_proj",
                "feed_forward/intermediate": "mlp/c_fc",
                "feed_forward/output": "mlp/c_proj",
            }.items():
                expected[f"{ours}/{name}/{part}"] = arrays[f"{theirs}/{place}/{letter}"]
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array.reshape(found[path].shape))
