"""A family defined in this file: everything supports it, and nothing else names it.

Grouped queries, rotary positions, norms of queries and keys, a window, no biases, a
gated network, RMSNorm and an untied output layer; and texts that start with a special
token, which only its declaration specifies.
"""

import functools
import json

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import sentencepiece_models
from helpers import beams_by_numpy, contrastive_by_numpy, random_weights
from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import Stored, plain
from tfzoo.families.family import BACKBONES, Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import (
    Attention,
    GatedFeedForward,
    RMSNorm,
    Rotary,
    TransformerLayer,
)
from tfzoo.models import Decoder
from tfzoo.models.arguments import own_arguments
from tfzoo.tasks import CausalLM, from_preset
from tfzoo.text import (
    ByteBPETokenizer,
    Layout,
    SentencePieceTokenizer,
    tokenizer_classes,
    tokenizer_from_preset,
)
from tfzoo.text.sentencepiece.piece_model import BYTES
from tfzoo.text.tokenizer_classes import BYTE_BPE, TokenizerClass

LAYOUT = Layout("start", repeats_first=True)
TOKENS = {"start_token": "<s>", "end_token": "</s>"}
OURS, THEIRS = "transformer_layer_{i}", "blocks.{i}"


def kernel(path, name):
    return {f"{OURS}/{path}/kernel": Stored(f"{THEIRS}.{name}.w", transposed=True)}


TOY = Family(
    model_type="tfzoo_toy",
    class_name="ToyModel",
    prefix="toy.",
    fields={
        "vocabulary_size": fields.size("vocab"),
        "num_layers": fields.size("depth"),
        "num_heads": fields.size("heads"),
        "num_key_value_heads": fields.size("kv_heads"),
        "hidden_dim": fields.size("width"),
        "intermediate_dim": fields.size("inner"),
        "max_sequence_length": fields.size("context"),
        "window": fields.size("window"),
        "activation": fields.activation("act", "silu"),
    },
    fixed={"biases": False},
    names={
        **plain("token_embedding/embeddings", "table"),
        **plain("final_norm/gamma", "norm"),
        **kernel("self_attention/query", "q"),
        **kernel("self_attention/key", "k"),
        **kernel("self_attention/value", "v"),
        **kernel("self_attention/output", "o"),
        **plain(f"{OURS}/self_attention/query_norm/gamma", f"{THEIRS}.q_norm"),
        **plain(f"{OURS}/self_attention/key_norm/gamma", f"{THEIRS}.k_norm"),
        **plain(f"{OURS}/self_attention_norm/gamma", f"{THEIRS}.norm_1"),
        **kernel("feed_forward/gate", "gate"),
        **kernel("feed_forward/intermediate", "up"),
        **kernel("feed_forward/output", "down"),
        **plain(f"{OURS}/feed_forward_norm/gamma", f"{THEIRS}.norm_2"),
    },
    output_names=plain("output_embedding/embeddings", "scores"),
    heads={"CausalLM": Head("ToyForCausalLM")},
    tied={},
    tokenizers={ByteBPETokenizer: LAYOUT, SentencePieceTokenizer: LAYOUT},
    tokenizer_classes={"ToyTokenizer": TokenizerClass(BYTE_BPE, LAYOUT, TOKENS)},
    sizes={
        "toy_tiny": dict(
            vocabulary_size=300,
            num_layers=2,
            num_heads=4,
            num_key_value_heads=2,
            hidden_dim=16,
            intermediate_dim=24,
            max_sequence_length=40,
            window=5,
        )
    },
)


