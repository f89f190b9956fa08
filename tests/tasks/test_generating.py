import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.families import GPTDecoder
from tfzoo.generation.neutral import NEUTRAL
from tfzoo.tasks import CausalLM
from tfzoo.tasks.causal_lm.generation_options import OPTIONS, OURS

PROMPTS = ["the cat", "a dog ran on the mat and sat", "x"]


@pytest.fixture(scope="module")
def model(byte_tokenizer):
    return CausalLM(decoder_for(byte_tokenizer), byte_tokenizer)


def decoder_for(tokenizer, seed=0, **sizes):
    arguments = dict(
        vocabulary_size=tokenizer.vocabulary_size,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=64,
    )
    decoder = GPTDecoder(**{**arguments, **sizes})
    return random_weights(decoder, seed=seed)


@pytest.fixture(scope="module")
def generate(model):
    """In graph mode, where small models compile fastest."""

    def generate(prompts, **options):
        return model.generate(prompts, **{"jit_compile": False, **options})

    return generate


@pytest.fixture(scope="module")
def plain(generate):
    return generate(PROMPTS, max_new_tokens=20)


def test_a_list_gives_a_list_of_texts_and_a_prompt_gives_a_text(generate, plain):
    assert len(plain) == 3
    assert all(isinstance(text, str) and text for text in plain)
    alone = [generate(prompt, max_new_tokens=20) for prompt in PROMPTS]
    assert alone == plain
    assert generate(PROMPTS, max_new_tokens=20, batch_size=2) == plain


def test_the_full_text_starts_with_the_prompt(generate, plain):
    full = generate(PROMPTS, max_new_tokens=20, return_full_text=True)
    assert full == [p + text for p, text in zip(PROMPTS, plain, strict=True)]


@pytest.mark.slow
def test_xla_gives_the_same(model, plain):
    assert model.generate(PROMPTS, max_new_tokens=20) == plain


def test_beams_have_scores_and_are_sorted(generate):
    options = dict(num_beams=4, max_new_tokens=8)
    best = generate(PROMPTS, **options)
    groups = generate(
        PROMPTS, num_return_sequences=4, return_dict_in_generate=True, **options
    )
    assert [group[0].text for group in groups] == best
    for group in groups:
        scores = [beam.score for beam in group]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(beam.token_ids) for beam in group}) == 4


def test_a_stream_yields_the_text_of_each_token(model, generate):
    options = dict(max_new_tokens=20)
    found = generate(PROMPTS, return_dict_in_generate=True, **options)
    for prompt, generated in zip(PROMPTS, found, strict=True):
        pieces = list(model.stream(prompt, jit_compile=False, **options))
        assert "".join(pieces) == generated.text
        stream = model.tokenizer.stream()
        expected = [stream.add([index]) for index in generated.token_ids]
        expected[-1] += stream.end()
        assert pieces == [piece for piece in expected if piece]
        assert len(pieces) > 8


def test_a_stream_never_splits_a_character(byte_tokenizer, monkeypatch):
    """The model only repeats the bytes of one character."""
    model = CausalLM(decoder_for(byte_tokenizer), byte_tokenizer)
    table = model.backbone.token_embedding.embeddings
    table.assign(table * 0.2)
    options = dict(max_new_tokens=40, temperature=50.0, seed=3, jit_compile=False)
    ids = model.generate("x", return_dict_in_generate=True, **options).token_ids
    raw = byte_tokenizer.bytes_of(ids)
    pieces = list(model.stream("x", **options))
    assert "".join(pieces) == raw.decode("utf-8", "replace")
    assert any(byte >= 0x80 for byte in raw)


