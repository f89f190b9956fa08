"""Published Llamas with what `transformers` computed of them.

stories260K, and SmolLM2-135M-Instruct in the directory `$TFZOO_SMOLLM2`.
"""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks import from_preset


@pytest.fixture(scope="module")
def directory(shared_data):
    place = shared_data.parent / "models" / "stories260K-llama"
    if not place.is_dir():
        pytest.skip(f"no {place}")
    return place


@pytest.fixture(scope="module")
def stories(directory):
    return from_preset(directory)


@pytest.fixture(scope="module")
def expected(directory):
    """What `transformers` computed, and the text that llama2.c documents."""
    with np.load(directory / "expected.npz") as arrays:
        notes = json.loads((directory / "expected.json").read_text())
        return {**arrays, **notes}


def test_the_logits_of_stories260k_are_the_published_ones(stories, expected):
    ids, mask = (expected[name] for name in ("input_ids", "attention_mask"))
    inputs = {"token_ids": ids.astype("int32"), "padding_mask": mask.astype("int32")}
    found = np.asarray(stories.backbone.logits(stories.backbone(inputs)))
    np.testing.assert_allclose(
        found[mask == 1], expected["logits"][mask == 1], atol=1e-4
    )


def test_the_texts_of_stories260k_are_the_published_ones(stories, expected):
    prompts = expected["prompts"]
    found = stories.generate(
        prompts, max_new_tokens=40, jit_compile=False, return_dict_in_generate=True
    )
    for one, ids in zip(found, expected["greedy_40"], strict=True):
        assert one.token_ids == ids.tolist()
    texts = [p + one.text for p, one in zip(prompts, found, strict=True)]
    assert texts == expected["greedy_texts"]
    story = stories.generate("", max_new_tokens=256, jit_compile=False)
    assert story.strip() == expected["documented_greedy_text"]


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_served_stories260k_gives_the_same_texts(
    stories, expected, jit_compile, tmp_path
):
    path = tmp_path / "stories"
    stories.export(path, max_new_tokens=40, jit_compile=jit_compile)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    prompts = expected["prompts"]
    found = [t.decode() for t in served(prompt=tf.constant(prompts))["text"].numpy()]
    texts = [p + text for p, text in zip(prompts, found, strict=True)]
    assert texts == expected["greedy_texts"]


@pytest.mark.slow
def test_smollm2_computes_what_transformers_does():
    place = pathlib.Path(os.environ.get("TFZOO_SMOLLM2", ""))
    if not (place / "expected.npz").is_file():
        pytest.skip("TFZOO_SMOLLM2 does not name the directory of the model")
    model = from_preset(place)
    notes = json.loads((place / "expected.json").read_text())
    prompts = notes["prompts"]
    assert model.tokenizer.tokenize(prompts) == notes["prompt_ids"]
    with np.load(place / "expected.npz") as expected:
        for ids, last in zip(notes["prompt_ids"], expected["last_logits"], strict=True):
            row = np.array([ids], np.int32)
            hidden = model.backbone({"token_ids": row, "padding_mask": row * 0 + 1})
            found = model.backbone.logits(hidden[:, -1])
            np.testing.assert_allclose(found[0], last, atol=3e-4)
        found = model.generate(
            prompts,
            max_new_tokens=24,
            min_new_tokens=24,
            jit_compile=False,
            return_dict_in_generate=True,
        )
        greedy = expected["greedy_24"].tolist()
    assert [one.token_ids for one in found] == greedy
