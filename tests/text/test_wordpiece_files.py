"""Files written and read: by `transformers`, by `tokenizers`, and invalid ones."""

import gzip
import json

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tfzoo.errors import OutputError, TokenizerError
from tfzoo.text import WordPieceTokenizer, tokenizer_from_preset
from tfzoo.text.tokenizer_files import IGNORES_OPTIONS

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "\u00e9", "A", "e"]
OPTIONS = [
    {},
    {"lowercase": False},
    {"lowercase": False, "strip_accents": True},
    {"strip_accents": False, "split_cjk": False},
]
TEXT = "A ab \u00c9 \u00e9 \u4e00\u4e00 [MASK] zzz"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_saved_tokenizer_is_read_back_equal(tmp_path, options):
    tokenizer = WordPieceTokenizer([*TOKENS, "\u2028", "\u4e00"], **options)
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    expected = tokenizer.get_config()
    assert WordPieceTokenizer.from_preset(tmp_path).get_config() == expected
    (tmp_path / "tokenizer.json").unlink()
    assert WordPieceTokenizer.from_preset(str(tmp_path)).get_config() == expected
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parity
def test_transformers_opens_it_and_gives_the_same_ids(tmp_path, options):
    transformers = pytest.importorskip("transformers")
    tokenizer = WordPieceTokenizer(TOKENS, **options)
    tokenizer.save_to_preset(tmp_path, max_sequence_length=64)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(other).__name__.startswith("Bert")
    assert other.model_max_length == 64
    assert other.mask_token_id == tokenizer.mask_id
    assert other.pad_token_id == tokenizer.pad_id
    for text in (TEXT.replace("[MASK]", ""), "a", "ab " * 100):
        encoded = other(text, text[::-1], truncation=True)
        mine = tokenizer.encode(text, text[::-1], max_length=64)
        assert encoded["input_ids"] == mine.token_ids
        assert encoded["token_type_ids"] == mine.segment_ids
        one = tokenizer.encode(text, max_length=64)
        assert other(text, truncation=True)["input_ids"] == one.token_ids
    assert other(TEXT)["input_ids"].count(4) == 1  # it recognizes special tokens


@pytest.mark.parity
def test_what_transformers_saves_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    other = transformers.BertTokenizer(
        vocab={token: index for index, token in enumerate(TOKENS)},
        do_lower_case=False,
        tokenize_chinese_chars=False,
    )
    other.save_pretrained(tmp_path)
    tokenizer = WordPieceTokenizer.from_preset(tmp_path)
    assert tokenizer.vocabulary == tuple(TOKENS)
    assert not tokenizer.lowercase
    assert not tokenizer.split_cjk
    assert tokenizer.encode("A \u00e9").token_ids == other("A \u00e9")["input_ids"]


