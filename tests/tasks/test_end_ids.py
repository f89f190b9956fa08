"""Where a generated text ends, and which file determines it."""

import json
import logging
import shutil

import keras
import pytest
import tensorflow as tf

from tfzoo.errors import CheckpointError
from tfzoo.tasks import CausalLM

PROMPTS = ["the cat", "a dog ran on the mat and sat", "x"]
GRAPH = dict(max_new_tokens=12, jit_compile=False)


@pytest.fixture(scope="module")
def plain(make_gpt, byte_tokenizer):
    return CausalLM(make_gpt(max_sequence_length=64), byte_tokenizer)


@pytest.fixture(scope="module")
def common(plain):
    """An id that occurs in a text, and the ids of the text up to it."""
    found = plain.generate(PROMPTS[1], return_dict_in_generate=True, **GRAPH).token_ids
    return found[5], found[: found.index(found[5]) + 1]


@pytest.fixture(scope="module")
def model(make_gpt, byte_tokenizer, common):
    ids = [byte_tokenizer.end_id, common[0]]
    backbone = make_gpt(max_sequence_length=64)
    return CausalLM(backbone, byte_tokenizer, end_token_ids=ids)


def test_a_text_ends_at_each_of_the_tasks_end_ids(model, plain, common, byte_tokenizer):
    found = model.generate(PROMPTS[1], return_dict_in_generate=True, **GRAPH)
    assert found.token_ids == common[1]
    assert "".join(model.stream(PROMPTS[1], **GRAPH)) == found.text
    for none in ([], byte_tokenizer.end_id):
        longer = model.generate(PROMPTS, eos_token_id=none, **GRAPH)
        assert longer == plain.generate(PROMPTS, **GRAPH)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        dict(num_beams=3),
        dict(penalty_alpha=0.4),
        dict(assistant_model=...),
        dict(temperature=1.0, seed=1),
        dict(jit_compile=True),
    ],
    ids=str,
)
def test_no_search_continues_after_an_end_id(model, options):
    if "assistant_model" in options:
        options = dict(assistant_model=model)
    options = {**GRAPH, **options, "return_dict_in_generate": True}
    for result in model.generate(PROMPTS, **options):
        assert not {*model.end_token_ids} & {*result.token_ids[:-1]}


@pytest.mark.slow
def test_a_served_text_ends_at_the_same_ids(model, tmp_path):
    model.export(tmp_path / "served", max_new_tokens=12)
    served = tf.saved_model.load(tmp_path / "served").signatures["serving_default"]
    texts = served(prompt=tf.constant(PROMPTS))["text"].numpy()
    expected = model.generate(PROMPTS, **GRAPH)
    assert [text.decode("utf-8", "replace") for text in texts] == expected


def test_end_ids_are_saved_and_restored(model, tmp_path):
    model.save(tmp_path / "gpt.keras")
    copy = keras.saving.load_model(tmp_path / "gpt.keras")
    assert copy.end_token_ids == model.end_token_ids
    model.save_to_preset(tmp_path / "gpt")
    fields = json.loads((tmp_path / "gpt" / "generation_config.json").read_text())
    assert fields["eos_token_id"] == model.end_token_ids
    copy = CausalLM.from_preset(tmp_path / "gpt")
    assert copy.end_token_ids == copy.in_float32().end_token_ids == model.end_token_ids


@pytest.fixture(scope="module")
def saved(plain, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "gpt"
    plain.save_to_preset(directory)
    return directory


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of the saved model, for the test to change."""
    return shutil.copytree(saved, tmp_path / "gpt")


def with_fields(directory, own, config):
    """The directory with these end ids in its files; None: null, ...: absent."""
    for name, value in (("generation_config.json", own), ("config.json", config)):
        fields = json.loads((directory / name).read_text())
        fields["eos_token_id"] = value
        if value is ...:
            del fields["eos_token_id"]
        (directory / name).write_text(json.dumps(fields))
    return directory


@pytest.mark.parametrize(
    ("own", "config", "expected"),
    [
        (5, 7, [5]),
        ([5, 6], 7, [5, 6]),
        (None, [7, 8], [7, 8]),
        (..., 7, [7]),
        (5, 9999, [5]),
        (..., None, None),
        (..., ..., None),
    ],
)
def test_generation_config_takes_precedence_over_config(
    preset, byte_tokenizer, own, config, expected
):
    model = CausalLM.from_preset(with_fields(preset, own, config))
    assert model.end_token_ids == (expected or [byte_tokenizer.end_id])
    model = CausalLM.from_preset(preset, end_token_ids=[3])
    assert model.end_token_ids == [3]


@pytest.mark.parametrize("ids", [-1, "5", 5.0, True, [], [5, -1], [[5]], {"a": 5}])
@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_invalid_end_ids_are_reported_with_their_file(preset, ids, name):
    own = ids if name == "generation_config.json" else None
    with_fields(preset, own, ids)
    with pytest.raises(CheckpointError, match=f"{name}: eos_token_id: .*id >= 0"):
        CausalLM.from_preset(preset)


@pytest.mark.parametrize("ids", [280, [5, 280]])
def test_an_end_id_beyond_the_vocabulary_is_logged_and_ignored(
    preset, byte_tokenizer, caplog, ids
):
    model = CausalLM.from_preset(with_fields(preset, ids, None))
    assert model.end_token_ids == ([5] if ids != 280 else [byte_tokenizer.end_id])
    assert (
        "eos_token_id: 280 is ignored, because ids must be in [0, 279]" in caplog.text
    )


@pytest.mark.parametrize("ids", [[], [280], [-1], ["a"], [True]])
def test_end_ids_outside_the_vocabulary_are_refused(make_gpt, byte_tokenizer, ids):
    with pytest.raises(ValueError, match="end_token_ids must contain"):
        CausalLM(make_gpt(), byte_tokenizer, end_token_ids=ids)
    assert CausalLM(make_gpt(), byte_tokenizer, end_token_ids=5).end_token_ids == [5]


def test_other_options_in_a_file_are_logged_in_one_line(preset, caplog):
    path = preset / "generation_config.json"
    neutral = dict(do_sample=False, top_p=1.0, num_beams=1, use_cache=True, top_k=0)
    path.write_text(json.dumps({**neutral, "transformers_version": "5", "top_k": None}))
    with caplog.at_level(logging.WARNING, "tfzoo"):
        CausalLM.from_preset(preset)
        assert "not applied" not in caplog.text
        path.write_text(json.dumps({**neutral, "temperature": 0.6, "max_length": 50}))
        CausalLM.from_preset(preset)
    (record,) = [r for r in caplog.records if "not applied" in r.getMessage()]
    assert "generation_config.json: not applied" in record.getMessage()
    assert record.getMessage().endswith("temperature=0.6, max_length=50")
