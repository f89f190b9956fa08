"""BART, Marian and T5 compute and write what `transformers` does, both ways.

The Transformer computes what `torch.nn.Transformer` does.
"""

import functools

import numpy as np
import pytest

from helpers import random_weights
from tfzoo.families import (
    BartEncoderDecoder,
    MarianEncoderDecoder,
    T5EncoderDecoder,
    TransformerEncoderDecoder,
)
from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.options import GenerationOptions
from tfzoo.layers import RelativePositionBias

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.parity

V = 60
SIZES = dict(
    vocabulary_size=V,
    num_layers=2,
    num_decoder_layers=3,
    num_heads=4,
    hidden_dim=32,
    intermediate_dim=48,
    max_sequence_length=40,
)
RELATIVE = dict(head_dim=6, num_buckets=8, max_distance=14)
MODELS = {
    "bart": (BartEncoderDecoder, {}),
    "bart, scaled": (
        BartEncoderDecoder,
        dict(scales_embedding=True, activation="relu"),
    ),
    "marian": (MarianEncoderDecoder, {}),
    "marian, two vocabularies": (
        MarianEncoderDecoder,
        dict(source_vocabulary_size=50, scales_embedding=False, activation="relu"),
    ),
    "t5": (T5EncoderDecoder, RELATIVE),
    "t5, gated and untied": (
        T5EncoderDecoder,
        dict(RELATIVE, gated=True, activation="gelu_tanh", ties_output=False),
    ),
    "t5, unscaled": (T5EncoderDecoder, dict(RELATIVE, scales_output=False)),
    "t5, gated by silu": (
        T5EncoderDecoder,
        dict(RELATIVE, gated=True, activation="silu"),
    ),
}
models = pytest.mark.parametrize("name", MODELS)


def model_of(name, **sizes):
    kind, options = MODELS[name]
    return random_weights(kind(**{**SIZES, **options, **sizes}), 0.15)


def inputs(seed=1):
    rng = np.random.default_rng(seed)
    found = {}
    for side, length in (("encoder", 24), ("decoder", 9)):
        ids = rng.integers(3, 48, (3, length)).astype(np.int32)
        found |= {f"{side}_token_ids": ids, f"{side}_padding_mask": np.ones_like(ids)}
    found["encoder_padding_mask"][1, 15:] = 0
    return found


def by_us(model, x):
    found = model(x)
    logits = model.logits(found["decoder_sequence_output"])
    return np.asarray(found["encoder_sequence_output"]), np.asarray(logits)


def by_them(model, x):
    import torch

    with torch.no_grad():
        found = model.eval()(
            input_ids=torch.tensor(x["encoder_token_ids"]).long(),
            attention_mask=torch.tensor(x["encoder_padding_mask"]),
            decoder_input_ids=torch.tensor(x["decoder_token_ids"]).long(),
        )
    return found.encoder_last_hidden_state.numpy(), found.logits.numpy()


def assert_equal(ours, theirs, x):
    real = x["encoder_padding_mask"] == 1
    for a, b in ((ours[0][real], theirs[0][real]), (ours[1], theirs[1])):
        assert np.abs(b).max() > 0.2
        np.testing.assert_allclose(a, b, atol=1e-5)


def opened(directory):
    """Their model of a directory, every tensor of which it uses."""
    import transformers

    model, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        directory, output_loading_info=True
    )
    assert not any(info.values())
    return model


def with_other_weights(model):
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if model.config.model_type == "marian" and "embed_positions" in name:
                continue  # sinusoids
            weight.normal_(std=0.15).add_(float("norm" in name and "bias" not in name))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    return model


@models
def test_transformers_opens_what_is_saved_and_what_it_saves_opens(name, tmp_path):
    ours, x = model_of(name), inputs()
    ours.save_to_preset(tmp_path / "ours")
    theirs = opened(tmp_path / "ours")
    assert_equal(by_us(ours, x), by_them(theirs, x), x)
    with_other_weights(theirs).save_pretrained(tmp_path / "theirs")
    copy = type(ours).from_preset(tmp_path / "theirs")
    assert_equal(by_us(copy, x), by_them(theirs, x), x)
    assert np.abs(by_us(copy, x)[1] - by_us(ours, x)[1]).max() > 0.1
    ours, copy = (type(ours).family.to_config(m.get_config()) for m in (ours, copy))
    assert ours == copy


