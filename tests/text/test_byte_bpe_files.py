"""Files written and read: by `transformers`, by `tokenizers`, and invalid ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tfzoo.errors import OutputError, TokenizerError
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer, tokenizer_from_preset
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS

END = "<|endoftext|>"
LETTERS = sorted(CHARACTERS)
MERGES = [("a", "b"), ("\u0120", "ab"), ("ab", "c")]
TOKENS = [*LETTERS, "ab", "\u0120ab", "abc"]
IDS = {token: index for index, token in enumerate([*TOKENS, END])}
TEXT = f"ab abc\n caf\u00e9 {END} \U0001f981"
PAIRS = [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")]
MERGE_LINES = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES)


@pytest.fixture
def tokenizer():
    return ByteBPETokenizer(
        [*TOKENS, None, "<pad>", END], MERGES, special_tokens=["<pad>"]
    )


def write(directory, name, content):
    content = content if isinstance(content, str | bytes) else json.dumps(content)
    content = content.encode() if isinstance(content, str) else content
    (directory / name).write_bytes(content)


def test_a_saved_tokenizer_is_read_back_equal(tmp_path, tokenizer):
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    expected = tokenizer.get_config()
    assert len(list(tmp_path.iterdir())) == 4
    assert ByteBPETokenizer.from_preset(str(tmp_path)).get_config() == expected
    (tmp_path / "tokenizer.json").unlink()
    assert ByteBPETokenizer.from_preset(tmp_path).get_config() == expected


def test_another_end_token_or_none_is_read_back(tmp_path):
    for name, tokens in (("none", TOKENS), ("other", [*TOKENS, "</s>"])):
        (tmp_path / name).mkdir()
        tokenizer = ByteBPETokenizer(tokens, MERGES, end_token="</s>")
        tokenizer.save_to_preset(tmp_path / name)
        other = ByteBPETokenizer.from_preset(tmp_path / name)
        assert other.end_id == tokenizer.end_id


def test_tokenizers_opens_tokenizer_json_and_gives_the_same_ids(tmp_path, tokenizer):
    tokenizer.save_to_preset(tmp_path)
    other = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert other.encode(TEXT).ids == tokenizer.tokenize(TEXT, end_token=True)
    other.encode_special_tokens = True
    ids = tokenizer.tokenize(TEXT)
    assert other.encode(TEXT).ids == ids
    assert other.decode(ids) == tokenizer.detokenize(ids) == TEXT


@pytest.mark.parametrize("without", ["tokenizer.json", "vocab.json"])
@pytest.mark.parity
def test_transformers_opens_it_and_gives_the_same_ids(tmp_path, tokenizer, without):
    transformers = pytest.importorskip("transformers")
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    (tmp_path / without).unlink()
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(other).__name__.startswith("GPT2")
    assert other.eos_token_id == tokenizer.end_id
    assert other.model_max_length == 64
    assert other(TEXT)["input_ids"] == tokenizer.tokenize(TEXT, end_token=True)
    assert other.decode(other("ab caf\u00e9")["input_ids"]) == "ab caf\u00e9"


@pytest.mark.parity
def test_what_transformers_saves_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    other = transformers.GPT2Tokenizer(vocab=IDS, merges=MERGES)
    other.add_special_tokens({"pad_token": "<pad>"})
    other.save_pretrained(tmp_path)
    tokenizer = ByteBPETokenizer.from_preset(tmp_path)
    assert tokenizer.vocabulary == (*TOKENS, END, "<pad>")
    assert tokenizer.special_tokens == (END, "<pad>")
    assert tokenizer.tokenize(TEXT, end_token=True) == other(TEXT)["input_ids"]


@pytest.mark.parametrize("names", PAIRS)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_vocabulary_and_merges_files_are_read(tmp_path, names, end):
    write(tmp_path, names[0], IDS)
    lines = ("" if end == "" else "\ufeff") + MERGE_LINES.strip()
    write(tmp_path, names[1], lines.replace("\n", end or "\n") + end)
    tokenizer = ByteBPETokenizer.from_preset(tmp_path)
    assert tokenizer.vocabulary == (*TOKENS, END)
    assert tokenizer.merges == tuple(MERGES)
    assert tokenizer.end_id == len(TOKENS)


def test_merges_without_a_version_are_read(tmp_path):
    write(tmp_path, "vocab.json", IDS)
    write(tmp_path, "merges.txt", MERGE_LINES.partition("\n")[2])
    assert ByteBPETokenizer.from_preset(tmp_path).merges == tuple(MERGES)


def test_ids_may_have_gaps_and_be_in_any_order(tmp_path):
    ids = dict(sorted(IDS.items(), key=lambda item: -item[1])) | {END: 300}
    write(tmp_path, "vocab.json", ids)
    write(tmp_path, "merges.txt", MERGE_LINES)
    tokenizer = ByteBPETokenizer.from_preset(tmp_path)
    assert tokenizer.vocabulary_size == 301
    assert tokenizer.end_id == 300
    assert tokenizer.id_to_token(299) is None
    assert tokenizer.graph(["abc"]).to_list() == [tokenizer.tokenize("abc")] == [[258]]


def test_tokenizer_config_names_the_end_token_and_added_tokens(tmp_path):
    write(tmp_path, "vocab.json", {**IDS, "</s>": 260})
    write(tmp_path, "merges.txt", MERGE_LINES)
    added = {"261": {"content": "<pad>", "special": True}}
    config = {"eos_token": {"content": "</s>"}, "added_tokens_decoder": added}
    write(tmp_path, "tokenizer_config.json", config)
    tokenizer = ByteBPETokenizer.from_preset(tmp_path)
    assert tokenizer.end_token == "</s>"
    assert tokenizer.special_ids == (260, 261)


def test_nothing_is_overwritten(tmp_path, tokenizer):
    (tmp_path / "merges.txt").write_text("mine")
    with pytest.raises(OutputError, match="merges.txt: The path already exists"):
        tokenizer.save_to_preset(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["merges.txt"]


A, B = ({"Sequence": {"id": n, "type_id": i}} for i, n in enumerate("AB"))
TEXTS_ALONE = {  # as `transformers` 5 writes it
    "type": "TemplateProcessing",
    "single": [A],
    "pair": [A, B],
    "special_tokens": {},
}
SPACES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def tokenizer_json(**changes):
    byte_level = SPACES
    content = {
        "added_tokens": [{"id": IDS[END], "content": END, "special": True}],
        "normalizer": None,
        "pre_tokenizer": dict(byte_level),
        "post_processor": dict(byte_level),
        "decoder": dict(byte_level),
        "model": {"type": "BPE", "vocab": dict(IDS), "merges": list(map(list, MERGES))},
    }
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = content
        for part in parts:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return content


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model__type": ...},
        {"model__merges": [" ".join(pair) for pair in MERGES]},
        {"post_processor": None, "decoder": None},
        {"post_processor": TEXTS_ALONE},
        {"post_processor": {"type": "Sequence", "processors": [SPACES, TEXTS_ALONE]}},
        {"pre_tokenizer__use_regex": ...},
        {"added_tokens": []},
    ],
    ids=str,
)
def test_tokenizer_json_of_all_versions_is_read(tmp_path, changes):
    write(tmp_path, "tokenizer.json", tokenizer_json(**changes))
    tokenizer = ByteBPETokenizer.from_preset(tmp_path)
    assert tokenizer.get_config() == ByteBPETokenizer(list(IDS), MERGES).get_config()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"model__type": "WordPiece"}, 'model.type: This must be "BPE".*"WordPiece"'),
        ({"model": None}, "model.type: This must be"),
        ({"model__dropout": 0.1}, "model.dropout: .*Received: 0.1"),
        ({"model__ignore_merges": 1}, "model.ignore_merges: .*Received: 1"),
        ({"model__byte_fallback": True}, "model.byte_fallback"),
        ({"model__end_of_word_suffix": "@"}, 'end_of_word_suffix: .*Received: "@"'),
        ({"model__end_of_word_suffix": "</w>"}, "ASCII at the end of a word.*byte 32"),
        ({"normalizer": {"type": "NFKC"}}, 'normalizer: .* null, NFC, or CLIP.*"NFKC"'),
        ({"normalizer": {"type": "Sequence"}}, "normalizer: The normalizer must be"),
        ({"pre_tokenizer__type": "Whitespace"}, 'pre_tokenizer.type: .*"ByteLevel"'),
        ({"pre_tokenizer__add_prefix_space": True}, "add_prefix_space: .*true"),
        ({"pre_tokenizer__use_regex": False}, "use_regex: .*Received: false"),
        ({"post_processor": {"type": "BertProcessing"}}, "post_processor: .*BertPr"),
        (
            {"post_processor": {"type": "RobertaProcessing"}},
            "post_processor.cls: .*nul",
        ),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "special_tokens": {1: 2},
                }
            },
            "post_processor.single: This must be a list of Sequence and SpecialToken",
        ),
        ({"decoder": {"type": "WordPiece"}}, 'decoder: .*"WordPiece"'),
        ({"model__vocab": []}, "model.vocab: .*map tokens to integers"),
        ({"model__vocab": {"a": 0.5}}, "model.vocab: .*map tokens to integers"),
        ({"model__vocab": {}}, "model.vocab: .*each printable byte of ASCII"),
        ({"model__vocab": {"a": -1}}, "model.vocab: An id must be.*-1 for 'a'"),
        ({"model__vocab": {"a": 1 << 40}}, "< 1048576. Received: 1099511627776"),
        ({"model__vocab": {"a": 0, "b": 0}}, "unique. Received: 0 for 'a' and 'b'"),
        ({"model__merges": {}}, "model.merges: This must be a list"),
        (
            {"model__merges": ["a b", 3]},
            r"model.merges\[1\]: .*two tokens.*Received: 3",
        ),
        ({"model__merges": ["a b", "ab  c"]}, r"model.merges\[1\]: .*two tokens"),
        ({"model__merges": ["zz c"]}, r"model.merges\[0\]: .*vocabulary, not 'zz'"),
        ({"model__merges": ["a b", "a b"]}, r"merges\[1\]: A pair .* only one merge"),
        ({"model__merges": ["c a"]}, r"model.merges\[0\]: .*'ca' is not"),
        ({"added_tokens": 3}, "added_tokens: This must be a list"),
        ({"added_tokens": [3]}, "added_tokens: An added token must have"),
        (
            {"added_tokens": [{"id": 5, "content": "x", "special": True}]},
            "added_tokens: An added token must have a content, a unique id",
        ),
        (
            {"added_tokens": [{"id": 260, "content": "x", "special": None}]},
            'be special or not. Received: .*"special": null',
        ),
        (
            {
                "added_tokens": [
                    {
                        "id": 260,
                        "content": "x",
                        "special": False,
                        "single_word": True,
                    }
                ]
            },
            "added_tokens.single_word: This must be false for the token 'x'",
        ),
        (
            {"added_tokens": [{"id": 1 << 30, "content": "x", "special": True}]},
            "An added token must have a content",
        ),
        (
            {"added_tokens": [{"id": 260, "content": "ab", "special": True}]},
            "model.vocab: Tokens must be unique.*'ab' with ids 256 and 260",
        ),
        (
            {"added_tokens": [{"id": 256, "content": "ab", "special": True}]},
            "neither a byte nor the result of a merge",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_tokenizer_json_that_is_not_gpt2s_is_refused(tmp_path, changes, rule):
    write(tmp_path, "tokenizer.json", tokenizer_json(**changes))
    with pytest.raises(TokenizerError, match=f"tokenizer.json: .*{rule}") as raised:
        ByteBPETokenizer.from_preset(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("vocabulary", "merges", "rule"),
    [
        (
            IDS,
            MERGE_LINES + "a b\n",
            "merges.txt:5: A pair of tokens must have only",
        ),
        (IDS, "a b\nab c\nab x\n", "merges.txt:3: .*'abx' is not"),
        (IDS, "a b\n\nab c\n", "merges.txt:2: A merge must be two tokens"),
        (IDS, "a b c\n", "merges.txt:1: A merge must be two tokens"),
        (IDS, b"a b\n\xff c\n", "merges.txt:2: The file must be UTF-8"),
        (IDS, None, "merges.txt: The file does not exist"),
        ('{"a": 1, "a": 2}', "", "vocab.json: 'a': A key must be unique"),
        ("[]", "", "vocab.json: .*one JSON object"),
        ("{", "", "vocab.json:1: Not valid JSON"),
        (b'{"\xff": 1}', "", "vocab.json: The file must be UTF-8"),
        ('{"a": %s}' % ("9" * 5000), "", "vocab.json: Not valid JSON"),
        ({"a": True}, "", "vocab.json: .*map tokens to integers"),
        ({"a": {"b": 0}}, "", "vocab.json: .*map tokens to integers"),
        (
            {**IDS, "": 400},
            "",
            "vocab.json: A token must be a non-empty string.*Received: ''",
        ),
        ({**IDS, "\ud800": 400}, "", "vocab.json: A token must be a non-empty string"),
        ({"Power": 13434, "!": 0}, MERGE_LINES, "vocab.json: .*each printable byte"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_invalid_file_is_reported_with_its_line(tmp_path, vocabulary, merges, rule):
    write(tmp_path, "vocab.json", vocabulary)
    if merges is not None:
        write(tmp_path, "merges.txt", merges)
    with pytest.raises(TokenizerError, match=rule):
        ByteBPETokenizer.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (
            {"tokenizer_class": "T5Tokenizer"},
            "tokenizer_class: The class must be one of GPT2Tokenizer.*'T5Tokenizer'",
        ),
        ({"add_prefix_space": True}, "add_prefix_space: This must be false"),
        ({"eos_token": 3}, "eos_token: A token must be a string. Received: 3"),
        ({"added_tokens_decoder": 3}, "added_tokens_decoder: .*map of id -> object"),
        (
            {"added_tokens_decoder": {"x": {}}},
            "added_tokens_decoder: .*of id -> object",
        ),
        ({"added_tokens_decoder": {"1": 3}}, "added_tokens_decoder: .*of id -> object"),
        ({"added_tokens_decoder": {"-1": {}}}, "added_tokens: An added token must"),
    ],
    ids=str,
)
def test_an_invalid_configuration_is_reported_with_its_field(tmp_path, config, rule):
    write(tmp_path, "vocab.json", IDS)
    write(tmp_path, "merges.txt", MERGE_LINES)
    write(tmp_path, "tokenizer_config.json", config)
    with pytest.raises(TokenizerError, match=f"tokenizer_config.json: {rule}"):
        ByteBPETokenizer.from_preset(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["model", "pre_tokenizer", "added_tokens", "normalizer", "decoder"]
FIELDS += ["model__vocab", "model__merges", "model__dropout", "post_processor"]


@given(field=st.sampled_from(FIELDS), value=json_values)
def test_any_value_in_any_field_is_read_or_refused_in_one_line(
    tmp_path_factory, field, value
):
    directory = tmp_path_factory.mktemp("any")
    write(directory, "tokenizer.json", tokenizer_json(**{field: value}))
    try:
        tokenizer = ByteBPETokenizer.from_preset(directory)
        assert tokenizer.detokenize(tokenizer.tokenize(TEXT)) == TEXT
    except TokenizerError as error:
        assert "\n" not in str(error)
        assert "tokenizer.json: " in str(error)


@given(
    data=st.binary(max_size=40),
    place=st.integers(0, len(MERGE_LINES.encode())),
    removed=st.integers(0, 9),
)
def test_damaged_merges_are_read_or_refused_in_one_line(
    tmp_path_factory, data, place, removed
):
    directory = tmp_path_factory.mktemp("damaged")
    content = MERGE_LINES.encode()
    write(directory, "vocab.json", IDS)
    write(directory, "merges.txt", content[:place] + data + content[place + removed :])
    try:
        ByteBPETokenizer.from_preset(directory)
    except TokenizerError as error:
        assert "\n" not in str(error)
        assert "merges.txt:" in str(error)


def test_the_files_determine_the_class_of_the_tokenizer(tmp_path, tokenizer):
    kinds = {"bpe": tokenizer, "wordpiece": WordPieceTokenizer(["[UNK]", "a"])}
    for name, original in kinds.items():
        (tmp_path / name).mkdir()
        original.save_to_preset(tmp_path / name)
        for _ in range(2):
            found = tokenizer_from_preset(str(tmp_path / name))
            assert found.get_config() == original.get_config()
            (tmp_path / name / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(
        TokenizerError, match="absent: The directory of a tokenizer must"
    ):
        tokenizer_from_preset(tmp_path / "absent")
    with pytest.raises(TokenizerError, match="encoder.json and vocab.bpe"):
        ByteBPETokenizer.from_preset(tmp_path / "absent")
