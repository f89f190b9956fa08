import keras
import numpy as np
import pytest

from tfzoo.training.schedules import PlannedSchedule, WarmupLinearDecay


def test_the_rate_rises_to_the_peak_and_falls_to_zero():
    schedule = WarmupLinearDecay(2e-3, warmup_steps=10, total_steps=50)
    expected = [2e-3 * min(s / 10, max(0.0, (50 - s) / 40)) for s in range(60)]
    np.testing.assert_allclose(
        [float(schedule(step)) for step in range(60)], expected, rtol=1e-6
    )


def test_a_planned_schedule_has_the_rates_of_one_with_these_steps():
    planned = PlannedSchedule(2e-3, warmup_fraction=0.2)
    one_step = [float(planned(step)) for step in range(4)]
    np.testing.assert_allclose(one_step, [2e-3, 0.0, 0.0, 0.0], rtol=1e-6)
    planned.plan(50, begin=7)
    fixed = WarmupLinearDecay(2e-3, warmup_steps=10, total_steps=50)
    np.testing.assert_allclose(
        [float(planned(step + 7)) for step in range(60)],
        [float(fixed(step)) for step in range(60)],
        rtol=1e-6,
    )


@pytest.mark.parity
def test_the_rates_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    peer = transformers.get_linear_schedule_with_warmup(optimizer, 7, 30)
    schedule = WarmupLinearDecay(1e-4, 7, 30)
    for step in range(35):
        rate = peer.get_last_lr()[0]
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-6)
        optimizer.step()
        peer.step()


@pytest.mark.parametrize(("warmup_steps", "first"), [(0, 1.0), (1, 0.0), (4, 0.0)])
def test_the_first_step_is_at_the_peak_only_without_warmup(warmup_steps, first):
    assert float(WarmupLinearDecay(1.0, warmup_steps, 4)(0)) == first


def test_a_saved_schedule_agrees():
    schedule = WarmupLinearDecay(1e-3, 3, 9)
    config = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(config)
    assert [float(copy(s)) for s in range(10)] == [
        float(schedule(s)) for s in range(10)
    ]


@pytest.mark.parametrize("warmup_steps", [-1, 11])
def test_a_warmup_longer_than_training_is_named(warmup_steps):
    with pytest.raises(ValueError, match=f"warmup_steps={warmup_steps}, total_steps=1"):
        WarmupLinearDecay(1e-3, warmup_steps, 10)


def test_a_peak_of_zero_is_refused():
    with pytest.raises(ValueError, match="peak_learning_rate=0"):
        WarmupLinearDecay(0, 1, 10)
