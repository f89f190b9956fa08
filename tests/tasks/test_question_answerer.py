import gzip
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import eagerly
from tfzoo.families import BertEncoder
from tfzoo.tasks import MaskedLM, QuestionAnswerer, from_preset
from tfzoo.tasks.answering.spans import NO_ANSWER, likeliest_spans, window_spans

ANIMALS = ["cat", "dog", "zebra", "bird"]


@pytest.fixture
def model(make_encoder, tokenizer):
    return QuestionAnswerer(
        make_encoder(dropout=0.0, pooler=False), tokenizer, max_answer_length=4
    )


@pytest.fixture(scope="module")
def records():
    """SQuAD-like records about what sat, in contexts of one to four windows."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(24):
        words = list(rng.choice("the mat tree on ran under".split(), 3 + 2 * i))
        animal = str(ANIMALS[i % 4])
        place = int(rng.integers(0, len(words)))
        words[place:place] = [animal, "sat"]
        context = " ".join(map(str, words))
        found.append(
            {
                "id": str(i),
                "question": "what sat?",
                "context": context,
                "answers": [{"text": animal, "answer_start": context.index(animal)}],
            }
        )
    return found


@pytest.fixture(scope="module")
def columns(records):
    x = {name: [r[name] for r in records] for name in ("question", "context")}
    return x, [r["answers"] for r in records]


@pytest.fixture(scope="module")
def trained(tokenizer, records):
    keras.utils.set_random_seed(0)
    encoder = BertEncoder(
        tokenizer.vocabulary_size,
        1,
        2,
        32,
        64,
        dropout=0.0,
        max_sequence_length=32,
        pooler=False,
    )
    model = QuestionAnswerer(encoder, tokenizer, max_answer_length=6)
    model.compile(learning_rate=1e-2)
    model.fit(records, batch_size=8, epochs=20, verbose=0)
    return model


def test_it_learns_from_squads_records_and_answers(trained, columns):
    x, y = columns
    result = trained.evaluate(x, y, verbose=0, return_dict=True)
    assert {
        "loss",
        "start_accuracy",
        "end_accuracy",
        "span_accuracy",
        "exact_match",
        "f1",
    } == set(result)
    assert result["exact_match"] > 0.9 and result["f1"] >= result["exact_match"]
    for answer, context, right in zip(
        trained.answer(x["question"], x["context"]), x["context"], y, strict=True
    ):
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        if answer["answer"] == right[0]["text"]:
            assert answer["start"] == right[0]["answer_start"]
        assert 0 < answer["score"] <= 1


def test_one_question_has_one_answer_and_a_list_has_a_list(trained):
    context = "the cat sat on the mat"
    alone = trained.answer("what sat?", context)
    assert alone["answer"] == "cat"
    assert trained.answer(["what sat?"], [context]) == [alone]
    best = trained.answer("what sat?", context, top_k=4)
    assert len(best) == 4 and best[0] == pytest.approx(alone)
    scores = [answer["score"] for answer in best]
    assert scores == sorted(scores, reverse=True)
    assert len({(a["start"], a["end"]) for a in best}) == 4
    assert trained.answer([], []) == []


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def brute_force(row, offset, count, max_answer_length):
    """All spans of one window, by transformers 4's question-answering pipeline."""
    keep = np.r_[0, offset : offset + count]
    start, end = (softmax(row[keep, i].astype(np.float64))[1:] for i in (0, 1))
    outer = np.tril(np.triu(np.outer(start, end)), max_answer_length - 1)
    spans = [(outer[i, j], i, j) for i, j in zip(*np.nonzero(outer), strict=True)]
    return sorted(spans, reverse=True), start, end


def spans_of(rows, places, *, top_k, max_answer_length, unanswerable):
    """(Probability, first token, last token) of the spans of one question."""
    offset, first, count = np.array(places, np.int32).T
    where = dict(offset=offset, first=first, count=count, question=first * 0)
    options = dict(top_k=top_k, max_answer_length=max_answer_length)
    logits = np.stack(rows).astype(np.float64)
    parts = window_spans(logits, where, **options)
    found = likeliest_spans(parts, where, 1, unanswerable=unanswerable, **options)
    return [*zip(*(x.to_list()[0] for x in found), strict=True)]