def test_a_text_ends_after_the_first_stop_string(generate, model, plain):
    stop, later = plain[1][7:10], plain[1][7:12]
    options = dict(max_new_tokens=20, stop_strings=[later, stop, "never comes"])
    found = generate(PROMPTS, return_dict_in_generate=True, **options)
    for text, ended in zip(plain, found, strict=True):
        where = text.find(stop)
        expected = text if where < 0 else text[: where + len(stop)]
        assert ended.text == expected
        assert model.tokenizer.detokenize(ended.token_ids).startswith(expected)
    assert found[1].text.endswith(stop)
    assert len(found[1].token_ids) < 20
    pieces = model.stream(PROMPTS[1], jit_compile=False, **options)
    assert "".join(pieces) == found[1].text


def test_bad_words_are_not_generated(generate, byte_tokenizer):
    options = dict(max_new_tokens=20, return_dict_in_generate=True)
    ids = generate(PROMPTS[0], **options).token_ids
    bad = next(i for i in ids if byte_tokenizer.bytes_of(i).isalpha())
    word = byte_tokenizer.detokenize([bad])
    assert byte_tokenizer.tokenize(word) == [bad]
    assert bad not in generate(PROMPTS[0], bad_words=[word], **options).token_ids
    assert bad not in generate(PROMPTS[0], bad_words_ids=[[bad]], **options).token_ids


def test_an_assistant_does_not_change_the_results(plain, byte_tokenizer, generate):
    small = CausalLM(decoder_for(byte_tokenizer, seed=5, hidden_dim=8), byte_tokenizer)
    options = dict(max_new_tokens=20, num_assistant_tokens=2)
    with_it = generate(PROMPTS, assistant_model=small, **options)
    assert with_it == plain


def test_an_empty_prompt_starts_with_the_end_token(generate, byte_tokenizer):
    end = byte_tokenizer.end_token
    assert generate("", max_new_tokens=9) == generate(end, max_new_tokens=9)
    assert generate(["", "the"], max_new_tokens=9)[0] == generate("", max_new_tokens=9)


def test_an_empty_batch_gives_an_empty_list(generate):
    assert generate([], max_new_tokens=9) == []


def test_invalid_utf8_is_read_with_replacement(generate):
    found = generate(b"the \xff cat", max_new_tokens=9)
    assert found == generate("the \ufffd cat", max_new_tokens=9)


def test_temperature_0_is_greedy(generate, plain):
    assert generate(PROMPTS, max_new_tokens=20, temperature=0, top_k=5) == plain


def test_a_seed_per_prompt_applies_to_its_prompt(generate):
    options = dict(max_new_tokens=12, temperature=1.5)
    together = generate(PROMPTS, seed=[1, 2, 3], batch_size=2, **options)
    alone = [generate(p, seed=[i + 1], **options) for i, p in enumerate(PROMPTS)]
    assert together == alone


