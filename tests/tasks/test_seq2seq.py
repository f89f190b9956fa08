"""`Seq2SeqLM`: every way in which pairs enter, texts, scores, files, and serving."""

import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import log_softmax, random_weights
from tfzoo.errors import CheckpointError
from tfzoo.families import BartEncoderDecoder, TransformerEncoderDecoder
from tfzoo.tasks import Seq2SeqLM, from_preset
from tfzoo.text import ByteBPETokenizer
from tfzoo.text.tokenizer_classes import ROBERTA_TOKENS

SOURCES = [
    "the cat",
    "a dog ran on the mat",
    "x",
    "na\u00efve \U0001f600",
    "on the mat",
]
TARGETS = ["le chat", "un chien", "y", "\u00e9t\u00e9", "sur le tapis"]
NEW = 10


def backbone_for(tokenizer, kind=TransformerEncoderDecoder, **sizes):
    arguments = dict(
        vocabulary_size=tokenizer.vocabulary_size,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=24,
        num_decoder_layers=2,
    )
    return random_weights(kind(**{**arguments, **sizes}), 0.4)


@pytest.fixture(scope="module")
def model(byte_tokenizer):
    task = Seq2SeqLM(backbone_for(byte_tokenizer), byte_tokenizer)
    task.compile(run_eagerly=True)
    return task


def by_numpy(model, source, target):
    """Log-probabilities of the tokens of a target, by the whole model and NumPy."""
    inner, outer = (
        [*tokenizer.tokenize(text), tokenizer.end_id]
        for tokenizer, text in (
            (model.tokenizer, source),
            (model.target_tokenizer, target),
        )
    )
    inputs = {
        "encoder_token_ids": [inner],
        "encoder_padding_mask": [[1] * len(inner)],
        "decoder_token_ids": [[model.start_token_id, *outer[:-1]]],
        "decoder_padding_mask": [[1] * len(outer)],
    }
    logits = model({name: tf.constant(ids) for name, ids in inputs.items()}).numpy()[0]
    return [log_softmax(row)[i] for row, i in zip(logits, outer, strict=True)], logits


def batches():
    return tf.data.Dataset.from_tensor_slices((SOURCES, TARGETS)).batch(2)


def in_batches(form):
    for i in range(0, len(SOURCES), 2):
        yield form(SOURCES[i : i + 2], TARGETS[i : i + 2])


ROADS = {
    "two lists": lambda: (SOURCES, TARGETS),
    "arrays": lambda: (np.array(SOURCES), np.array(TARGETS)),
    "a dict": lambda: ({"source": SOURCES, "target": TARGETS},),
    "sources and targets": lambda: ({"source": SOURCES}, iter(TARGETS)),
    "a table": lambda: (
        [{"source": s, "target": t} for s, t in zip(SOURCES, TARGETS, strict=True)],
    ),
    "pairs": lambda: (list(zip(SOURCES, TARGETS, strict=True)),),
    "bytes": lambda: ([s.encode() for s in SOURCES], TARGETS),
    "a dataset": lambda: (batches(),),
    "a dataset of dicts": lambda: (
        batches().map(lambda s, t: {"source": s, "target": t}),
    ),
    "a generator": lambda: (in_batches(lambda s, t: (s, t)),),
    "a generator of dicts": lambda: (
        in_batches(lambda s, t: {"source": s, "target": t}),
    ),
}


@pytest.fixture(scope="module")
def expected_loss(model):
    scores = [
        score
        for pair in zip(SOURCES, TARGETS, strict=True)
        for score in by_numpy(model, *pair)[0]
    ]
    return -np.mean(scores)


@pytest.mark.parametrize("road", ROADS)
def test_every_road_gives_the_mean_loss_of_all_tokens(model, expected_loss, road):
    found = model.evaluate(*ROADS[road](), verbose=0, return_dict=True)
    assert np.log(found["perplexity"]) == pytest.approx(expected_loss, rel=1e-5)