def test_the_likeliest_spans_of_a_window_are_those_of_the_pipeline():
    rng = np.random.default_rng(0)
    for _ in range(20):
        row = rng.normal(size=(14, 2)).astype(np.float32) * 3
        expected, _, _ = brute_force(row, 4, 9, 3)
        found = spans_of(
            [row], [(4, 0, 9)], top_k=7, max_answer_length=3, unanswerable=False
        )
        assert len(found) == 7
        for (score, *span), (theirs, *other) in zip(found, expected[:7], strict=True):
            assert span == other and score == pytest.approx(theirs, rel=1e-6)


def test_more_spans_than_exist_may_be_requested(trained):
    found = trained.answer("what sat?", "the cat sat", top_k=10_000)
    assert 1 < len(found) <= 6
    assert len({(one["start"], one["end"]) for one in found}) == len(found)


def test_windows_are_compared_by_logits_and_overlaps_count_once():
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(9, 2)) * 2 for _ in range(3)]
    places = [(2, 0, 6), (2, 4, 6), (2, 8, 4)]
    found = spans_of(rows, places, top_k=100, max_answer_length=3, unanswerable=False)
    best = {}
    for row, (offset, first, count) in zip(rows, places, strict=True):
        for i in range(count):
            for j in range(i, min(i + 3, count)):
                logit = row[offset + i, 0] + row[offset + j, 1]
                key = (first + i, first + j)
                best[key] = max(best.get(key, -np.inf), logit)
    assert {span[1:] for span in found} == set(best)
    order = sorted(best, key=best.get, reverse=True)
    assert [span[1:] for span in found] == order
    ratio = found[0][0] / found[3][0]
    assert ratio == pytest.approx(np.exp(best[order[0]] - best[order[3]]))


def test_no_answer_has_the_lowest_of_its_logits():
    rows = [np.zeros((6, 2)), np.zeros((6, 2))]
    rows[0][0] = 4.0  # one window certainly has no answer
    rows[1][0] = 1.0
    for logit, expected in ((0.5, (2, 2)), (3.0, (5, 5))):
        rows[1][3] = logit
        places = [(2, 0, 3), (2, 4, 3)]
        both = dict(top_k=2, max_answer_length=2, unanswerable=True)
        best = spans_of(rows, places, **both)
        assert best[0][1:] == ((NO_ANSWER,) * 2 if logit < 1 else expected)
        without = spans_of(rows, places, **(both | {"unanswerable": False}))
        assert all(span[1] != NO_ANSWER for span in without)


@pytest.mark.slow
def test_a_question_without_an_answer_is_learned_and_answered(make_encoder, tokenizer):
    keras.utils.set_random_seed(0)
    model = QuestionAnswerer(
        make_encoder(dropout=0.0, pooler=False), tokenizer, unanswerable=True
    )
    x = {
        "question": ["what sat?", "what sat?"] * 8,
        "context": ["the cat sat", "a mat ran on"] * 8,
    }
    y = [[{"text": "cat", "answer_start": 4}], []] * 8
    model.compile(learning_rate=2e-2)
    model.fit(x, y, epochs=25, verbose=0)
    found = model.answer(x["question"][:2], x["context"][:2])
    assert [answer["answer"] for answer in found] == ["cat", ""]
    assert found[1]["score"] > 0.5 and found[1]["end"] == 0
    assert model.evaluate(x, y, verbose=0, return_dict=True)["exact_match"] == 1.0
    best = model.answer("what sat?", "a mat ran on", top_k=2)
    assert best[0]["answer"] == "" and best[1]["answer"]


def test_an_empty_context_has_an_empty_answer(model):
    empty = {"answer": "", "score": 0.0, "start": 0, "end": 0}
    assert model.answer("what?", "") == empty
    assert model.answer("what?", " \n", top_k=3) == [empty]


