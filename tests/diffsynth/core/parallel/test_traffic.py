"""The bytes that are predicted are those that are counted, and those that leave the processes."""

import os
import subprocess
import sys

import pytest

from tests.diffsynth.ranks import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells what a connection has carried")
def test_four_processes_send_what_is_predicted():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.parallel_traffic"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| ulysses ") == 10  # two networks