def test_a_model_without_an_output_layer_opens(tmp_path):
    import torch
    import transformers

    ours, x = model_of("bart"), inputs()
    ours.save_to_preset(tmp_path / "ours")
    theirs = transformers.BartModel.from_pretrained(tmp_path / "ours")
    with_other_weights(theirs).save_pretrained(tmp_path / "theirs")
    copy = BartEncoderDecoder.from_preset(tmp_path / "theirs")
    with torch.no_grad():
        expected = theirs.eval()(
            input_ids=torch.tensor(x["encoder_token_ids"]).long(),
            attention_mask=torch.tensor(x["encoder_padding_mask"]),
            decoder_input_ids=torch.tensor(x["decoder_token_ids"]).long(),
        ).last_hidden_state
    np.testing.assert_allclose(
        copy(x)["decoder_sequence_output"], expected.numpy(), atol=1e-5
    )


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("sizes", [(32, 128), (8, 14), (64, 1000)], ids=str)
def test_the_buckets_of_all_distances_are_those_of_transformers(bidirectional, sizes):
    import torch
    from transformers.models.t5.modeling_t5 import T5Attention

    num_buckets, most = sizes
    layer = RelativePositionBias(1, num_buckets, most, bidirectional)
    layer.build()
    layer.embeddings.assign(np.arange(num_buckets)[:, None])
    seen = np.arange(-1500, 1501)
    found = np.asarray(layer.between([[0]], seen[None]))[0, 0, 0]
    theirs = T5Attention._relative_position_bucket(
        torch.tensor(seen), bidirectional, num_buckets, most
    )
    np.testing.assert_array_equal(found, theirs.numpy())


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_transformer_equals_that_of_torch(norm_first):
    import torch

    ours = TransformerEncoderDecoder(**SIZES, norm_first=norm_first)
    random_weights(ours, 0.15)
    weights = {v.path: np.asarray(v) for v in ours.trainable_variables}
    theirs = of_torch(weights, norm_first).eval()
    x = inputs()

    def embedded(side):
        table = weights["token_embedding/embeddings"]
        positions = np.arange(x[f"{side}_token_ids"].shape[1])[:, None]
        angles = positions / 10000 ** (np.arange(16) / 16)
        places = np.concatenate([np.sin(angles), np.cos(angles)], -1)
        vectors = table[x[f"{side}_token_ids"]] * 32**0.5 + places
        return torch.tensor(vectors.astype(np.float32))

    hidden = torch.tensor(x["encoder_padding_mask"] == 0)
    with torch.no_grad():
        expected = theirs(
            embedded("encoder"),
            embedded("decoder"),
            tgt_mask=torch.nn.Transformer.generate_square_subsequent_mask(9),
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
        )
    found = ours(x)["decoder_sequence_output"]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def of_torch(weights, norm_first):
    """A `torch.nn.Transformer` with the weights of ours, by path."""
    import torch
    from torch import nn

    options = dict(
        d_model=32, nhead=4, dim_feedforward=48, batch_first=True, norm_first=norm_first
    )
    last = (lambda: nn.LayerNorm(32)) if norm_first else lambda: None
    theirs = nn.Transformer(
        custom_encoder=nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**options),
            2,
            last(),
            enable_nested_tensor=False,
        ),
        custom_decoder=nn.TransformerDecoder(
            nn.TransformerDecoderLayer(**options), 3, last()
        ),
        d_model=32,
        nhead=4,
        batch_first=True,
    )
    state = {}

    def joined(ours, name, kind):
        parts = [
            weights[f"{ours}/{part}/{kind}"].T for part in ("query", "key", "value")
        ]
        state[name] = np.concatenate(parts)

    def linear(ours, name):
        state[f"{name}.weight"] = weights[f"{ours}/kernel"].T
        state[f"{name}.bias"] = weights[f"{ours}/bias"]

    def norm(ours, name):
        state[f"{name}.weight"] = weights[f"{ours}/gamma"]
        state[f"{name}.bias"] = weights[f"{ours}/beta"]

    for side, count in (("encoder", 2), ("decoder", 3)):
        attentions = {"self_attention": "self_attn"}
        if side == "decoder":
            attentions["cross_attention"] = "multihead_attn"
        for i in range(count):
            ours, layer = f"{side}_layer_{i}", f"{side}.layers.{i}"
            for place, name in attentions.items():
                joined(f"{ours}/{place}", f"{layer}.{name}.in_proj_weight", "kernel")
                joined(f"{ours}/{place}", f"{layer}.{name}.in_proj_bias", "bias")
                linear(f"{ours}/{place}/output", f"{layer}.{name}.out_proj")
            linear(f"{ours}/feed_forward/intermediate", f"{layer}.linear1")
            linear(f"{ours}/feed_forward/output", f"{layer}.linear2")
            for number, place in enumerate((*attentions, "feed_forward"), 1):
                norm(f"{ours}/{place}_norm", f"{layer}.norm{number}")
        if norm_first:
            norm(f"{side}_final_norm", f"{side}.norm")
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    return theirs