def test_prepared_ids_give_it_too(model, expected_loss):
    inputs, ids, weights = next(
        iter(model.evaluation_data(SOURCES, TARGETS, batch_size=8))
    )
    found = model.evaluate(
        {name: value.numpy() for name, value in inputs.items()},
        ids.numpy(),
        sample_weight=weights.numpy(),
        verbose=0,
        return_dict=True,
    )
    assert found["loss"] == pytest.approx(expected_loss, rel=1e-5)


def test_a_limit_in_tokens_bounds_every_batch_and_keeps_every_pair(model):
    data = model.training_data(SOURCES * 5, TARGETS * 5, tokens_per_batch=30, epochs=2)
    count = 0
    for inputs, ids, weights in data:
        rows, longest = ids.shape[0], inputs["encoder_token_ids"].shape[1]
        assert rows == 1 or rows * max(longest, ids.shape[1]) <= 30
        count += int((weights.numpy().sum(axis=1) > 0).sum())
    assert count == 2 * 5 * len(SOURCES)


def test_weights_of_pairs_weigh_all_their_tokens(model):
    weights = [0.0, 2.0, 0.0, 0.0, 0.0]
    alone = model.evaluate(SOURCES[1:2], TARGETS[1:2], verbose=0)
    found = model.evaluate(SOURCES, TARGETS, sample_weight=weights, verbose=0)
    assert found == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(x=SOURCES), "Every source needs a target"),
        (dict(x=SOURCES, y=TARGETS[:3]), "5 sources, 3 targets"),
        (dict(x={"source": SOURCES, "target": TARGETS}, y=TARGETS), "given once"),
        (dict(x=SOURCES, y=[*TARGETS[:4], None]), "None in row 4"),
        (dict(x={"source": SOURCES, "text": TARGETS}), "keys of raw pairs"),
        (dict(x=[], y=[]), "at least one example"),
        (dict(x=SOURCES, y=TARGETS, batch_size=2, tokens_per_batch=9), "exclusive"),
        (dict(x=SOURCES, y=TARGETS, tokens_per_batch=0), "tokens_per_batch"),
    ],
)
def test_a_fault_of_pairs_is_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.fit(**arguments)


def test_a_limit_in_tokens_is_refused_for_batches(model):
    with pytest.raises(ValueError, match="only for raw pairs in memory"):
        model.fit(batches(), tokens_per_batch=100)
    sources = tf.data.Dataset.from_tensor_slices(SOURCES).batch(2)
    with pytest.raises(ValueError, match="must have targets"):
        model.fit(sources)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_an_id_outside_the_vocabulary_is_named(model, side):
    inputs, ids, _ = next(iter(model.evaluation_data(SOURCES, TARGETS, batch_size=2)))
    wrong = {name: value.numpy().copy() for name, value in inputs.items()}
    wrong[f"{side}_token_ids"][1, 2] = 1000
    with pytest.raises(
        ValueError, match=f"{side}_token_ids.*1000 in column 2 of row 1"
    ):
        model.evaluate(wrong, ids.numpy(), verbose=0)


def test_what_is_too_long_is_cut_and_counted(model, caplog):
    long = "the mat " * 40
    with caplog.at_level(logging.WARNING, "tfzoo"):
        model.evaluate([long, "a"], ["b", long], verbose=0)
    assert "1 of 2 sources are longer than 24 tokens" in caplog.text
    assert "1 of 2 targets are longer than 24 tokens" in caplog.text


def greedy_by_numpy(model, source, num_new=NEW):
    ids = []
    for _ in range(num_new):
        inner = [*model.tokenizer.tokenize(source), model.tokenizer.end_id]
        before = [model.start_token_id, *ids]
        logits = model(
            {
                "encoder_token_ids": tf.constant([inner]),
                "encoder_padding_mask": tf.ones([1, len(inner)], tf.int32),
                "decoder_token_ids": tf.constant([before]),
                "decoder_padding_mask": tf.ones([1, len(before)], tf.int32),
            }
        )
        ids.append(int(np.argmax(logits[0, -1])))
        if ids[-1] == model.target_tokenizer.end_id:
            break
    return ids


