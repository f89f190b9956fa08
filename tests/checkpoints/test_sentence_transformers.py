"""The files of sentence-transformers, as in published models."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.checkpoints.sentence_transformers import read_modules, write_modules
from tfzoo.errors import CheckpointError

# The files of all-MiniLM-L6-v2, written by version 2, and the model saved by 6.2
V2 = {
    "modules.json": [
        {
            "idx": 0,
            "name": "0",
            "path": "",
            "type": "sentence_transformers.models.Transformer",
        },
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
        {
            "idx": 2,
            "name": "2",
            "path": "2_Normalize",
            "type": "sentence_transformers.models.Normalize",
        },
    ],
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
    "1_Pooling/config.json": {
        "word_embedding_dimension": 384,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    },
}
_NEW_TYPES = (
    "sentence_transformers.base.modules.transformer.Transformer",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "sentence_transformers.base.modules.normalize.Normalize",
)
V6 = {
    "modules.json": [
        {**module, "type": kind}
        for module, kind in zip(V2["modules.json"], _NEW_TYPES, strict=True)
    ],
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
        "module_output_name": "token_embeddings",
    },
    "1_Pooling/config.json": {
        "embedding_dimension": 384,
        "pooling_mode": "mean",
        "include_prompt": True,
    },
    "config_sentence_transformers.json": {
        "default_prompt_name": None,
        "prompts": {"document": "", "query": ""},
    },
    "tokenizer_config.json": {"model_max_length": 256},
}


def written(directory, files, **changes):
    """The files with some replaced; `/` in a name is written `__`."""
    for name, content in {**files, **changes}.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return directory


def read(directory, num_positions=512):
    return read_modules(directory, hidden_dim=384, num_positions=num_positions)


@pytest.mark.parametrize("files", [V2, V6], ids=["version 2", "version 6"])
def test_pooling_is_read_from_published_files(files, tmp_path):
    assert read(written(tmp_path, files)) == {
        "pooling": "mean",
        "normalize": True,
        "max_sequence_length": 256,
    }


def test_without_the_normalize_module_vectors_keep_their_length(tmp_path):
    files = {**V2, "modules.json": V2["modules.json"][:2]}
    assert read(written(tmp_path, files))["normalize"] is False


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_other_poolings_are_read(config, pooling, tmp_path):
    files = {**V2, "1_Pooling/config.json": config}
    assert read(written(tmp_path, files))["pooling"] == pooling


def test_a_directory_without_modules_gives_no_options(tmp_path):
    assert read(tmp_path) == {}


def test_a_length_beyond_the_positions_in_the_tokenizers_file_is_ignored(tmp_path):
    unlimited = {"model_max_length": 1000000000000000019884624838656}
    directory = written(tmp_path, {**V6, "tokenizer_config.json": unlimited})
    assert "max_sequence_length" not in read(directory)


def test_written_files_equal_the_published_ones(tmp_path):
    write_modules(
        tmp_path,
        pooling="mean",
        normalize=True,
        hidden_dim=384,
        max_sequence_length=256,
    )
    found = {
        str(path.relative_to(tmp_path)): json.loads(path.read_text())
        for path in tmp_path.rglob("*.json")
    }
    assert found == V2


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [True, False])
def test_written_files_are_read_back(pooling, normalize, tmp_path):
    arguments = dict(pooling=pooling, normalize=normalize, max_sequence_length=99)
    write_modules(tmp_path, hidden_dim=384, **arguments)
    assert read(tmp_path) == arguments


def chain(*kinds, path=""):
    return [{"type": f"x.{kind}", "path": path} for kind in kinds]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules.json": {}}, r"modules.json: .*one JSON list"),
        ({"modules.json": [1]}, r"modules.json: \[0\]: .*a type and a path"),
        (
            {"modules.json": chain("Transformer", "Pooling", "Dense")},
            "Received: Transformer, Pooling, Dense",
        ),
        ({"modules.json": chain("StaticEmbedding")}, "Received: StaticEmbedding"),
        ({"modules.json": []}, "modules.json: The modules must be"),
        (
            {"modules.json": chain("Transformer", "Pooling", path="0_Transformer")},
            "directory itself. Received: '0_Transformer'",
        ),
        (
            {"modules.json": chain("Transformer", "Pooling")},
            "must be a folder name. Received: ''",
        ),
        (
            {
                "modules.json": [
                    *chain("Transformer"),
                    *chain("Pooling", path="../elsewhere"),
                ]
            },
            "must be a folder name. Received: '../elsewhere'",
        ),
        (
            {"modules.json": [*chain("Transformer"), *chain("Pooling", path="/etc")]},
            "must be a folder name. Received: '/etc'",
        ),
        (
            {"1_Pooling__config.json": {"pooling_mode_max_tokens": True}},
            r"config.json: pooling_mode: .*Received: \['max'\]",
        ),
        (
            {"1_Pooling__config.json": {"pooling_mode": ["mean", "cls"]}},
            r"Received: \['mean', 'cls'\]",
        ),
        ({"1_Pooling__config.json": {"pooling_mode": 3}}, "Received: 3"),
        ({"1_Pooling__config.json": {}}, r"pooling_mode: .*Received: \[\]"),
        ({"1_Pooling__config.json": "{"}, "1_Pooling/config.json:1: Not valid JSON"),
        (
            {
                "1_Pooling__config.json": {
                    "pooling_mode": "mean",
                    "embedding_dimension": 768,
                }
            },
            "embedding_dimension: Must be the backbone's hidden size, 384. "
            "Received: 768",
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": 513}},
            "max_seq_length: Must be from 3 to 512.*Received: 513",
        ),
        ({"sentence_bert_config.json": {"max_seq_length": "9"}}, "Received: '9'"),
        (
            {"sentence_bert_config.json": {"do_lower_case": True}},
            "do_lower_case: Lowercasing .* not supported",
        ),
        (
            {"config_sentence_transformers.json": {"default_prompt_name": "query"}},
            "default_prompt_name: Prompts are not supported. Received: 'query'",
        ),
    ],
)
def test_unsupported_and_broken_files_are_named(changes, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        read(written(tmp_path, V2, **changes))


def test_a_missing_file_of_the_pooling_is_named(tmp_path):
    written(tmp_path, V2)
    (tmp_path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="1_Pooling/config.json: .*not exist"):
        read(tmp_path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
    ),
    max_leaves=5,
)


@given(data=st.data())
def test_any_other_content_is_read_or_refused(data, tmp_path_factory):
    files = json.loads(json.dumps(data.draw(st.sampled_from([V2, V6]))))
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    if data.draw(st.booleans()):
        content = data.draw(_JSON)
    else:  # one field of one object
        target = (
            content
            if isinstance(content, dict)
            else data.draw(st.sampled_from(content))
        )
        target[data.draw(st.sampled_from(sorted(target)))] = data.draw(_JSON)
    text = json.dumps(content)
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    directory = written(tmp_path_factory.mktemp("fuzz"), {**files, name: text})
    try:
        found = read(directory)
    except CheckpointError as e:
        assert "\n" not in str(e)
    else:
        assert found["pooling"] in ("mean", "cls")
        assert 2 < found.get("max_sequence_length", 3) <= 512
