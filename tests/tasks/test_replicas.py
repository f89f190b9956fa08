import pathlib

import pytest


@pytest.mark.slow
def test_raw_strings_train_two_replicas_as_one_device(on_two_devices):
    gaps = on_two_devices(
        pathlib.Path(__file__).with_name("replicated_fits.py"), "compare"
    )
    assert len(gaps) == 5
    for kind, (gap, num_replicas) in gaps.items():
        assert num_replicas == 2
        assert gap <= 1e-5, (kind, gap)
