"""What --initialize_model_on_cpu is for: how much device memory loading takes at most."""

import json

import pytest

from diffsynth.families.family import Sizes
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.diffusion.training.conftest import FULL, WAN21, run
from tests.diffsynth.diffusion.training.driver import WAN
from tests.diffsynth.diffusion.training.test_same_curve import FSDP, OF_A_BLOCK

ON_CPU = "--initialize_model_on_cpu"


@pytest.fixture(scope="module")
def deep_models(tmp_path_factory):
    """A model of twelve blocks, so that one is a small part."""
    root = tmp_path_factory.mktemp("deep")
    make_weights(WAN21, root, sizes=Sizes(layers=12))
    return root


@pytest.mark.slow
def test_at_most_the_shard_and_the_largest_block(launch, encoded_flags_of, deep_models, tmp_path):
    config = tmp_path / "fsdp.yaml"
    config.write_text(FSDP.format(version=2, block=OF_A_BLOCK[WAN]))
    table = {}
    for processes, settings in {1: {}, 2: {"processes": 2, "config": config}}.items():
        for flag in ([], [ON_CPU]):
            one = {**run(encoded_flags_of(tmp_path, *FULL, *flag)), "measure": True}
            done = launch("npu", one, DIFFSYNTH_MODEL_BASE_PATH=str(deep_models), **settings)
            assert done.returncode == 0, done.stderr
            reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            assert len(reports) == processes
            table[processes, bool(flag)] = max(reports, key=lambda report: report["peak"])
    print("processes, on cpu: peak of weights, MiB")
    for (processes, on_cpu), report in table.items():
        print(f"{processes}, {on_cpu}: {report['peak'] / 2**20:.1f} of {report['weights'] / 2**20:.1f}")
    weights, block = table[2, True]["weights"], table[2, True]["block"]
    assert block < weights / 10
    assert table[2, False]["peak"] >= weights
    assert table[2, True]["peak"] <= (weights / 2 + block) * 1.02
    assert weights <= table[1, True]["peak"] <= weights * 1.02
