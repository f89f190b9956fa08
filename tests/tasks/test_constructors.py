"""Invalid arguments of tasks are rejected immediately."""

import numpy as np
import pytest

from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)
from tfzoo.training import metrics
from tfzoo.training.entities import EntityMetrics

TASKS = {
    BertPretrainer: dict(next_sentence="no", whole_word=1),
    CausalLM: dict(document_borders="no"),
    MaskedLM: dict(whole_word=None),
    QuestionAnswerer: dict(unanswerable="no"),
    TextClassifier: dict(text_pair="no"),
    TextEmbedder: dict(normalize="no"),
    TokenClassifier: dict(),
}


@pytest.fixture(scope="module")
def make(small_encoder, make_gpt, tokenizer, byte_tokenizer):
    encoder, gpt = small_encoder(), make_gpt()

    def make(task, **options):
        if task is CausalLM:
            return task(gpt, byte_tokenizer, **options)
        if task in (TextClassifier, TokenClassifier):
            options["labels"] = ["no", "yes"]
        return task(encoder, tokenizer, **options)

    return make


@pytest.mark.parametrize("task", TASKS)
def test_invalid_lengths_and_flags_are_refused(make, task):
    for length in (0, 2, 8.5, "8", True, 33):
        with pytest.raises(
            ValueError, match=r"max_sequence_length must be an integer in \[3, 32\]"
        ):
            make(task, max_sequence_length=length)
    assert make(task, max_sequence_length=8).max_sequence_length == 8
    for name, value in TASKS[task].items():
        with pytest.raises(ValueError, match=f"{name} must be True or False"):
            make(task, **{name: value})


@pytest.mark.parametrize(
    ("task", "method", "keyword", "near"),
    [
        (TextClassifier, "fit", "epoch", "epochs"),
        (TextClassifier, "evaluate", "sample_weights", "sample_weight"),
        (TextClassifier, "predict", "step", "steps"),
        (TextClassifier, "train_on_batch", "sample_weights", "sample_weight"),
        (TextClassifier, "test_on_batch", "return_dicts", "return_dict"),
        (TextClassifier, "save_to_preset", "max_shard", "max_shard_size"),
        (TextClassifier, "export_version", "jit_compiled", "jit_compile"),
        (TokenClassifier, "predict", "callback", "callbacks"),
        (QuestionAnswerer, "predict", "verbos", "verbose"),
        (MaskedLM, "predict", "batchsize", "batch_size"),
        (BertPretrainer, "predict", "batchsize", "batch_size"),
        (TextClassifier, "compile", "learing_rate", "learning_rate"),
        (TextClassifier, "classify", "batchsize", "batch_size"),
        (TextEmbedder, "embed", "batchsize", "batch_size"),
        (TokenClassifier, "tag", "batchsize", "batch_size"),
        (QuestionAnswerer, "answer", "topk", "top_k"),
        (MaskedLM, "fill_mask", "topk", "top_k"),
        (CausalLM, "perplexity", "stide", "stride"),
        (CausalLM, "score", "stide", "stride"),
        (CausalLM, "export_version", "max_token", "max_new_tokens"),
    ],
)
def test_an_unknown_keyword_of_a_method_is_reported(make, task, method, keyword, near):
    with pytest.raises(TypeError, match=f"{method} takes no .*{keyword}.*{near}"):
        getattr(make(task), method)(["a"], **{keyword: 1})


def test_an_unknown_keyword_of_a_call_is_reported(make):
    task = make(TextClassifier)
    ids = {name: np.ones((1, 3), np.int32) for name in task.input}
    assert task(ids, training=True).shape == (1, 2)
    with pytest.raises(TypeError, match="takes no argument 'trainning'.*training"):
        task(ids, trainning=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_answer_length", 2.5), ("max_question_length", 0), ("stride", True)],
)
def test_an_invalid_number_of_tokens_is_refused(make, name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer >= "):
        make(QuestionAnswerer, **{name: value})


@pytest.mark.parametrize("task", [TextClassifier, TokenClassifier])
def test_labels_cannot_be_replaced(make, task):
    model = make(task)
    assert model.labels == ("no", "yes") == tuple(model.get_config()["labels"])
    assert model.output_shape[-1] == model.num_outputs == 2
    with pytest.raises(AttributeError, match="labels"):
        model.labels = ["a", "b", "c"]
    with pytest.raises(TypeError, match="export_version takes no argument 'labels'"):
        model.export_version("nowhere", labels=["a", "b"])


def test_a_metric_of_other_labels_is_refused(make):
    message = "must have the labels of the task, num_classes=2. .*num_classes=3"
    with pytest.raises(ValueError, match=message):
        make(TextClassifier).compile(metrics=[metrics.ClassificationMetrics(3)])
    message = r"labels=\['no', 'yes'\]. Received: labels=\['yes', 'no'\]"
    model = make(TokenClassifier)
    with pytest.raises(ValueError, match=message):
        model.compile(weighted_metrics=[EntityMetrics(["yes", "no"])])
    model.compile(weighted_metrics=[EntityMetrics(["no", "yes"])])
