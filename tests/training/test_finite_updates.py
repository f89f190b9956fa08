import math
import pathlib

import keras
import numpy as np
import pytest

from helpers import module
from tfzoo.errors import TfzooError
from tfzoo.training import AdamW

SCRIPT = pathlib.Path(__file__).with_name("marked_model.py")
marked = module(SCRIPT)

STEPS, BAD = 5, (3,)
slow = pytest.mark.slow


def adamw():
    return AdamW(1e-2, global_clipnorm=1.0)


def accumulating():
    return keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2)


def fitted(make_optimizer, data, **options):
    model = marked.make_model(make_optimizer(), on_non_finite="skip", **options)
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history
    return model, history


@pytest.mark.parametrize(
    ("make_optimizer", "options"),
    [
        pytest.param(adamw, {}, id="graph"),
        pytest.param(adamw, dict(run_eagerly=True), id="eager"),
        pytest.param(adamw, dict(jit_compile=True), id="xla", marks=slow),
        pytest.param(adamw, dict(steps_per_execution=3), id="executions", marks=slow),
        pytest.param(keras.optimizers.Adam, {}, id="adam", marks=slow),
        pytest.param(
            keras.optimizers.Adam, dict(jit_compile=True), id="adam-xla", marks=slow
        ),
        pytest.param(lambda: keras.optimizers.SGD(0.1, 0.9), {}, id="sgd", marks=slow),
        pytest.param(accumulating, {}, id="accumulation", marks=slow),
        pytest.param(
            lambda: AdamW(use_ema=True, clipnorm=1.0), {}, id="kerass-path", marks=slow
        ),
    ],
)
@pytest.mark.parametrize("value", [marked.MARK, math.nan], ids=["gradient", "loss"])
def test_a_skipped_step_equals_training_without_its_batch(
    make_optimizer, options, value
):
    data = marked.batches(STEPS, BAD, value)
    model, history = fitted(make_optimizer, data, **options)
    other = marked.batches(STEPS, without=BAD)
    expected, expected_history = fitted(make_optimizer, other, **options)
    pairs = zip(marked.state(model), marked.state(expected), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert history == expected_history


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=slow)])
def test_finite_training_equals_keras_bit_for_bit(jit_compile):
    """The optimizer's update is in a branch, which XLA must not fuse differently."""
    states = []
    for cls in (keras.Model, marked.FiniteModel):
        model = marked.make_model(
            adamw(), cls=cls, dropout=0.3, jit_compile=jit_compile
        )
        history = model.fit(*marked.arrays(STEPS), epochs=2, verbose=0).history
        states.append((marked.state(model), history))
    (ours, our_history), (theirs, their_history) = states
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert our_history == their_history


def test_the_first_skipped_step_and_the_total_are_reported(capsys):
    fitted(adamw, marked.batches(STEPS, (2, 3)), run_eagerly=True)
    first, total = capsys.readouterr().err.splitlines()
    assert "words/embeddings, hidden/kernel, hidden/bias and 2 more are not" in first
    assert "at step 2 (batch 2 of 5 of epoch 1)" in first
    assert total.startswith("warning: 4 of 10 updates were skipped")


