"""A published Llama: stories260K, of which `transformers` computed the answers."""

import json

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
