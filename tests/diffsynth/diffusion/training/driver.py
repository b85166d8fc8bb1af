"""Runs training scripts with one or more lists of flags, in this process, one after the other.

As a program it takes them as JSON: ``[{"family": "wanvideo", "flags": [...], "kill": {"loss": 3}}, ...]``; `kill` ends
the process by SIGKILL at the loss of that number, or within the save of that number. It says on what device it ran.
"""

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
WAN, QWEN = "wanvideo", "qwen_image"


def path_of(family):
    """The training script of a family of models."""
    return EXAMPLES / family / "model_training/train.py"


def script(family):
    """The same as a module."""
    spec = importlib.util.spec_from_file_location(f"{family}_train", path_of(family))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(flags, family=WAN):
    """What `python train.py FLAGS` does, but that its errors are raised."""
    reset_accelerate()
    sys.argv = [str(path_of(family)), *map(str, flags)]
    script(family).main()


def reset_accelerate():
    """Forgets the device and the processes that accelerate keeps for the whole process."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def kill_at(*, loss=None, save=None, rank=0):
    """From now on the process with that rank dies at a loss, or when a save has written all but its description."""
    from diffsynth.diffusion.training import checkpoints
    from diffsynth.diffusion.training.tasks import FlowMatchLoss

    def dying(function, number):
        calls = []

        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) == number and int(os.environ.get("RANK", 0)) == rank:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    if loss is not None:
        FlowMatchLoss.__call__ = dying(FlowMatchLoss.__call__, loss)
    if save is not None:
        checkpoints._save_device_generator = dying(checkpoints._save_device_generator, save)


class Measured(Exception):
    """The script has come as far as it is measured."""


def measure(run):
    """Runs the script until accelerate has prepared the network, and prints one line of JSON: the most device memory
    that was in use, and what the network's weights and one block of it take."""
    import torch

    from diffsynth.diffusion.training import runner

    prepare = runner._prepare
    torch.npu.reset_peak_memory_stats()

    def measured(accelerator, network, *rest):
        def size(module):
            return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())

        sizes = {"weights": size(network), "block": size(network.blocks[0])}
        prepare(accelerator, network, *rest)
        print(json.dumps({**sizes, "peak": torch.npu.max_memory_allocated()}))
        accelerator.wait_for_everyone()
        raise Measured

    runner._prepare = measured
    try:
        train(run["flags"], run["family"])
    except Measured:
        runner._prepare = prepare


if __name__ == "__main__":
    for run in json.loads(sys.argv[1]):
        if run.get("kill"):
            kill_at(**run["kill"])
        if run.get("measure"):
            measure(run)
        else:
            train(run["flags"], run["family"])
    from accelerate import PartialState

    print(f"trained on {PartialState().device.type}")
