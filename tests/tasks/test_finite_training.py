"""A fit on texts reports the examples of a non-finite step."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import TfzooError
from tfzoo.tasks import CausalLM, TextClassifier
from tfzoo.training import Run

TEXTS = ["the dog sat", "a very bad film", "cat", "a good dog", "the mat", "ran under"]
LABELS = ["no", "no", "yes", "yes", "no", "yes"]


@pytest.fixture
def make_classifier(make_encoder, tokenizer):
    def make(**options):
        task = TextClassifier(make_encoder(dropout=0.0), tokenizer, ["no", "yes"])
        task.compile(run_eagerly=True, **options)
        return task

    return make


def poison(task, word):
    """Makes the embedding of a word infinite as long as it is not updated."""
    table = next(w for w in task.weights if "token" in w.path and len(w.shape) == 2)
    values = table.numpy()
    values[task.tokenizer.token_to_id(word)] = np.float32(3e38)
    table.assign(values)


def test_a_non_finite_step_is_reported_with_rows_and_texts(make_classifier):
    task = make_classifier(optimizer=keras.optimizers.SGD(1e-3))
    poison(task, "film")
    with pytest.raises(TfzooError, match=r"rows 1: 'a very bad film'"):
        task.fit(TEXTS, LABELS, batch_size=1, verbose=0)


def test_a_skipped_step_is_reported_with_its_texts(make_classifier, capsys):
    task = make_classifier(optimizer=keras.optimizers.SGD(1e-3), on_non_finite="skip")
    poison(task, "film")
    task.fit(TEXTS, LABELS, batch_size=2, epochs=2, verbose=0)
    first, total = capsys.readouterr().err.splitlines()
    assert "'a very bad film'" in first
    assert "2 of 6 updates were skipped" in total
    assert all(np.isfinite(w).all() for w in task.get_weights())


def test_for_a_dataset_only_the_step_is_reported(make_classifier):
    task = make_classifier(optimizer=keras.optimizers.SGD(1e-3))
    poison(task, "film")
    data = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(2)
    with pytest.raises(
        TfzooError,
        match=r"at step 1 \(batch 1.* of epoch 1\)\. The update was discarded",
    ):
        task.fit(data, verbose=0)


def test_text_without_weights_has_no_rows(make_gpt, byte_tokenizer):
    task = CausalLM(make_gpt(dropout=0.0), byte_tokenizer)
    task.compile(optimizer=keras.optimizers.SGD(math.inf), run_eagerly=True)
    with pytest.raises(TfzooError, match="Its examples are '.*cat sat on"):
        task.fit(["the cat sat on the mat " * 20], batch_size=4, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_half_precision_skips_a_non_finite_loss(make_encoder, tokenizer, jit_compile):
    encoder = make_encoder(dropout=0.0, dtype="mixed_float16")
    task = TextClassifier(encoder, tokenizer, ["no", "yes"])
    task.compile(learning_rate=1e-3, on_non_finite="skip", jit_compile=jit_compile)
    poison(task, "film")
    task.fit(TEXTS, LABELS, batch_size=1, epochs=3, verbose=0)
    assert all(np.isfinite(w).all() for w in task.get_weights())
    assert int(task.optimizer.iterations) > 0


def test_the_policy_is_saved_with_the_model(make_classifier):
    task, other = make_classifier(on_non_finite="skip"), make_classifier()
    other.compile_from_config(task.get_compile_config())
    assert other.on_non_finite == "skip"


def test_a_run_without_a_fixed_schedule_is_refused(make_classifier, tmp_path):
    task = make_classifier()
    with Run(tmp_path, {}) as run:
        with pytest.raises(ValueError, match=r"compile\(total_steps=\.\.\.\)"):
            run.fit(task, lambda start: None, steps_per_epoch=2, epochs=1)
