import pathlib

import pytest
import tensorflow as tf

from tfzoo.training import distribution

FITS = pathlib.Path(__file__).with_name("mirrored_fits.py")


@pytest.fixture(scope="module")
def comparison(on_two_devices):
    return on_two_devices(FITS, "compare")


@pytest.mark.slow
def test_two_replicas_give_the_weights_of_one_device(comparison):
    assert comparison["replicas"] == 2
    assert comparison["weights"] <= 1e-5


@pytest.mark.slow
def test_two_replicas_log_the_losses_and_metrics_of_one_device(comparison):
    logs = comparison["logs"]
    assert {"loss", "words_loss", "val_loss", "words_accuracy", "class_f1"} <= set(logs)
    assert {name: gap for name, gap in logs.items() if gap > 1e-5} == {}


@pytest.mark.slow
def test_options_unsupported_with_several_replicas_are_refused(comparison):
    named = ["jit_compile", "steps_per_execution", "gradient_accumulation_steps"]
    named += ["loss scaling", "use_ema"]
    assert len(comparison["refusals"]) == len(named)
    for name, message in zip(named, comparison["refusals"], strict=True):
        assert message.startswith(name)
        assert "2 replicas" in message


def test_the_strategy_none_is_tensorflows_default():
    with distribution.strategy("none").scope():
        assert not tf.distribute.has_strategy()
        assert distribution.num_replicas() == 1


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match="'multi_worker'"):
        distribution.strategy("multi_worker")
