"""The warm-up requests of a server, run as TF Serving runs them."""

import collections

import pytest
import tensorflow as tf

from tfzoo.serving.core import XLA_BATCH_SIZES, few_lengths
from tfzoo.serving.signatures import padded_core
from tfzoo.serving.warmup import generation_requests
from tfzoo.tasks.classification.served_classes import classifier_signatures
from tfzoo.text import ByteBPETokenizer, Layout


def logs_of(version):
    from tensorflow_serving.apis import prediction_log_pb2

    path = version / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record)


def inputs_of(log):
    """Signature name and input tensors of a record, by TF Serving's rules."""
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    if kind == "predict_log":
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
    else:
        examples = request.input.example_list.examples
        inputs = {"inputs": [example.SerializeToString() for example in examples]}
    name = request.model_spec.signature_name
    return kind, name, {key: tf.constant(value) for key, value in inputs.items()}


def test_every_signature_answers_a_record_of_every_length(exported, moved, tokenizer):
    seen, kinds = collections.Counter(), set()
    for log in logs_of(exported):
        kind, name, inputs = inputs_of(log)
        kinds.add((name, kind))
        answer = moved[name](**inputs)
        if name == "examples":
            parsed = tf.train.Example.FromString(inputs["inputs"][0].numpy())
            text = parsed.features.feature["text"].bytes_list.value[0].decode()
            assert answer["classes"].shape == answer["scores"].shape == (1, 3)
        elif name == "serving_default":
            text = inputs["text"][0].numpy().decode()
        else:
            seen[name, inputs["token_ids"].shape[1]] += 1
            continue
        seen[name, len(tokenizer.encode(text, max_length=1000).token_ids)] += 1
    assert kinds == {
        ("serving_default", "predict_log"),
        ("token_ids", "predict_log"),
        ("examples", "classify_log"),
    }
    assert seen == {
        (name, length): 1
        for name in ("serving_default", "token_ids", "examples")
        for length in (32, 64, 72)
    }


@pytest.mark.slow
def test_a_masked_language_model_is_warmed_up_with_a_gap(exported_masked_lm):
    signatures = tf.saved_model.load(exported_masked_lm).signatures
    shapes = collections.Counter()
    for log in logs_of(exported_masked_lm):
        _, name, inputs = inputs_of(log)
        answer = signatures[name](**inputs)
        shapes[name, *answer.popitem()[1].shape] += 1
    assert shapes == {("serving_default", 1, 1, 3): 3, ("token_ids", 1, 1, 16): 3}


@pytest.mark.slow
def test_a_text_generation_model_answers_its_records(
    exported_causal_lm, served_causal_lm
):
    answered = []
    for log in logs_of(exported_causal_lm):
        _, name, inputs = inputs_of(log)
        answered.append((name, sorted(served_causal_lm[name](**inputs))))
    assert answered == [
        ("serving_default", ["text"]),
        ("generate", ["text", "token_count"]),
        ("score", ["log_probability", "token_count"]),
    ]


@pytest.mark.parametrize("first", [None, "start"])
def test_a_compiled_text_generation_model_is_warmed_up_for_every_shape(first):
    tokenizer = ByteBPETokenizer.train(
        [" . . ."], vocabulary_size=259, start_token="<s>", progress=False
    ).with_layout(Layout(first))
    requests = generation_requests(
        tokenizer,
        num_fixed=int(first is not None),
        context=300,
        max_sequence_length=100,
        max_new_tokens=40,
        jit_compile=True,
    )
    shapes = collections.Counter()
    for request in requests[1:]:
        name = "text" if request.signature == "score" else "prompt"
        texts = request.inputs[name]
        (length,) = {len(tokenizer.tokenize(text)) for text in texts}
        length += name == "prompt" and first is not None
        shapes[request.signature, len(texts), length] += 1
        if name == "prompt":
            new = {*request.inputs["max_new_tokens"]}
            assert new == {min(40, 300 - length)}
    assert shapes == {
        (name, rows, length): 1
        for name, context in (("generate", 300), ("score", 100))
        for rows in XLA_BATCH_SIZES
        for length in few_lengths(context)
    }


@pytest.mark.slow
def test_a_regression_is_warmed_up_through_the_regress_api(serve, tmp_path):
    served = serve(task="regression", labels=None)
    requests = [request for request in served.warmup if request.method == "regress"]
    assert [request.signature for request in requests] == ["examples"] * 3


@pytest.mark.parametrize("pair", [False, True])
def test_a_compiled_model_is_warmed_up_for_every_batch_size(tokenizer, pair):
    core = padded_core(
        lambda inputs: tf.cast(inputs["token_ids"][:, :2], tf.float32),
        tokenizer,
        max_sequence_length=40,
        jit_compile=True,
    )
    served = classifier_signatures(
        core, tokenizer, labels=("no", "yes"), text_pair=pair
    )
    rows = {
        len(request.inputs["text"])
        for request in served.warmup
        if request.signature == "serving_default"
    }
    assert rows == set(XLA_BATCH_SIZES)
    assert len(served.warmup) == len(XLA_BATCH_SIZES) * 2 * 3