@pytest.fixture(scope="module")
def stopping():
    """A model that has been trained, and is traced."""
    model = marked.make_model(adamw())
    model.fit(marked.batches(2), shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            marked.MARK,
            r"Every gradient must be finite\. .*kernel.* and \d more are not",
        ),
        (math.nan, r"The loss must be finite\. Received: nan"),
        (math.inf, r"The loss must be finite\. Received: inf"),
    ],
)
def test_stop_names_what_was_not_finite_and_keeps_the_weights(stopping, value, message):
    kept = marked.state(stopping)
    with pytest.raises(TfzooError, match=message) as raised:
        stopping.fit(marked.batches(3, (1,), value), shuffle=False, verbose=0)
    assert "at step 1 (batch 1 of 3 of epoch 1)" in str(raised.value)
    assert "\n" not in str(raised.value)
    for ours, theirs in zip(marked.state(stopping), kept, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@slow
def test_stop_ends_the_updates_of_an_execution_of_several_steps():
    model = marked.make_model(adamw(), steps_per_execution=4)
    with pytest.raises(TfzooError, match=r"at step 2 \(batch 2"):
        model.fit(marked.batches(4, (2,)), shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 1


def test_keras_own_callback_ends_a_training_without_an_error(capsys):
    model = marked.make_model(adamw(), run_eagerly=True)
    callbacks = [keras.callbacks.TerminateOnNaN()]
    model.fit(
        marked.batches(4, (2,), math.nan), callbacks=callbacks, shuffle=False, verbose=0
    )
    assert "Batch 1: Invalid loss, terminating training" in capsys.readouterr().out
    assert all(np.isfinite(array).all() for array in marked.state(model))


def test_a_learning_rate_that_is_not_finite_is_a_fault():
    model = marked.make_model(keras.optimizers.SGD(math.inf), run_eagerly=True)
    kept = marked.state(model)
    with pytest.raises(
        TfzooError, match="The learning rate must be finite. Received: inf"
    ):
        model.fit(marked.batches(2), shuffle=False, verbose=0)
    for ours, theirs in zip(marked.state(model), kept, strict=False):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_weights_that_overflow_despite_finite_gradients_are_an_error(policy):
    optimizer = keras.optimizers.SGD(3e38, weight_decay=1e38)
    model = marked.make_model(optimizer, run_eagerly=True, on_non_finite=policy)
    with pytest.raises(TfzooError, match="not, although every gradient was"):
        model.fit(marked.batches(3), shuffle=False, verbose=0)


def test_many_skipped_updates_in_a_row_are_an_error():
    model = marked.make_model(adamw(), run_eagerly=True, on_non_finite="skip")
    data = marked.batches(14, range(3, 15))
    with pytest.raises(TfzooError, match="10 in a row that were not.* step 12 "):
        model.fit(data, shuffle=False, verbose=0)


def test_as_many_skipped_updates_with_good_ones_in_between_are_no_error():
    model = marked.make_model(adamw(), run_eagerly=True, on_non_finite="skip")
    data = marked.batches(24, range(2, 25, 2))
    model.fit(data, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 12


def test_an_epoch_without_an_update_has_no_loss():
    model = marked.make_model(adamw(), run_eagerly=True, on_non_finite="skip")
    history = model.fit(marked.batches(2, (1, 2)), shuffle=False, verbose=0).history
    assert math.isnan(history["loss"][0])


def test_train_on_batch_is_guarded_too(capsys):
    x, y = marked.arrays(1, (1,))
    model = marked.make_model(adamw(), run_eagerly=True)
    model.train_on_batch(*marked.arrays(1))
    kept = marked.state(model)
    with pytest.raises(TfzooError, match="Every gradient .* in this batch"):
        model.train_on_batch(x, y)
    model.on_non_finite = "skip"
    model.train_on_batch(x, y)
    assert "This update is skipped" in capsys.readouterr().err
    for ours, theirs in zip(marked.state(model), kept, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_policy_that_fit_does_not_support_is_refused():
    with pytest.raises(ValueError, match=r"\('stop', 'skip', 'rewind'\).*'ignore'"):
        marked.make_model(adamw(), on_non_finite="ignore")
    model = marked.make_model(adamw(), on_non_finite="rewind")
    with pytest.raises(ValueError, match="'rewind', which only a Run supports"):
        model.fit(marked.batches(1), verbose=0)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=slow)])
def test_scaled_gradients_that_overflow_are_left_to_the_loss_scale(jit_compile):
    optimizer = keras.optimizers.LossScaleOptimizer(adamw(), initial_scale=2.0**10)
    model = marked.make_model(optimizer, jit_compile=jit_compile)
    model.fit(marked.batches(4, (2,)), shuffle=False, verbose=0)  # does not stop
    assert float(optimizer.dynamic_scale) == 2.0**9
    assert int(optimizer.iterations) == 3


def test_a_vanishing_loss_scale_stops_training():
    optimizer = keras.optimizers.LossScaleOptimizer(adamw(), initial_scale=2.0**-10)
    model = marked.make_model(optimizer)
    with pytest.raises(TfzooError, match="Every gradient must be finite.* step 5 "):
        model.fit(marked.batches(6, range(1, 7)), shuffle=False, verbose=0)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "global_clipnorm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_an_optimizer_with_non_finite_numbers_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must .* Received: {name}={value}"):
        AdamW(**{name: value})


@slow
def test_replicas_skip_a_step_together(on_two_devices):
    found = on_two_devices(SCRIPT.with_name("mirrored_faults.py"), "compare")
    assert found.pop("replicas") == 2
    assert "at step 3 (batch 3 of 4 of epoch 1)" in found.pop("stopped")
    assert len(found) == 6
    assert [name for name, same in found.items() if same is not True] == []