@pytest.mark.parametrize("name", ["BertTokenizer", "DistilBertTokenizer"])
@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parity
def test_what_transformers_saves_after_padding_and_truncating_is_read(
    tmp_path, name, cased
):
    transformers = pytest.importorskip("transformers")
    other = getattr(transformers, name)(
        vocab={token: index for index, token in enumerate(TOKENS)},
        do_lower_case=not cased,
        extra_special_tokens=["[E1]"],
    )
    other(["a"], truncation=True, max_length=8, padding="max_length")
    other.save_pretrained(tmp_path)
    tokenizer = tokenizer_from_preset(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["padding"] is not None
    assert tokenizer.lowercase is not cased
    assert tokenizer.vocabulary == (*TOKENS, "[E1]")
    for pair in ((TEXT.replace("[MASK]", ""),), ("A ab", "\u00e9 a")):
        ids = other(*pair)["input_ids"]
        assert tokenizer.encode(*pair).token_ids == ids


def test_tokenizers_opens_tokenizer_json_and_gives_the_same_ids(tmp_path):
    tokenizer = WordPieceTokenizer(TOKENS)
    tokenizer.save_to_preset(tmp_path)
    other = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    other.encode_special_tokens = True
    encoding, mine = other.encode(TEXT, "a"), tokenizer.encode(TEXT, "a")
    assert encoding.ids == mine.token_ids
    assert encoding.type_ids == mine.segment_ids
    assert encoding.offsets == mine.offsets
    ids = tokenizer.encode("ab \u00e9 a", "ab").token_ids
    assert other.decode(ids) == tokenizer.detokenize(ids) == "ab e a ab"


def test_nothing_is_overwritten(tmp_path):
    tokenizer = WordPieceTokenizer(TOKENS)
    (tmp_path / "vocab.txt").write_text("mine")
    with pytest.raises(OutputError, match="vocab.txt: The path already exists"):
        tokenizer.save_to_preset(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["vocab.txt"]
    assert (tmp_path / "vocab.txt").read_text() == "mine"


def write(directory, name, content):
    directory.mkdir(exist_ok=True)
    content = json.dumps(content) if isinstance(content, dict) else content
    content = content.encode() if isinstance(content, str) else content
    (directory / name).write_bytes(content)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_vocab_txt_has_a_token_per_line(tmp_path, end):
    lines = "\r\n" if end == "\r\n" else "\n"
    content = "\ufeff" + lines.join([*TOKENS, "a\u2028b", "\u0085"]) + end
    write(tmp_path, "vocab.txt", content)
    tokenizer = WordPieceTokenizer.from_preset(tmp_path)
    assert tokenizer.vocabulary == (*TOKENS, "a\u2028b", "\u0085")
    assert tokenizer.lowercase
    assert tokenizer.strip_accents is None


def test_the_published_vocabulary_is_read(tmp_path, shared_data):
    source = shared_data / "vocab" / "bert-base-uncased-vocab.txt.gz"
    if not source.is_file():
        pytest.skip(f"no vocabulary in {shared_data}")
    write(tmp_path, "vocab.txt", gzip.decompress(source.read_bytes()))
    tokenizer = WordPieceTokenizer.from_preset(tmp_path)
    assert tokenizer.vocabulary_size == 30522
    assert tokenizer.encode("Hello, world!").token_ids == [
        *(101, 7592, 1010, 2088, 999, 102)
    ]


@pytest.mark.parametrize(
    ("config", "lowercase", "ids"),
    [
        ({}, True, [5]),
        ({"do_lower_case": False}, False, [8]),
        ({"do_lower_case": False, "tokenizer_class": "BertTokenizerFast"}, False, [8]),
        ({"do_lower_case": False, "tokenizer_class": "TokenizersBackend"}, True, [5]),
    ],
)
def test_tokenizer_config_takes_precedence(tmp_path, config, lowercase, ids):
    write(tmp_path, "tokenizer.json", tokenizer_json())
    write(tmp_path, "tokenizer_config.json", config)
    tokenizer = WordPieceTokenizer.from_preset(tmp_path)
    assert tokenizer.lowercase is lowercase
    assert tokenizer.tokenize("A") == ids


def test_tokenizer_config_names_special_tokens(tmp_path):
    write(tmp_path, "vocab.txt", "<pad>\n<unk>\n<s>\n</s>\n")
    names = {"unk_token": "<unk>", "cls_token": {"content": "<s>"}, "sep_token": "</s>"}
    write(tmp_path, "tokenizer_config.json", {**names, "mask_token": None})
    tokenizer = WordPieceTokenizer.from_preset(tmp_path)
    assert tokenizer.encode("?").token_ids == [2, 1, 3]
    assert tokenizer.mask_id is None


PUBLISHED = {  # files next to vocab.txt: whether text is lowercased, the mask token
    "version 3": {"special_tokens_map": {"mask_token": "<mask>"}},
    "version 4": {
        "special_tokens_map": {"mask_token": {"content": "<mask>", "lstrip": False}},
        "tokenizer_config": {
            "do_lower_case": True,
            "do_basic_tokenize": True,
            "mask_token": "[MASK]",
            "name_or_path": "x",
            "never_split": None,
            "tokenizer_class": "BertTokenizer",
        },
    },
    "version 4.34": {
        "special_tokens_map": {"mask_token": "[MASK]"},
        "tokenizer_config": {
            "added_tokens_decoder": {
                "11": {"content": "<e1>", "special": True},
                "10": {"content": "<mask>", "special": True},
                "0": {"content": "[PAD]", "special": True},
            },
            "mask_token": "<mask>",
            "tokenizer_class": "DistilBertTokenizer",
        },
    },
    "added": {
        "special_tokens_map": {"mask_token": "<mask>"},
        "added_tokens": {"<mask>": 10},
    },
}


@pytest.mark.parametrize("version", PUBLISHED)
@pytest.mark.parity
def test_vocab_txt_and_the_files_next_to_it_are_read_as_in_transformers(
    tmp_path, version
):
    transformers = pytest.importorskip("transformers")
    is_added = version in ("version 4.34", "added")
    write(tmp_path, "vocab.txt", "\n".join([*TOKENS, *["<mask>"] * (not is_added)]))
    for name, content in PUBLISHED[version].items():
        write(tmp_path, f"{name}.json", content)
    write(tmp_path, "config.json", {"model_type": "bert"})
    tokenizer = tokenizer_from_preset(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.mask_id == other.mask_token_id == 10
    assert tokenizer.vocabulary_size == len(other)
    batch = tokenizer.encode_batch(["A <mask> \u00e9"], mask_token=True)
    assert batch.token_ids.tolist() == other("A <mask> \u00e9")["input_ids"]


def tokenizer_json(**changes):
    tokenizer = Tokenizer(
        models.WordPiece({t: i for i, t in enumerate(TOKENS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    content = json.loads(tokenizer.to_str())
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


def test_tokenizer_json_of_older_versions_is_read(tmp_path):
    write(tmp_path, "tokenizer.json", tokenizer_json(model__type=...))
    assert WordPieceTokenizer.from_preset(tmp_path).tokenize("ab") == [5, 6]
    write(tmp_path, "tokenizer.json", tokenizer_json(post_processor=None))
    assert WordPieceTokenizer.from_preset(tmp_path).cls_id == 2


@pytest.mark.parametrize("name", IGNORES_OPTIONS)
def test_a_generic_class_adds_only_the_tokens_of_tokenizer_json(tmp_path, name):
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    write(tmp_path, "tokenizer_config.json", {"tokenizer_class": name, **names})
    write(tmp_path, "tokenizer.json", tokenizer_json(post_processor=None))
    assert WordPieceTokenizer.from_preset(tmp_path).encode("ab").token_ids == [5, 6]


def template(**changes):
    single = "[CLS]:0 $A:0 [SEP]:0"
    pair = changes.get("pair", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
    tokens = [("[CLS]", 2), ("[SEP]", 3)]
    processor = processors.TemplateProcessing(
        single=changes.get("single", single), pair=pair, special_tokens=tokens
    )
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.post_processor = processor
    return json.loads(tokenizer.to_str())["post_processor"]


def test_a_template_names_the_tokens_around_a_text(tmp_path):
    write(tmp_path, "tokenizer.json", tokenizer_json(post_processor=template()))
    assert WordPieceTokenizer.from_preset(tmp_path).encode("a").token_ids == [2, 5, 3]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"model__type": "BPE"}, 'model.type: This must be "WordPiece".*"BPE"'),
        ({"model": None}, "model.type: This must be"),
        ({"model__unk_token": ...}, "model.unk_token: .*a token. Received: null"),
        ({"model__unk_token": ["a"]}, r"model.unk_token: .*Received: ..a"),
        ({"model__continuing_subword_prefix": "_"}, 'continuing_subword_prefix.*"_"'),
        ({"model__max_input_chars_per_word": 200}, "must be 100.*Received: 200"),
        ({"normalizer__type": "Lowercase"}, "normalizer.type"),
        ({"normalizer__lowercase": "yes"}, 'lowercase: .*true or false.*"yes"'),
        ({"normalizer__lowercase": 1}, "lowercase: .*true or false.*Received: 1"),
        ({"normalizer__clean_text": False}, "clean_text: This must be true"),
        ({"pre_tokenizer": None}, "pre_tokenizer.type: .*null"),
        ({"model__vocab": []}, "must map tokens to integers"),
        ({"model__vocab": {"[UNK]": "0"}}, "must map tokens to integers"),
        ({"model__vocab": {"[UNK]": 0.5}}, "must map tokens to integers"),
        (
            {"model__vocab": {"[UNK]": 0, "a": 2}, "added_tokens": []},
            "2 for 'a'.* of 1",
        ),
        (
            {"model__vocab": {"[UNK]": 0, "a": 0}, "added_tokens": []},
            "0 for 'a'.* of 1",
        ),
        ({"model__vocab": {"[UNK]": -1}, "added_tokens": []}, "-1 for '.UNK.'.* of 0"),
        ({"model__vocab": {}, "added_tokens": []}, "must not be empty"),
        ({"model__vocab": {"a": 0}, "added_tokens": []}, r"unknown token \[UNK\]"),
        (
            {"added_tokens": [{"id": 10, "content": "new", "special": True}]},
            "added_tok",
        ),
        (
            {"added_tokens": [{"id": 11, "content": "[E1]", "special": True}]},
            "added_tok",
        ),
        ({"added_tokens": 3}, "added_tokens: This must be a list"),
        (
            {"added_tokens": [{"id": 5, "content": "a", "special": False}]},
            'added_tokens: .*"a".*Words added to .* not supported',
        ),
        ({"added_tokens": ["a"]}, "added_tokens: An added token must be special"),
        (
            {"post_processor": {"type": "Roberta"}},
            'post_processor: This must be null or "BertProcessing" or "Template.*"Rob',
        ),
        ({"post_processor": 3}, "post_processor: This must be null or .*Received: 3"),
        ({"post_processor__cls": []}, "post_processor.cls: This must be a token and"),
    ],
    ids=str,
)
def test_a_tokenizer_json_that_is_not_berts_is_refused(tmp_path, changes, rule):
    write(tmp_path, "tokenizer.json", tokenizer_json(**changes))
    with pytest.raises(TokenizerError, match=f"tokenizer.json: .*{rule}"):
        WordPieceTokenizer.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("vocab.txt", "", "vocab.txt: The vocabulary must not be empty"),
        ("vocab.txt", "[UNK]\na\nb\na\n", "vocab.txt:4: .*'a' with ids 1 and 3"),
        ("vocab.txt", "[UNK]\n\na\n", "vocab.txt:2: .*non-empty line"),
        ("vocab.txt", b"[UNK]\na\n\xff\n", "vocab.txt:3: The file must be UTF-8"),
        ("vocab.txt", "a\nb\n", r"vocab.txt: .*unknown token \[UNK\]"),
        ("tokenizer.json", "{", "tokenizer.json:1: Not valid JSON"),
        ("tokenizer.json", '{"a": 1, "a": 2}', "A key must be unique"),
        ("tokenizer.json", "[]", "must contain one JSON object"),
        ("other.txt", "", "must contain tokenizer.json or vocab.txt"),
    ],
)
def test_an_invalid_file_is_reported_with_its_line(tmp_path, name, content, rule):
    write(tmp_path, name, content)
    with pytest.raises(TokenizerError, match=rule):
        WordPieceTokenizer.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({"do_lower_case": "no"}, 'do_lower_case: This must be true or false.*"no"'),
        ({"do_lower_case": None}, "do_lower_case: .*Received: null"),
        ({"strip_accents": 0}, "strip_accents: .*true or false or null.*Received: 0"),
        ({"unk_token": 3}, "unk_token: A token must be a string. Received: 3"),
        ({"unk_token": "<unk>"}, "vocab.txt: .*unknown token <unk>"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "BertJapaneseTokenizer"),
        (
            {"tokenizer_class": "T5TokenizerFast"},
            "tokenizer_class: The class must be one of BertTokenizer.*T5TokenizerFast",
        ),
        (
            {"added_tokens_decoder": {"x": {}}},
            "added_tokens_decoder: .*of id -> object",
        ),
        (
            {"added_tokens_decoder": {"10": {"content": "[E1]", "special": False}}},
            "added_tokens: An added token must be special",
        ),
    ],
)
def test_an_invalid_configuration_is_reported_with_its_field(tmp_path, config, rule):
    write(tmp_path, "vocab.txt", "\n".join(TOKENS))
    write(tmp_path, "tokenizer_config.json", config)
    with pytest.raises(TokenizerError, match=rule):
        WordPieceTokenizer.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("special_tokens_map", {"cls_token": ["a"]}, r"cls_token: .*Received: \['a'\]"),
        ("added_tokens", {"[E1]": "10"}, "must map tokens to integers"),
        ("added_tokens", {"[E1]": 10}, "An added token must be special"),
        ("added_tokens", {"a": 9}, "An added token must be special"),
    ],
)
def test_an_invalid_file_next_to_the_vocabulary_is_reported(
    tmp_path, name, content, rule
):
    write(tmp_path, "vocab.txt", "\n".join(TOKENS))
    write(tmp_path, f"{name}.json", content)
    with pytest.raises(TokenizerError, match=f"{name}.json: .*{rule}"):
        tokenizer_from_preset(tmp_path)


def test_a_missing_directory_is_reported(tmp_path):
    with pytest.raises(
        TokenizerError, match="absent: The directory of a tokenizer must contain"
    ):
        WordPieceTokenizer.from_preset(tmp_path / "absent")