def test_a_long_prompt_is_refused_or_truncated_on_the_left(generate, model):
    prompt = "the cat sat on the mat " * 20
    with pytest.raises(ValueError, match="context of 64 tokens"):
        generate(prompt, max_new_tokens=20)
    cut = generate(prompt, max_new_tokens=20, truncation="left")
    ids = model.tokenizer.tokenize(prompt)[-44:]
    assert cut == generate(model.tokenizer.detokenize(ids), max_new_tokens=20)
    assert generate(prompt, truncation="left", max_length=64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(max_new_tokens=64), ["64 tokens", "64 new"]),
        (dict(max_new_tokens=64, truncation="left"), ["< 64", "64"]),
        (dict(truncation="right"), ["truncation", "'right'"]),
        (dict(stop_strings=[""]), ["stop_strings", "empty"]),
        (dict(stop_strings="a", num_beams=2), ["stop_strings", "num_beams=2"]),
        (dict(bad_words=[""]), ["bad_words", "empty"]),
        (dict(eos_token_id=9999), ["eos_token_id", "9999"]),
        (dict(num_assistant_tokens=3), ["assistant_model", "3"]),
        (dict(batch_size=0), ["batch_size", "0"]),
        (dict(seed=[1], top_k=2), ["1 seeds", "3 prompts"]),
        (dict(eos_token_id=[0, -1]), ["eos_token_id", "0 to 279", "-1"]),
        (dict(eos_token_id=1.0), ["eos_token_id", "1.0"]),
        (dict(eos_token_id={5}), ["eos_token_id", "{5}"]),
        (dict(bad_words_ids=[[3, 9999]]), ["bad_words_ids", "9999"]),
        (dict(bad_words_ids=[3]), ["bad_words_ids", "Received: a list with 3"]),
        (dict(bad_words_ids=3), ["bad_words_ids must be a list", "3"]),
        (dict(bad_words={"the"}), ["bad_words", "set"]),
        (dict(bad_words_ids=[[-1]], jit_compile=True), ["bad_words_ids", "-1"]),
        (dict(top_k=281, penalty_alpha=0.5), ["top_k", "280", "281"]),
        (dict(batch_size=2.5), ["batch_size", "2.5"]),
        (dict(assistant_model="gpt2"), ["must be a CausalLM", "'gpt2'"]),
        (dict(return_full_text="no"), ["return_full_text", "'no'"]),
        (dict(use_cache=False), ["use_cache must be True", "use_cache=False"]),
        (dict(pad_token_id=280), ["pad_token_id", "0 to 279", "280"]),
        (dict(num_beam_groups=2), ["num_beam_groups must be 1", "groups=2"]),
        (dict(suppress_tokens=[3]), ["suppress_tokens", "bad_words_ids", "[3]"]),
        (dict(output_scores=True), ["output_scores", "score", "True"]),
        (dict(diversity_penalty=float("nan")), ["diversity_penalty", "nan"]),
        (dict(max_new_tokens=10**30), ["64 tokens", str(10**30)]),
    ],
    ids=str,
)
def test_unsupported_options_are_reported(generate, options, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words below
        generate(PROMPTS, **options)
    for word in words:
        assert word in str(caught.value)


def test_a_prompt_must_be_text(generate):
    with pytest.raises(ValueError, match="must be a string. Received: 3 in row 0"):
        generate([3])
    with pytest.raises(ValueError, match="prompts must be a list.* NoneType"):
        generate(None)


def test_an_unknown_option_is_reported_with_similar_ones(generate):
    with pytest.raises(TypeError, match="'max_tokens'. Did you mean max_new_tokens"):
        generate("x", max_tokens=3)
    with pytest.raises(TypeError, match="'stop'. Did you mean stop_strings"):
        generate("x", stop=["a"])


def test_a_stream_is_one_text(model):
    with pytest.raises(ValueError, match="num_beams=3"):
        model.stream("x", num_beams=3)


def test_an_assistant_must_be_compatible(model, byte_tokenizer, generate):
    from tfzoo.text import ByteBPETokenizer

    other = ByteBPETokenizer(byte_tokenizer.vocabulary[:256] + ("<|endoftext|>",), [])
    stranger = CausalLM(decoder_for(other), other)
    with pytest.raises(ValueError, match="the same tokenizer. .*vocabulary_size=257"):
        generate(PROMPTS, assistant_model=stranger)
    decoder = decoder_for(byte_tokenizer, max_sequence_length=32)
    short = CausalLM(decoder, byte_tokenizer)
    with pytest.raises(
        ValueError, match="max_sequence_length >= 64.*max_sequence_length=32"
    ):
        generate(PROMPTS, assistant_model=short)
    with pytest.raises(ValueError, match="requires greedy decoding.*num_beams=2"):
        generate(PROMPTS, assistant_model=model, num_beams=2)


def test_a_saved_model_generates_the_same(model, plain, tmp_path):
    import keras

    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.generate(PROMPTS, max_new_tokens=20, jit_compile=False) == plain


NEUTRAL_CALLS = [
    {name: value for name, (value, _) in NEUTRAL.items()},
    dict.fromkeys([*NEUTRAL, *OPTIONS[2:], *OURS]),
    dict(pad_token_id=3, use_cache=True, num_beams=1, do_sample=False, top_k=0),
    dict(no_repeat_ngram_size=0, length_penalty=1.0, early_stopping=False),
    dict(
        bad_words_ids=[], bad_words=[], stop_strings=[], min_length=0, batch_size=None
    ),
]


@pytest.mark.parametrize("options", NEUTRAL_CALLS, ids=range(len(NEUTRAL_CALLS)))
def test_an_option_at_a_neutral_value_has_no_effect(generate, plain, options):
    options = {**options, "max_new_tokens": 20, "jit_compile": False}
    assert generate(PROMPTS, **options) == plain


@pytest.mark.parametrize(
    "column",
    [
        tuple(PROMPTS),
        np.array(PROMPTS),
        np.array(PROMPTS, object)[:, None],
        tf.constant(PROMPTS),
        [prompt.encode() for prompt in PROMPTS],
    ],
    ids=lambda column: type(column).__name__,
)
def test_prompts_may_come_in_any_column(model, generate, plain, column):
    assert generate(column, max_new_tokens=20) == plain
    assert generate(iter(PROMPTS), max_new_tokens=20) == plain
    assert generate(tf.constant(PROMPTS[0]), max_new_tokens=20) == plain[0]
    assert model.perplexity(column) == model.perplexity(PROMPTS)


def test_a_column_of_a_data_frame_is_read_and_a_missing_text_is_reported(
    model, generate
):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["the cat", None]})
    assert model.perplexity(frame["text"][:1]) == model.perplexity(["the cat"])
    assert generate(frame["text"][:1]) == generate(["the cat"])
    for call in (generate, model.score, model.perplexity):
        with pytest.raises(ValueError, match="in row 1 of .*; remove such rows"):
            call(frame["text"])
    with pytest.raises(ValueError, match="Received: set"):
        model.score({"the cat"})


