"""What all tests share: quiet TensorFlow and the optional real data."""

import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as importing tfzoo first does

import pytest

# Run in a process of its own, where TensorFlow has two virtual CPU devices.
STARTER = """
import importlib.util, json, sys, warnings
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
spec = importlib.util.spec_from_file_location("on_two_devices", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(getattr(module, sys.argv[2])()))
"""
ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data beside the checkout; tests that need it skip without it."""
    place = os.environ.get("TFZOO_DATA", ROOT.parent / "shared" / "data")
    if not pathlib.Path(place).is_dir():
        pytest.skip(f"real data not found at {place}")
    return pathlib.Path(place)


@pytest.fixture(scope="session")
def on_two_devices():
    """Calls a function of a file where TensorFlow has two CPUs; what it returns.

    TensorFlow's devices are fixed at its first use, so this takes a new process.
    """

    def call(path, function):
        done = subprocess.run(
            [sys.executable, "-c", STARTER, str(path), function],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return call