@pytest.mark.parametrize(
    "form",
    [
        lambda a: a,
        lambda a: a[0],
        lambda a: {"text": [a[0]["text"]], "answer_start": [a[0]["answer_start"]]},
    ],
    ids=["squad", "one", "columns"],
)
def test_answers_may_have_three_forms(model, columns, form):
    x, y = columns
    batches = [list(model.training_data(x, a)) for a in (y, [form(a) for a in y])]
    for a, b in zip(*map(keras.tree.flatten, batches), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            [[{"text": "cat", "answer_start": 5}]],
            "'cat' at 5 in row 0, where the context has 'at '",
        ),
        ([[{"text": "cat", "answer_start": -3}]], "'cat' at -3 in row 0"),
        (None, "y=None"),
        ([], "the same length. Received: 1 and 0"),
        ([{"text": "cat"}], "dicts of text and answer_start.*in row 0"),
        (["cat"], "dicts of text and answer_start.*'cat' in row 0"),
        ([["cat"]], "dicts of text and answer_start.*'cat'. in row 0"),
        ([{"text": "cat", "answer_start": np.nan}], "an integer.*nan in row 0"),
        ([{"text": None, "answer_start": 4}], "must be a string.*None in row 0"),
        ([{"text": ["cat"], "answer_start": []}], "an integer.*None in row 0"),
    ],
)
def test_an_answer_that_is_not_in_its_context_is_reported(model, answers, message):
    x = {"question": ["what?"], "context": ["the cat sat"]}
    with pytest.raises(ValueError, match=message):
        model.fit(x, answers, verbose=0)


def test_windows_that_cannot_advance_are_refused(make_encoder, tokenizer):
    with pytest.raises(ValueError, match="stride must be < 19.*stride=20"):
        QuestionAnswerer(make_encoder(), tokenizer, stride=20)
    model = QuestionAnswerer(make_encoder(), tokenizer, stride=18)
    assert model.answer("what?", "a cat " * 30)["answer"]


def test_label_smoothing_is_refused(model):
    with pytest.raises(ValueError, match="label_smoothing=0.1"):
        model.compile(label_smoothing=0.1)