N, NEW = 100, 14
TOKENS = {  # start, end, padding, and the forced first and last
    "bart": (2, 2, 1, (0, 2)),
    "marian": (59, 0, 59, (-1, 0)),
    "marian, two vocabularies": (49, 0, 49, (-1, 0)),
    "t5": (0, 13, 0, None),
    "t5, gated and untied": (0, 4, 0, None),
}
SEARCHES = {
    "greedy": dict(num_beams=1),
    "greedy, all processors": dict(
        num_beams=1,
        min_new_tokens=4,
        repetition_penalty=1.3,
        no_repeat_ngram_size=2,
        bad_words_ids=[[7], [9, 11]],
    ),
    "beams": dict(num_beams=4),
    "beams that stop early": dict(
        num_beams=4, early_stopping=True, length_penalty=0.6, no_repeat_ngram_size=2
    ),
    "beams that never stop early": dict(
        num_beams=4, early_stopping="never", length_penalty=2.0, min_new_tokens=5
    ),
    "beams, all processors": dict(
        num_beams=4, repetition_penalty=1.2, bad_words_ids=[[7], [9, 11]]
    ),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Function of a name that returns our generation and their model."""

    @functools.cache
    def make(name):
        # The cache of `transformers` needs as many layers in T5's decoder.
        layers = dict(num_decoder_layers=2) if name.startswith("t5") else {}
        ours = random_weights(model_of(name, **layers), 0.3, seed=2)
        path = tmp_path_factory.mktemp("pair") / "model"
        ours.save_to_preset(path)
        return CompiledGeneration(ours, jit_compile=False), opened(path).eval()

    return make


@functools.cache
def sources():
    rng = np.random.default_rng(0)
    return [rng.integers(3, 48, rng.integers(3, 17)).tolist() for _ in range(N)]


def written_by_them(model, search, start, end, pad, forced):
    """(ids, score) of each beam of each source; the score of greedy is None."""
    import torch

    longest = max(map(len, sources()))
    ids = [[*row, *[pad] * (longest - len(row))] for row in sources()]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in sources()]
    first, last = forced or (-1, -1)
    with torch.no_grad():
        found = model.generate(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            max_new_tokens=NEW,
            do_sample=False,
            num_return_sequences=search["num_beams"],
            return_dict_in_generate=True,
            output_scores=True,
            decoder_start_token_id=start,
            eos_token_id=end,
            pad_token_id=pad,
            forced_bos_token_id=None if first < 0 else first,
            forced_eos_token_id=None if last < 0 else last,
            **search,
        )
    rows = [row[1:] for row in found.sequences.tolist()]
    rows = [row[: row.index(end) + 1] if end in row else row for row in rows]
    scores = getattr(found, "sequences_scores", None)
    scores = [None] * len(rows) if scores is None else scores.tolist()
    rows, beams = [*zip(rows, scores, strict=True)], search["num_beams"]
    return [rows[i : i + beams] for i in range(0, len(rows), beams)]


def written_by_us(generation, search, start, end, pad, forced):
    beams = search["num_beams"]
    run = generation.start(
        [[start]] * N,
        GenerationOptions(max_new_tokens=NEW, num_return_sequences=beams, **search),
        [end],
        generation.memory(sources(), pad),
        forced=forced,
    )
    while run.advance(NEW):
        pass
    return run.results()


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", TOKENS)
def test_a_hundred_targets_are_those_of_transformers(pair, name, search):
    ours, theirs = pair(name)
    found, expected = (
        write(model, SEARCHES[search], *TOKENS[name])
        for write, model in ((written_by_us, ours), (written_by_them, theirs))
    )
    ends = {ids[-1] for beams in expected for ids, _ in beams}
    assert TOKENS[name][1] in ends
    for mine, beams in zip(found, expected, strict=True):
        for (ids, score), (other_ids, other_score) in zip(mine, beams, strict=True):
            if score is not None:
                assert score == pytest.approx(other_score, abs=1e-4)
            if ids != other_ids:  # only if another beam has the same score
                assert score is not None
                equal = [i for i, s in beams if abs(s - score) < 1e-4]
                # Of those that tie with the last beam, either may be left out.
                assert ids in equal or score == pytest.approx(beams[-1][1], abs=1e-4)
