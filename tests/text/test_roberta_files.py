"""RoBERTa's tokenizer files: written for `transformers`, by it, and published."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from tfzoo.errors import TokenizerError
from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer, tokenizer_from_preset
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.tokenizer_files import IGNORES_OPTIONS

LETTERS = sorted(CHARACTERS)
MERGES = [("a", "b"), ("\u0120", "ab"), ("ab", "c")]
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, "ab", "\u0120ab", "abc"]
TOKENS += ["madeupword0000", "<mask>"]
IDS = {token: index for index, token in enumerate(TOKENS)}
MERGE_LINES = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES)
TEXTS = [
    "ab abc",
    "  <mask>ab <mask>",
    "caf\u00e9\n ab\u3000<mask>",
    "",
    "\0 \U0001f981",
]
MASK = {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False}


def write(directory, name, content):
    directory.mkdir(exist_ok=True)
    content = content if isinstance(content, str) else json.dumps(content)
    (directory / name).write_text(content)


def write_pair(directory, **others):
    """vocab.json, merges.txt and other files, as in published directories."""
    write(directory, "vocab.json", IDS)
    write(directory, "merges.txt", MERGE_LINES)
    for name, content in others.items():
        write(directory, f"{name}.json", content)


@pytest.fixture(params=[False, True], ids=["plain", "prefix"])
def tokenizer(request):
    return ByteBPETokenizer(
        TOKENS, MERGES, add_prefix_space=request.param, **ROBERTA_TOKENS
    )


def assert_same(tokenizer, other):
    """Asserts equal results in `transformers`, except for special tokens in texts."""
    for name in ("pad", "cls", "sep", "mask"):
        assert getattr(other, f"{name}_token_id") == getattr(tokenizer, f"{name}_id")
    assert other.eos_token_id == tokenizer.end_id
    pairs = TEXTS[::-1]
    for texts in ((TEXTS,), (TEXTS, pairs)):
        batch = tokenizer.encode_batch(*texts, mask_token=True)
        rows = [r.tolist() for r in split(batch)]
        assert other(*texts)["input_ids"] == rows
        batch = tokenizer.encode_batch(*texts, max_length=6, mask_token=True)
        rows = [r.tolist() for r in split(batch)]
        assert other(*texts, truncation=True, max_length=6)["input_ids"] == rows
    for text, second in zip(["ab  \u00e9 abc ", " ab"], ["  ab", "ab"], strict=True):
        mine = tokenizer.encode(text, second)
        encoded = other(text, second, return_offsets_mapping=True)
        assert mine.token_ids == encoded["input_ids"]
        assert mine.offsets == encoded["offset_mapping"]
        assert mine.word_ids == encoded.word_ids()


def split(batch):
    places = batch.row_splits
    return [batch.token_ids[a:b] for a, b in zip(places[:-1], places[1:], strict=True)]


@pytest.mark.parametrize("lstrip", [True, False])
def test_a_saved_tokenizer_is_read_back_equal(tmp_path, tokenizer, lstrip):
    options = {**tokenizer.get_config(), "mask_lstrip": lstrip}
    tokenizer = ByteBPETokenizer(**options)
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    assert tokenizer_from_preset(tmp_path).get_config() == options
    (tmp_path / "tokenizer.json").unlink()
    assert tokenizer_from_preset(tmp_path).get_config() == options


def test_missing_tokens_are_not_added_when_read_back(tmp_path):
    tokenizer = ByteBPETokenizer(
        [*LETTERS, "<cls>", "<sep>"], [], cls_token="<cls>", sep_token="<sep>"
    )
    tokenizer.save_to_preset(tmp_path)
    for _ in range(2):
        other = ByteBPETokenizer.from_preset(tmp_path)
        assert other.encode("a", "b") == tokenizer.encode("a", "b")
        assert other.pad_token is other.mask_token is other.end_id is None
        (tmp_path / "tokenizer.json").unlink(missing_ok=True)


@pytest.mark.parametrize("without", ["nothing", "tokenizer.json", "vocab.json"])
@pytest.mark.parametrize("lstrip", [True, False])
@pytest.mark.parity
def test_transformers_opens_it_with_the_same_results(
    tmp_path, tokenizer, without, lstrip
):
    transformers = pytest.importorskip("transformers")
    tokenizer = ByteBPETokenizer(**{**tokenizer.get_config(), "mask_lstrip": lstrip})
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    (tmp_path / without).unlink(missing_ok=True)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(other).__name__.startswith("Roberta")
    assert other.model_max_length == 64
    assert len(other) == tokenizer.vocabulary_size
    assert_same(tokenizer, other)


@pytest.mark.parametrize("lstrip", [True, False])
@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parity
def test_what_transformers_saves_is_read(tmp_path, lstrip, prefix):
    transformers = pytest.importorskip("transformers")
    other = transformers.RobertaTokenizerFast(
        vocab=IDS,
        merges=MERGES,
        add_prefix_space=prefix,
        mask_token=AddedToken("<mask>", lstrip=lstrip),
    )
    other.save_pretrained(tmp_path)
    tokenizer = tokenizer_from_preset(tmp_path)
    assert tokenizer.mask_lstrip == lstrip
    assert tokenizer.add_prefix_space == prefix
    assert_same(tokenizer, other)


CONFIGURATIONS = {
    "names": {"special_tokens_map": {"mask_token": MASK, "cls_token": "<s>"}},
    "class": {"tokenizer_config": {"tokenizer_class": "RobertaTokenizer"}},
    "prefix": {
        "tokenizer_config": {
            "tokenizer_class": "RobertaTokenizer",
            "add_prefix_space": True,
            "mask_token": {"__type": "AddedToken", **MASK},
        }
    },
    "decoder": {
        "tokenizer_config": {
            "tokenizer_class": "RobertaTokenizer",
            "mask_token": "<mask>",
            "added_tokens_decoder": {
                str(IDS["<mask>"]): {**MASK, "lstrip": False, "special": True}
            },
        }
    },
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parity
def test_a_vocabulary_and_merges_are_read_as_in_transformers(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    write_pair(tmp_path, config={"model_type": "roberta"}, **CONFIGURATIONS[name])
    tokenizer = tokenizer_from_preset(tmp_path)
    if name == "class":  # since version 5, a plain mask token keeps the space before it
        assert tokenizer.mask_lstrip
        tokenizer = ByteBPETokenizer(**{**tokenizer.get_config(), "mask_lstrip": False})
    assert_same(tokenizer, transformers.AutoTokenizer.from_pretrained(tmp_path))


def tokenizer_json(**changes):
    """RoBERTa's published file with `changes`, such as "post_processor__sep"."""
    rust = Tokenizer(models.BPE(IDS, MERGES))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    rust.add_special_tokens([*TOKENS[:4], AddedToken("<mask>", lstrip=True)])
    content = json.loads(rust.to_str())
    for path, value in changes.items():
        *parts, last = (
            int(part) if part.isdigit() else part for part in path.split("__")
        )
        place = content
        for part in parts:
            place = place[part]
        place[last] = value
    return content