@pytest.fixture(scope="module")
def generate(model):
    def generate(sources, **options):
        options = {"max_new_tokens": NEW, "jit_compile": False, **options}
        return model.generate(sources, **options)

    return generate


def test_the_cached_text_is_that_of_the_whole_model(model, generate):
    found = generate(SOURCES, return_dict_in_generate=True)
    ids = [greedy_by_numpy(model, source) for source in SOURCES]
    assert [one.token_ids for one in found] == ids
    assert [one.text for one in found] == model.target_tokenizer.detokenize(ids)


def test_a_source_gives_the_same_alone_in_batches_and_as_a_stream(model, generate):
    together = generate(SOURCES)
    assert [generate(source) for source in SOURCES] == together
    assert generate(SOURCES, batch_size=2) == together
    options = dict(max_new_tokens=NEW, jit_compile=False)
    assert ["".join(model.stream(source, **options)) for source in SOURCES] == together


def test_beams_are_sorted_and_have_the_scores_of_the_model(model, generate):
    options = dict(num_beams=3, length_penalty=0.5)
    groups = generate(
        SOURCES, num_return_sequences=3, return_dict_in_generate=True, **options
    )
    assert [group[0].text for group in groups] == generate(SOURCES, **options)
    for group in groups:
        scores = [beam.score for beam in group]
        assert scores == sorted(scores, reverse=True)
    best = groups[0][0]
    if best.token_ids[-1] == model.target_tokenizer.end_id:
        total = sum(by_numpy(model, SOURCES[0], best.text)[0])
        assert best.score == pytest.approx(total / len(best.token_ids) ** 0.5, rel=1e-4)


def test_samples_depend_on_the_seed_and_the_source_alone(generate):
    options = dict(temperature=1.5, seed=[1, 2, 3, 4, 5])
    together = generate(SOURCES, **options)
    assert together == generate(SOURCES, batch_size=2, **options)
    assert generate(SOURCES[3], temperature=1.5, seed=4) == together[3]
    assert generate(SOURCES, temperature=1.5, seed=9) != together


