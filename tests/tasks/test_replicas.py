import pathlib

import pytest


@pytest.mark.slow
def test_raw_strings_train_two_replicas_as_one_device(on_two_devices):
    gaps = on_two_devices(
        pathlib.Path(__file__).with_name("replicated_fits.py"), "compare"
    )
    assert gaps["replicas"] == 2
    assert gaps["list"] <= 1e-5 and gaps["dataset"] <= 1e-5, gaps
