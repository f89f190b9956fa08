"""Small checkpoints of TensorFlow 1 that others published, against `transformers`."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import TfzooError
from tfzoo.families import GPTDecoder
from tfzoo.tasks import BertPretrainer, CausalLM
from tfzoo.text import WordPieceTokenizer, tokenizer_from_preset


@pytest.fixture
def bert_toy(shared_data):
    return shared_data / "ckpt_tf1_bert_toy"


@pytest.fixture
def gpt2_toy(shared_data):
    return shared_data / "ckpt_tf1_gpt2_toy"


@pytest.mark.parity
def test_the_published_toy_of_bert_computes_what_transformers_does(bert_toy):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig.from_json_file(str(bert_toy / "bert_config.json"))
    theirs = transformers.BertForPreTraining(config).eval()
    reader = tf.train.load_checkpoint(str(bert_toy / "bert_model.ckpt"))
    state = theirs.state_dict()
    for name in state:
        if name in ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"):
            continue  # the same as the table and the bias
        place = name.replace("layer.", "layer_").replace(".", "/")
        place = place.replace("_embeddings/weight", "_embeddings")
        place = place.replace("LayerNorm/weight", "LayerNorm/gamma")
        place = place.replace("LayerNorm/bias", "LayerNorm/beta")
        place = place.replace("predictions/bias", "predictions/output_bias")
        place = place.replace("relationship/weight", "relationship/output_weights")
        place = place.replace("relationship/bias", "relationship/output_bias")
        turned = place.endswith("/weight")
        array = reader.get_tensor(place.replace("/weight", "/kernel"))
        state[name] = torch.tensor(array.T if turned else array)
    table = state["bert.embeddings.word_embeddings.weight"]
    state["cls.predictions.decoder.weight"] = table
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    theirs.load_state_dict(state)

    task = BertPretrainer.from_preset(bert_toy)
    assert isinstance(task.tokenizer, WordPieceTokenizer)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 15, (3, 9)).astype(np.int32)
    mask = (np.arange(9) < [[9], [6], [2]]).astype(np.int32)
    segments = ((np.arange(9) > 4) * mask).astype(np.int32)
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            token_type_ids=torch.tensor(segments),
        )
    words, following = task(
        {
            "token_ids": ids,
            "segment_ids": segments,
            "padding_mask": mask,
            "mask_positions": np.tile(np.arange(9, dtype=np.int32), (3, 1)),
        },
        training=False,
    ).values()
    kept = mask > 0
    words, logits = np.array(words), expected.prediction_logits.numpy()
    np.testing.assert_allclose(words[kept], logits[kept], rtol=0, atol=1e-5)
    logits = expected.seq_relationship_logits.numpy()
    np.testing.assert_allclose(np.array(following), logits, rtol=0, atol=1e-5)


@pytest.mark.parity
def test_the_published_toy_of_gpt2_computes_what_transformers_does(gpt2_toy):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = json.loads((gpt2_toy / "hparams.json").read_text())
    config = transformers.GPT2Config(
        vocab_size=sizes.pop("n_vocab"), n_positions=sizes.pop("n_ctx"), **sizes
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    reader = tf.train.load_checkpoint(str(gpt2_toy / "model.ckpt"))
    state = theirs.state_dict()
    for name in state:
        place = "model/" + name.removeprefix("transformer.").replace("h.", "h", 1)
        place = "model/wte" if name == "lm_head.weight" else place.replace(".", "/")
        is_norm = "/ln_" in place
        place = place.removesuffix("/weight") if "/w" in place[6:8] else place
        if place.split("/")[-2].startswith(("wte", "wpe")):
            place = place.rpartition("/")[0]
        place = place.replace("/weight", "/g" if is_norm else "/w")
        array = reader.get_tensor(place.replace("/bias", "/b"))
        state[name] = torch.tensor(array.reshape(state[name].shape))
    theirs.load_state_dict(state)
    decoder = GPTDecoder.from_preset(gpt2_toy)
    ids = np.random.default_rng(0).integers(0, 356, (3, 20)).astype(np.int32)
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor(ids)).logits.numpy()
    hidden = decoder({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    found = np.array(decoder.logits(hidden))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_published_toy_of_gpt2_has_a_vocabulary_that_is_refused(gpt2_toy):
    with pytest.raises(TfzooError, match="encoder.json: ") as error:
        CausalLM.from_preset(gpt2_toy)
    assert "Only the ids 0, 11, 502, 517, 1176, 1577, 13434" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(TfzooError):
        tokenizer_from_preset(gpt2_toy)