class ToyDecoder(PresetBackbone, Decoder):
    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        num_key_value_heads,
        hidden_dim,
        intermediate_dim,
        max_sequence_length,
        window,
        activation="silu",
        dtype=None,
        **kwargs,
    ):
        super().__init__(
            own_arguments(locals()),
            block=functools.partial(
                TransformerLayer,
                Attention(
                    num_heads,
                    num_key_value_heads=num_key_value_heads,
                    use_bias=False,
                    head_norm=RMSNorm(),
                    rotary=Rotary(100.0),
                    window=window,
                ),
                GatedFeedForward(intermediate_dim, activation, use_bias=False),
                norm=RMSNorm(),
                norm_first=True,
                dropout=0.0,
            ),
            final_norm=RMSNorm(),
            learned_positions=False,
            ties_output=False,
            dtype=dtype,
            **kwargs,
        )


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The class, registered while the tests of this file run."""
    yield declared(TOY)(ToyDecoder)
    del BACKBONES["tfzoo_toy"], tokenizer_classes.DECLARED["ToyTokenizer"]


@pytest.fixture(scope="module")
def tokenizer():
    lines = ["the dog runs fast.", "a cat sleeps, a dog runs."] * 5
    return ByteBPETokenizer.train(lines, vocabulary_size=280, progress=False, **TOKENS)


@pytest.fixture(scope="module")
def model(toy, tokenizer):
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer)
    return CausalLM(random_weights(backbone, 0.4), tokenizer)


def test_its_weights_include_the_output_layer_and_every_part(model):
    shapes = {v.path: tuple(v.shape) for v in model.backbone.weights}
    size = model.backbone.vocabulary_size
    assert shapes["output_embedding/embeddings"] == (size, 16)
    assert shapes["transformer_layer_1/self_attention/key/kernel"] == (16, 8)
    assert not any(path.endswith(("bias", "beta")) for path in shapes)
    assert {*shapes} == {*TOY.backbone_names(model.backbone)}


def test_it_is_saved_with_its_own_names_and_reopened(model, tmp_path):
    model.save_to_preset(tmp_path / "toy")
    config = json.loads((tmp_path / "toy" / "config.json").read_text())
    assert (config["model_type"], config["kv_heads"]) == ("tfzoo_toy", 2)
    tensors = safetensors.numpy.load_file(tmp_path / "toy" / "model.safetensors")
    assert tensors["toy.blocks.0.k.w"].shape == (8, 16) and "scores" in tensors
    other = from_preset(tmp_path / "toy")
    model.save(tmp_path / "toy.keras")
    loaded = keras.saving.load_model(tmp_path / "toy.keras")
    ids = np.array([model.tokenizer.tokenize("the dog runs")], np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    for copy in (other, loaded):
        assert type(copy) is CausalLM and type(copy.backbone) is ToyDecoder
        assert copy.tokenizer.get_config() == model.tokenizer.get_config()
        np.testing.assert_array_equal(copy(inputs), model(inputs))


def test_it_learns(toy, tokenizer):
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer)
    model = CausalLM(backbone, tokenizer)
    before = [np.array(v) for v in backbone.trainable_variables]
    model.compile(learning_rate=3e-2)
    texts = ["a cat sleeps"] * 32
    losses = model.fit(texts, batch_size=8, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    for old, variable in zip(before, backbone.trainable_variables, strict=True):
        assert np.abs(old - np.asarray(variable)).max() > 0, variable.path


def test_a_cached_step_equals_the_whole(model):
    backbone = model.backbone
    ids = np.random.default_rng(0).integers(0, 250, (2, 9)).astype(np.int32)
    whole = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    state = backbone.state(2)
    for i in range(9):
        here = np.full((2, 1), i, np.int32)
        seen = np.ones((1, 1, 1, i + 1), bool)
        hidden, new = backbone.step(ids[:, i : i + 1], here, state, seen)
        state = tf.nest.map_structure(lambda *x: tf.concat(x, 2), state, new)
        np.testing.assert_allclose(hidden[:, 0], whole[:, i], atol=1e-5)


def begun(model, text):
    """The ids of a text as the model reads it."""
    return [model.tokenizer.start_id, *model.tokenizer.tokenize(text)]


def likeliest(model, ids, count):
    """The most likely ids after these, one by one, without a cache."""
    ids = [*ids]
    for _ in range(count):
        row = np.array([ids], np.int32)
        hidden = model.backbone({"token_ids": row, "padding_mask": row * 0 + 1})
        ids.append(int(np.argmax(model.backbone.logits(hidden)[0, -1])))
    return ids[-count:]


PROMPTS = ["the dog", "a", "", "a cat sleeps, a"]


def test_greedy_generation_equals_that_without_a_cache(model):
    found = model.generate(
        PROMPTS, max_new_tokens=12, jit_compile=False, return_dict_in_generate=True
    )
    for prompt, one in zip(PROMPTS, found, strict=True):
        expected = likeliest(model, begun(model, prompt), 12)
        assert one.token_ids == expected[: len(one.token_ids)]
        assert len(one.token_ids) == 12 or one.token_ids[-1] == model.tokenizer.end_id


SEARCHES = [
    dict(num_beams=2, early_stopping="never"),
    dict(penalty_alpha=0.6, top_k=3),
]


@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_other_searches_generate_with_it(model, options):
    options = dict(max_new_tokens=8, jit_compile=False, **options)
    together = model.generate(PROMPTS, **options)
    assert [model.generate(prompt, **options) for prompt in PROMPTS] == together
    assert len({*together}) > 1
    (found,) = model.generate(PROMPTS[:1], return_dict_in_generate=True, **options)
    assert found.token_ids == searched(model, begun(model, PROMPTS[0]), options)


def searched(model, prompt, options):
    """What a search finds without a cache, by NumPy."""
    backbone, end = model.backbone, model.tokenizer.end_id

    def hidden_states(rows):
        ids = np.array(rows, np.int32)
        return np.asarray(backbone({"token_ids": ids, "padding_mask": ids * 0 + 1}))

    def next_logits(ids):
        return np.asarray(backbone.logits(hidden_states([ids])))[0, -1]

    if "num_beams" in options:
        return beams_by_numpy(
            next_logits, prompt, num_beams=2, num_new=8, ends=[end], length_penalty=1
        )[0][0]
    ids = contrastive_by_numpy(
        hidden_states, next_logits, prompt, num_new=8, num_candidates=3, alpha=0.6
    )
    return ids[: ids.index(end) + 1] if end in ids else ids


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, *SEARCHES], ids=str)
def test_xla_gives_the_same(model, options):
    options = dict(max_new_tokens=8, **options)
    compiled = model.generate(PROMPTS, jit_compile=True, **options)
    assert compiled == model.generate(PROMPTS, jit_compile=False, **options)


def test_an_assistant_does_not_change_the_results(model, tokenizer):
    small = CausalLM.backbone_of_size("toy_tiny", tokenizer, num_layers=1)
    assistant = CausalLM(random_weights(small, 0.4, seed=1), tokenizer)
    options = dict(max_new_tokens=8, jit_compile=False)
    expected = model.generate(PROMPTS, **options)
    assert model.generate(PROMPTS, assistant_model=assistant, **options) == expected


def test_bfloat16_trains_and_its_steps_equal_the_whole(toy, tokenizer):
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer, dtype="mixed_bfloat16")
    model = CausalLM(backbone, tokenizer)
    model.compile(learning_rate=1e-3, run_eagerly=True)
    assert np.isfinite(model.fit(["a cat"] * 8, verbose=0).history["loss"]).all()
    ids = np.arange(9, dtype=np.int32)[None]
    whole = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    seen = np.tril(np.ones((9, 9), bool))[None, None]
    hidden, _ = backbone.step(ids, ids, backbone.state(1), seen)
    assert hidden.dtype == whole.dtype == "bfloat16"
    np.testing.assert_allclose(
        *(tf.cast(x, "float32") for x in (hidden, whole)), atol=0.05
    )


def test_a_long_prompt_keeps_its_end_and_the_start_token(model):
    prompt = "the dog runs fast, a cat sleeps. " * 9
    (found,) = model.generate(
        [prompt],
        max_new_tokens=8,
        truncation="left",
        jit_compile=False,
        return_dict_in_generate=True,
    )
    start, *ids = begun(model, prompt)
    kept = [start, *ids[-(40 - 8 - 1) :]]
    assert found.token_ids == likeliest(model, kept, 8)[: len(found.token_ids)]
    options = dict(max_new_tokens=39, jit_compile=False)
    only = model.generate(prompt, truncation="left", **options)
    assert only == model.generate("", **options)


def test_rows_of_text_are_trained_on_from_the_first_token_to_the_end(model):
    texts = ["a cat", "", "the dog runs"]
    expected = [begun(model, text) for text in texts]
    batches = tf.data.Dataset.from_tensors(tf.constant(texts))
    ((inputs, targets, weights),) = model.map_strings(batches)
    for i, ids in enumerate(expected):
        count = len(ids)
        assert inputs["token_ids"][i, :count].numpy().tolist() == ids
        assert targets[i, :count].numpy().tolist() == [*ids[1:], model.tokenizer.end_id]
        assert weights[i].numpy().sum() == count
    inside = model.encode_strings(tf.constant(texts))
    np.testing.assert_array_equal(inside["token_ids"], inputs["token_ids"])


def test_packed_documents_attend_only_to_themselves(model):
    texts = ["a cat sleeps", "the dog"]
    first, second = (begun(model, text) for text in texts)
    end = model.tokenizer.end_id
    (inputs, targets, _), *_ = model.evaluation_data(texts, batch_size=1)
    row = [end, *first, end, *second, end]
    count = len(row) - 1
    assert inputs["token_ids"][0, :count].numpy().tolist() == row[:-1]
    assert targets[0, :count].numpy().tolist() == row[1:]
    documents = [1, *[2] * (len(first) + 1), *[3] * len(second)]
    assert inputs["padding_mask"][0, :count].numpy().tolist() == documents


def test_the_first_token_is_scored_after_the_start_token(model):
    text = "a cat sleeps"
    ids = begun(model, text)
    row = np.array([ids], np.int32)
    hidden = model.backbone({"token_ids": row, "padding_mask": row * 0 + 1})
    logits = tf.nn.log_softmax(model.backbone.logits(hidden))[0].numpy()
    expected = logits[np.arange(len(ids) - 1), ids[1:]]
    found = model.score(text)
    assert found["token_ids"] == ids[1:]
    np.testing.assert_allclose(found["log_probabilities"], expected, atol=1e-5)


def test_it_is_served(model, tmp_path):
    path = model.export_version(tmp_path / "toy", max_new_tokens=8)
    served = tf.saved_model.load(str(path)).signatures
    prompts = ["the dog", "", "a cat sleeps, a", "a dog runs. " * 30]
    texts = served["serving_default"](prompt=tf.constant(prompts))["text"].numpy()
    options = dict(max_new_tokens=8, jit_compile=False, truncation="left")
    assert [text.decode() for text in texts] == model.generate(prompts, **options)
    scores = served["score"](text=tf.constant(prompts[:3]))
    for i, expected in enumerate(model.score(prompts[:3])):
        assert scores["token_count"][i] == len(expected["token_ids"])
        np.testing.assert_allclose(
            scores["log_probability"][i], expected["log_probability"], atol=1e-4
        )


def test_a_directory_has_the_family_layout_and_a_lone_tokenizer_that_of_the_file(
    model, tokenizer, tmp_path, caplog
):
    assert tokenizer.layout == Layout() and model.tokenizer.layout == LAYOUT
    model.save_to_preset(tmp_path / "toy")
    config = json.loads((tmp_path / "toy" / "config.json").read_text())
    start, end = tokenizer.start_id, tokenizer.end_id
    assert (config["bos_token_id"], config["eos_token_id"]) == (start, end)
    alone = tokenizer_from_preset(tmp_path / "toy")
    assert alone.get_config() == model.tokenizer.get_config()
    path = tmp_path / "toy" / "tokenizer.json"
    content = json.loads(path.read_text())
    last = Layout(last="end", between=("end",))
    (tmp_path / "other").mkdir()
    tokenizer.with_layout(last).save_to_preset(tmp_path / "other")
    other = json.loads((tmp_path / "other" / "tokenizer.json").read_text())
    path.write_text(json.dumps({**content, "post_processor": other["post_processor"]}))
    assert tokenizer_from_preset(tmp_path / "toy").layout == last
    caplog.clear()
    assert from_preset(tmp_path / "toy").tokenizer.layout == LAYOUT
    told = "tfzoo_toy uses the layout start a, start a start:1 b:1 instead of"
    assert any(told in record.getMessage() for record in caplog.records)


def test_files_naming_its_class_get_its_tokens_and_layout(tokenizer, tmp_path):
    tokenizer.save_to_preset(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    config = {"tokenizer_class": "ToyTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = tokenizer_from_preset(tmp_path)
    assert (found.start_id, found.end_id) == (tokenizer.start_id, tokenizer.end_id)
    assert found.layout == LAYOUT
    assert found.encode("a").token_ids == [found.start_id, *found.tokenize("a")]


@pytest.fixture(scope="module")
def with_pieces(toy):
    """The model with a tokenizer as in Llama 2: BPE with a piece for every byte."""
    tokenizer = sentencepiece_models.trained(
        algorithm="bpe", byte_fallback=True, start_token="<s>", pad_token=None
    )
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer)
    return CausalLM(random_weights(backbone, 0.4), tokenizer)


def without_bytes(tokenizer):
    """An option that keeps all but every eighth byte out of generated texts."""
    ids = [tokenizer.token_to_id(piece) for piece in BYTES]
    return [[index] for number, index in enumerate(ids) if number % 8]


PIECE_OPTIONS = dict(max_new_tokens=10, jit_compile=False)


@pytest.mark.parametrize("has_bytes", [True, False])
def test_pieces_are_generated_and_streamed(with_pieces, has_bytes):
    tokenizer, options = with_pieces.tokenizer, dict(PIECE_OPTIONS)
    if not has_bytes:
        options["bad_words_ids"] = without_bytes(tokenizer)
    found = with_pieces.generate(PROMPTS, return_dict_in_generate=True, **options)
    texts = with_pieces.generate(PROMPTS, return_full_text=True, **options)
    for prompt, one, text in zip(PROMPTS, found, texts, strict=True):
        before = begun(with_pieces, prompt)
        assert one.text == tokenizer.continuation(before, one.token_ids)
        assert "".join(with_pieces.stream(prompt, **options)) == one.text
        assert text == tokenizer.detokenize([*before, *one.token_ids])
        pieces = [tokenizer.id_to_token(index) for index in one.token_ids]
        assert has_bytes or any(piece.startswith("\u2581") for piece in pieces)


def test_pieces_stop_at_a_stop_string(with_pieces):
    options = dict(PIECE_OPTIONS, bad_words_ids=without_bytes(with_pieces.tokenizer))
    for prompt in PROMPTS:
        text = with_pieces.generate(prompt, **options)
        stop = text[2:5]
        expected = text[: text.index(stop) + len(stop)]
        found = with_pieces.generate(prompt, stop_strings=stop, **options)
        assert found == expected
        assert (
            "".join(with_pieces.stream(prompt, stop_strings=stop, **options)) == found
        )


@pytest.mark.slow
def test_pieces_are_saved_and_served(with_pieces, tmp_path):
    with_pieces.save_to_preset(tmp_path / "preset")
    tokenizer = from_preset(tmp_path / "preset").tokenizer
    assert tokenizer.get_config() == with_pieces.tokenizer.get_config()
    path = with_pieces.export_version(tmp_path / "toy", max_new_tokens=10)
    served = tf.saved_model.load(str(path)).signatures
    prompts = [*PROMPTS, "a</s>the dog", "\u65e5 \xff"]
    texts = served["serving_default"](prompt=tf.constant(prompts))["text"].numpy()
    expected = with_pieces.generate(prompts, **PIECE_OPTIONS)
    assert [text.decode() for text in texts] == expected
    ids = with_pieces.tokenizer.tokenize(prompts[-2], end_token=True)
    assert with_pieces.tokenizer.end_id in ids
    scores = served["score"](text=tf.constant(prompts[:2]))["log_probability"].numpy()
    expected = [one["log_probability"] for one in with_pieces.score(prompts[:2])]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