def template(single, pair):
    processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    rust = Tokenizer(models.BPE(IDS, MERGES))
    rust.post_processor = processor
    return json.loads(rust.to_str())["post_processor"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"post_processor": template("<s> $A </s>", "<s> $A </s> </s> $B </s>")},
        {"truncation": {"max_length": 8}, "padding": {"pad_id": 1}},
        {"post_processor__add_prefix_space": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", [None, "RobertaTokenizerFast", "TokenizersBackend"])
def test_a_published_tokenizer_json_is_read(tmp_path, changes, name):
    write(tmp_path, "tokenizer.json", tokenizer_json(**changes))
    tokens = {"mask_token": "<mask>", "pad_token": "<pad>", "eos_token": "</s>"}
    config = {**tokens, "tokenizer_class": name} if name else {"model_max_length": 512}
    write(tmp_path, "tokenizer_config.json", config)
    tokenizer = tokenizer_from_preset(tmp_path)
    assert tokenizer.encode("ab", "abc").token_ids == [0, 260, 2, 2, 262, 2]
    assert tokenizer.encode_batch(
        ["ab <mask>"], mask_token=True
    ).token_ids.tolist() == ([0, 260, 264, 2])
    assert (tokenizer.pad_id, tokenizer.end_id) == (1, 2)
    assert not tokenizer.add_prefix_space


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("RobertaTokenizer", [0, 260, 2, 2, 262, 2]),
        ("GPT2Tokenizer", [260, 262]),
        *((name, [260, 262]) for name in IGNORES_OPTIONS),
    ],
)
def test_without_a_layout_in_tokenizer_json_the_class_has_it(tmp_path, name, ids):
    """As in `transformers` 5."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    content = tokenizer_json(post_processor=byte_level)
    write(tmp_path, "tokenizer.json", content)
    config = {"cls_token": "<s>", "sep_token": "</s>", "tokenizer_class": name}
    write(tmp_path, "tokenizer_config.json", config)
    assert tokenizer_from_preset(tmp_path).encode("ab", "abc").token_ids == ids


def test_special_tokens_of_roberta_are_recognized_without_names(tmp_path):
    write_pair(tmp_path)
    tokenizer = tokenizer_from_preset(tmp_path)
    expected = ByteBPETokenizer(TOKENS, MERGES, **ROBERTA_TOKENS)
    assert tokenizer.get_config() == expected.get_config()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"post_processor__cls": ["<s>", 7]}, r'post_processor.cls: .*\["<s>", 7\]'),
        ({"post_processor__sep": ["absent", 0]}, "post_processor.sep: This must be a"),
        ({"post_processor__sep": 3}, "post_processor.sep: .*Received: 3"),
        ({"post_processor__trim_offsets": False}, "trim_offsets: This must be true"),
        ({"pre_tokenizer__add_prefix_space": 1}, "add_prefix_space: .*Received: 1"),
        ({"added_tokens__4__rstrip": True}, "mask_token.rstrip: This must be false"),
        ({"added_tokens__4__single_word": True}, "mask_token.single_word"),
        ({"added_tokens__4__lstrip": "no"}, 'mask_token.lstrip: .*"no"'),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_tokenizer_json_that_is_not_robertas_is_refused(tmp_path, changes, rule):
    write(tmp_path, "tokenizer.json", tokenizer_json(**changes))
    with pytest.raises(TokenizerError, match=f"tokenizer.json: .*{rule}") as raised:
        tokenizer_from_preset(tmp_path)
    assert "\n" not in str(raised.value)


def test_an_invalid_map_of_special_tokens_is_reported_with_its_field(tmp_path):
    write_pair(tmp_path, special_tokens_map={"mask_token": 3})
    rule = "special_tokens_map.json: mask_token: A token must be a string. Received: 3"
    with pytest.raises(TokenizerError, match=rule):
        tokenizer_from_preset(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    *("tokenizer post_processor", "tokenizer post_processor__cls"),
    *("tokenizer post_processor__type", "tokenizer added_tokens__4__lstrip"),
    *("tokenizer added_tokens__4", "tokenizer pre_tokenizer__add_prefix_space"),
    *("tokenizer_config mask_token", "tokenizer_config tokenizer_class"),
    *("tokenizer_config added_tokens_decoder", "tokenizer_config add_prefix_space"),
    *("tokenizer_config sep_token", "special_tokens_map cls_token"),
    *("special_tokens_map mask_token", "special_tokens_map eos_token"),
]


def test_a_token_named_null_stays_where_the_template_has_it(tmp_path):
    config = {"cls_token": None, "sep_token": None}
    write_pair(tmp_path, tokenizer=tokenizer_json(), tokenizer_config=config)
    found = tokenizer_from_preset(tmp_path)
    assert (found.cls_token, found.sep_token) == ("<s>", "</s>")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert found.encode("ab").token_ids == theirs.encode("ab").ids


def test_a_token_named_null_stands_nowhere_without_a_template(tmp_path):
    write_pair(tmp_path, tokenizer_config={"sep_token": None})
    found = tokenizer_from_preset(tmp_path)
    assert found.sep_token is None and not found.layout.tokens


@given(field=st.sampled_from(FIELDS), value=json_values, whole=st.booleans())
def test_any_value_in_any_field_is_read_or_refused_in_one_line(
    tmp_path_factory, field, value, whole
):
    directory = tmp_path_factory.mktemp("any")
    name, field = field.split()
    contents = {} if whole and name != "tokenizer" else {"tokenizer": tokenizer_json()}
    changes = {field: value}
    contents[name] = tokenizer_json(**changes) if name == "tokenizer" else changes
    write_pair(directory, **contents)
    try:
        tokenizer = tokenizer_from_preset(directory)
        assert tokenizer.detokenize(tokenizer.tokenize(" <mask>")) == " <mask>"
    except TokenizerError as error:
        assert "\n" not in str(error)
        assert ".json: " in str(error)