def test_padding_changes_nothing(model, tokenizer):
    ids = np.random.default_rng(0).integers(5, 50, (2, 9)).astype(np.int32)
    inputs = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids * 0 + 1}
    wide = {name: np.pad(x, ((0, 0), (0, 4))) for name, x in inputs.items()}
    short, long = np.array(model(inputs)), np.array(model(wide))
    np.testing.assert_allclose(short, long[:, :9], atol=1e-5)
    y = np.array([[1, 2], [0, 8]])
    assert float(model.compute_loss(inputs, y, short) if model.compiled else 0) == 0
    model.compile()
    losses = [
        model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        for x in (inputs, wide)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_predict_returns_the_logits_of_every_window(model, columns):
    x = {name: texts[-2:] for name, texts in columns[0].items()}
    logits = model.predict(x)
    windows = model._windows(model.raw_input(x))
    assert logits.shape == (len(windows.question), windows.encoded.lengths.max(), 2)
    for row, length in zip(logits, windows.encoded.lengths, strict=True):
        assert np.isfinite(row[:length]).all() and np.isnan(row[length:]).all()


def test_saved_copies_agree(trained, columns, tmp_path):
    trained.save(tmp_path / "a.keras")
    trained.save_to_preset(tmp_path / "a")
    x = {name: texts[:4] for name, texts in columns[0].items()}
    expected = trained.predict(x)
    for copy in (
        keras.saving.load_model(tmp_path / "a.keras"),
        QuestionAnswerer.from_preset(tmp_path / "a"),
        from_preset(tmp_path / "a"),
    ):
        assert copy.task_arguments() == trained.task_arguments()
        np.testing.assert_allclose(eagerly(copy).predict(x), expected, atol=1e-5)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"]


def test_a_checkpoint_of_another_task_gives_the_backbone(
    make_encoder, tokenizer, tmp_path, caplog
):
    MaskedLM(make_encoder(), tokenizer).save_to_preset(tmp_path / "words")
    QuestionAnswerer.from_preset(tmp_path / "words")
    assert "New, random weights: answer_span/bias, answer_span/kernel" in caplog.text


def check_served(model, served, questions, contexts):
    """The served model gives the model's answers, and different ones."""
    answers = served(question=tf.constant(questions), context=tf.constant(contexts))
    expected = model.answer(questions, contexts)
    assert len({answer["answer"] for answer in expected}) > 3
    for row, answer in enumerate(expected):
        assert answers["answer"][row].numpy().decode() == answer["answer"]
        assert int(answers["start"][row]) == answer["start"]
        assert int(answers["end"][row]) == answer["end"]
        assert float(answers["score"][row]) == pytest.approx(answer["score"], abs=1e-5)


def test_what_is_served_gives_the_same_answers(make_encoder, whole_words, unsaved):
    encoder = make_encoder(pooler=False)
    model = QuestionAnswerer(encoder, whole_words, max_answer_length=6)
    contexts = ["the cat sat on a mat", "dog", "", "the very good dog ran " * 12]
    questions = ["the cat", "", "a film", "dog " * 40]
    contexts += ["the dog " * n for n in range(4, 20)]  # of one to several windows
    questions += ["a dog"] * 16
    check_served(model, unsaved(model)["serving_default"], questions, contexts)


@pytest.mark.slow
@pytest.mark.parametrize("unanswerable", [False, True])
def test_the_saved_model_gives_the_same_answers(
    trained, tokenizer, columns, tmp_path, unanswerable
):
    model = QuestionAnswerer(
        trained.backbone, tokenizer, max_answer_length=6, unanswerable=unanswerable
    )
    model.set_weights(trained.get_weights())
    x, _ = columns
    questions = [*x["question"], "", "what " * 40, "x", "na\u00efve?"]
    contexts = [*x["context"], "a cat", "the dog sat", "", "dog cat\u0301s \u200b cat"]
    path = model.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    check_served(model, served, questions, contexts)


def squad(path, limit):
    articles = json.load(gzip.open(path, "rt", encoding="utf-8"))["data"]
    return [
        {"question": qa["question"], "context": p["context"], "answers": qa["answers"]}
        for article in articles
        for p in article["paragraphs"]
        for qa in p["qas"]
    ][:limit]


def test_every_answer_of_squad_is_recovered_from_its_tokens(
    shared_data, make_encoder, tokenizer
):
    from tfzoo.data.context_windows import answer_targets
    from tfzoo.training.answers import exact_match_and_f1

    records = squad(
        shared_data / "squad" / "derived-squad-v1.1-style-dev.json.gz", limit=200
    )
    encoder = make_encoder(max_sequence_length=384)
    model = QuestionAnswerer(encoder, tokenizer, max_sequence_length=384)
    questions = model.raw_input(records)
    windows = model._windows(questions)
    spans = [
        (a["answer_start"], a["answer_start"] + len(a["text"]))
        for a in (r["answers"][0] for r in records)
    ]
    targets = answer_targets(windows, spans)
    found, same = set(), 0
    for n, offset, first, target in zip(
        windows.question, windows.offset, windows.first, targets, strict=True
    ):
        if target[0] and n not in found:
            found.add(n)
            start, end = target + first - offset
            tokens = windows.contexts[n]
            text = records[n]["context"][tokens.starts[start] : tokens.ends[end]]
            same += exact_match_and_f1(text, [records[n]["answers"][0]["text"]])[0]
    assert len(found) == len(records) and same / len(found) > 0.97


@pytest.mark.parametrize("wrong", [0, 1.5, True, None])
@pytest.mark.parametrize("name", ["top_k", "batch_size"])
def test_a_number_that_is_not_whole_is_named(model, name, wrong):
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1.*{wrong}"):
        model.answer("what?", "a cat", **{name: wrong})


def test_a_question_and_its_context_may_be_named_in_the_singular(model):
    expected = model.answer("what sat?", "the cat sat")
    assert model.answer(question="what sat?", context="the cat sat") == expected
    assert model.answer(questions="what sat?", contexts="the cat sat") == expected
    several = model.answer(question=["what sat?"], context=["the cat sat"])
    assert several == [expected]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(question="a"), "one of contexts and context must be given.*neither"),
        (dict(contexts="a"), "one of questions and question must be given.*neither"),
        (
            dict(questions="a", question="a", context="b"),
            "questions and question.*both",
        ),
        (dict(questions="a", contexts="b", context="b"), "contexts and context.*both"),
    ],
)
def test_a_question_and_its_context_are_given_once(model, given, message):
    with pytest.raises(ValueError, match=message):
        model.answer(**given)
