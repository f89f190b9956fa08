"""A run, a save and an export, killed or failing at each of their file operations."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("interrupted_operations.py")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["KILL", "ENOSPC", "EACCES", "EINTR"])
@pytest.mark.parametrize("scenario", ["save", "export", "run"])
def test_after_every_interruption_the_next_start_completes(scenario, kind):
    done = subprocess.run(
        [sys.executable, SCRIPT, scenario, kind], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    operations = int(done.stdout.split()[-2])
    assert operations > 20