@pytest.fixture(
    scope="module",
    params=[
        "position_embedding",
        pytest.param("token_embedding", marks=pytest.mark.slow),
    ],
)
def broken(byte_tokenizer, request):
    """Only the text, not the prompt, reaches the position that is not finite."""
    broken = CausalLM(decoder_for(byte_tokenizer), byte_tokenizer)
    name = f"{request.param}/embeddings"
    (table,) = (v for v in broken.variables if v.path == name)
    values = np.asarray(table.value)
    values[20] = np.nan
    table.assign(values)
    return broken


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(num_beams=2),
        dict(penalty_alpha=0.5),
        dict(temperature=1.0),
        pytest.param(dict(assistant_model=None), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_non_finite_model_is_an_error(broken, model, options):
    if "assistant_model" in options:
        options = dict(assistant_model=model)
    options = dict(max_new_tokens=30, jit_compile=False, **options)
    with pytest.raises(ValueError, match="Logits must be finite.*float32.*row 0"):
        broken.generate(PROMPTS, **options)
    with pytest.raises(ValueError, match="Log-probabilities must be finite.* row 1"):
        broken.score(["", "the cat sat on the mat and ran under a good tree"])


def test_prompts_of_new_lengths_are_traced_once_for_each_block(byte_tokenizer):
    model = CausalLM(decoder_for(byte_tokenizer), byte_tokenizer)
    compiled = model._compiled_generation(assistant=None, jit_compile=False)

    def traces(prompt):
        model.generate(prompt, max_new_tokens=8, jit_compile=False)
        model.score(prompt)
        return (
            compiled.num_traces,
            model._score_function.experimental_get_tracing_count(),
        )

    first = traces("x")
    assert traces("a dog") == traces("the cat sat on") == first
    assert first[1] == 1
    longer = traces("the cat sat on the mat and ran")
    assert longer[0] > first[0] and longer[1] == 1
    assert traces("the cat sat on the mat under a tree") == longer