def test_forced_and_forbidden_ids_hold(model, generate):
    options = dict(forced_bos_token_id=70, forced_eos_token_id=71, max_new_tokens=4)
    found = generate(SOURCES, return_dict_in_generate=True, **options)
    for one in found:
        assert one.token_ids[0] == 70
        assert len(one.token_ids) < 4 or one.token_ids[3] == 71
    likely = greedy_by_numpy(model, SOURCES[0], 1)
    barred = Seq2SeqLM(model.backbone, model.tokenizer, forbidden_ids=likely)
    text = barred.generate(
        SOURCES[0], max_new_tokens=3, jit_compile=False, return_dict_in_generate=True
    )
    assert likely[0] not in text.token_ids


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(truncation="left"), TypeError, "no option truncation"),
        (dict(assistant_model=1), TypeError, "no option assistant_model"),
        (dict(forced_bos_token_id=9999), ValueError, "forced_bos_token_id"),
        (dict(max_new_tokens=24), ValueError, "must fit the context of 24"),
        (dict(num_beams=2, temperature=1.0, do_sample=True), ValueError, "num_beams"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(generate, options, error, message):
    with pytest.raises(error, match=message):
        generate(SOURCES, **options)


def test_scores_are_those_of_the_whole_model(model):
    found = model.score(SOURCES, TARGETS, batch_size=2)
    for source, target, one in zip(SOURCES, TARGETS, found, strict=True):
        expected, _ = by_numpy(model, source, target)
        assert one["log_probabilities"] == pytest.approx(expected, abs=1e-4)
        assert one["log_probability"] == pytest.approx(sum(expected), abs=1e-3)
        assert one["tokens"][-1] == model.target_tokenizer.end_token
    assert model.score(SOURCES[1], TARGETS[1])["token_ids"] == found[1]["token_ids"]
    assert model.score([], []) == []
    with pytest.raises(ValueError, match="5 sources, 1 targets"):
        model.score(SOURCES, TARGETS[:1])


def test_predict_gives_the_logits_of_the_targets(model):
    found = model.predict({"source": SOURCES, "target": TARGETS}, verbose=0)
    _, expected = by_numpy(model, SOURCES[1], TARGETS[1])
    assert found[1, : len(expected)] == pytest.approx(expected, abs=1e-4)


def test_predict_counts_what_it_cuts(model, caplog):
    with caplog.at_level(logging.WARNING, "tfzoo"):
        found = model.predict({"source": ["the mat " * 40], "target": ["b"]}, verbose=0)
    assert np.isfinite(found).all()
    assert "1 of 1 sources are longer than 24 tokens" in caplog.text


def test_a_directory_gives_the_same_task(model, generate, tmp_path):
    task = Seq2SeqLM(
        model.backbone,
        model.tokenizer,
        forced_last_id=model.tokenizer.end_id,
        forbidden_ids=[5],
        max_sequence_length=20,
    )
    task.save_to_preset(tmp_path / "a")
    again = from_preset(tmp_path / "a")
    assert isinstance(again, Seq2SeqLM)
    assert again.task_arguments() == task.task_arguments()
    for ours, theirs in zip(task.backbone.weights, again.backbone.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    fields = json.loads((tmp_path / "a" / "generation_config.json").read_text())
    assert fields["decoder_start_token_id"] == model.start_token_id
    assert fields["bad_words_ids"] == [[5]]


def test_a_token_in_a_file_must_be_an_id(model, tmp_path):
    model.save_to_preset(tmp_path / "a")
    path = tmp_path / "a" / "generation_config.json"
    path.write_text(json.dumps({"decoder_start_token_id": "x"}))
    with pytest.raises(
        CheckpointError, match="decoder_start_token_id: Must be a token"
    ):
        Seq2SeqLM.from_preset(tmp_path / "a")


def test_two_tokenizers_are_saved_and_read(byte_tokenizer, tmp_path):
    other = ByteBPETokenizer.train(
        ["le chat noir"] * 9, vocabulary_size=262, progress=False
    )
    backbone = Seq2SeqLM.backbone_of_size(
        "transformer_tiny", byte_tokenizer, target_tokenizer=other
    )
    assert backbone.vocabulary_size == 262
    assert backbone.input_vocabulary_size == byte_tokenizer.vocabulary_size
    backbone = backbone_for(
        other, source_vocabulary_size=byte_tokenizer.vocabulary_size
    )
    task = Seq2SeqLM(backbone, byte_tokenizer, target_tokenizer=other)
    task.save_to_preset(tmp_path / "a")
    again = Seq2SeqLM.from_preset(tmp_path / "a")
    assert again.target_tokenizer.get_config() == task.target_tokenizer.get_config()
    assert again.tokenizer.get_config() == task.tokenizer.get_config()
    task.save(tmp_path / "a.keras")
    opened = keras.saving.load_model(tmp_path / "a.keras")
    scores = [m.score("the cat", "le chat") for m in (task, again, opened)]
    assert len({one["log_probability"] for one in scores}) == 1
    with pytest.raises(ValueError, match="target_tokenizer.vocabulary_size=280"):
        Seq2SeqLM(backbone, byte_tokenizer)


def test_bart_reads_from_start_to_end_and_starts_with_the_end_token():
    tokenizer = ByteBPETokenizer.train(
        SOURCES, vocabulary_size=280, progress=False, **ROBERTA_TOKENS
    )
    task = Seq2SeqLM(backbone_for(tokenizer, BartEncoderDecoder), tokenizer)
    assert task.start_token_id == tokenizer.end_id
    inputs, ids, _ = next(iter(task.evaluation_data(["a"], ["b"])))
    b = tokenizer.tokenize("b")
    assert ids.numpy().tolist() == [[tokenizer.cls_id, *b, tokenizer.sep_id]]
    assert inputs["decoder_token_ids"].numpy().tolist() == [
        [tokenizer.end_id, tokenizer.cls_id, *b]
    ]


@pytest.fixture(scope="module")
def served(model):
    return model.served(num_beams=2, max_new_tokens=NEW).functions


class TestServed:
    """A model with beams, in the graph."""

    OPTIONS = {
        "max_new_tokens": (NEW, "int32"),
        "top_k": (0, "int32"),
        "seed": (3, "int64"),
        "temperature": (0.0, "float32"),
        "top_p": (1.0, "float32"),
        "repetition_penalty": (1.0, "float32"),
        "length_penalty": (1.0, "float32"),
    }

    def ask(self, served, sources, **changed):
        options = {
            name: tf.constant(changed.get(name, [value] * len(sources)), dtype)
            for name, (value, dtype) in self.OPTIONS.items()
        }
        found = served["generate"](text=tf.constant(sources), **options)
        return {name: value.numpy() for name, value in found.items()}

    def test_beams_and_scores_are_those_of_python(self, served, generate):
        groups = generate(
            SOURCES, num_beams=2, num_return_sequences=2, return_dict_in_generate=True
        )
        found = self.ask(served, SOURCES)
        texts = [[beam.text for beam in group] for group in groups]
        assert [[t.decode() for t in row] for row in found["beams"]] == texts
        scores = [[beam.score for beam in group] for group in groups]
        assert found["beam_scores"] == pytest.approx(np.array(scores), abs=1e-4)
        assert found["text"].tolist() == found["beams"][:, 0].tolist()
        default = served["serving_default"](text=tf.constant(SOURCES))["text"]
        assert default.numpy().tolist() == found["text"].tolist()

    def test_every_row_has_its_own_options(self, served, generate):
        changed = dict(
            max_new_tokens=[0, NEW, 3, NEW, -5],
            temperature=[0.0, 1.5, 0.0, 0.0, 0.0],
            length_penalty=[1.0, 1.0, 1.0, -2.0, float("nan")],
        )
        found = self.ask(served, SOURCES, **changed)
        for i, source in enumerate(SOURCES):
            alone = {name: [values[i]] for name, values in changed.items()}
            one = self.ask(served, [source], **alone)
            assert one["beams"].tolist() == found["beams"][i : i + 1].tolist()
            assert one["score"] == pytest.approx(found["score"][i], rel=1e-4)
        assert found["text"][0] == found["text"][4] == b""
        assert np.isfinite(found["beam_scores"]).all()

    def test_scores_of_targets_are_those_of_python(self, served, model):
        found = served["score"](text=tf.constant(SOURCES), target=tf.constant(TARGETS))
        expected = model.score(SOURCES, TARGETS)
        sums = [one["log_probability"] for one in expected]
        assert found["log_probability"].numpy() == pytest.approx(sums, abs=1e-3)
        counts = [len(one["token_ids"]) for one in expected]
        assert found["token_count"].numpy().tolist() == counts

    def test_nothing_and_invalid_text_are_answered(self, served):
        empty = served["serving_default"](text=tf.constant([], tf.string))["text"]
        assert empty.shape == (0,)
        found = served["serving_default"](text=tf.constant(["", b"\xff\xc3", "x" * 99]))
        assert found["text"].shape == (3,)


@pytest.mark.slow
def test_reversing_is_learned():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz"])

    def strings(count):
        return ["".join(row) for row in letters[rng.integers(0, 26, (count, 20))]]

    texts = strings(64_000)
    tokenizer = ByteBPETokenizer.train(["a"], vocabulary_size=257, progress=False)
    backbone = TransformerEncoderDecoder(
        tokenizer.vocabulary_size, 2, 4, 64, 256, dropout=0.0, norm_first=True
    )
    task = Seq2SeqLM(backbone, tokenizer, max_sequence_length=24)
    task.compile(learning_rate=2e-3)
    task.fit(texts, [text[::-1] for text in texts], batch_size=64, verbose=0)
    new = strings(200)
    found = task.generate(new, jit_compile=False, max_new_tokens=23)
    right = sum(one == text[::-1] for one, text in zip(found, new, strict=True))
    assert right >= 198
