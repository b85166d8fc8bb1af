"""Training steps per second without the encoders, beside encoding and training at once, on the same made-up clips.

    python -m benchmarks.train_split [--rounds 3] [--device cpu]

Runs examples/wanvideo/model_training/train.py: tasks sft and sft:train take turns, a LoRA of a network of width 256,
after sft:data_process has encoded four clips of 9 frames, 96x160. A step's time is the median between two updates of a
run, without the first; the ratio is the median of those within a round. Also prints whether both runs had the same
losses. Ends with 1 if the ratio is below 2, or the losses differ.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from script_trial.adapters.diffsynth_port.dataset_command import make_dataset
from script_trial.adapters.diffsynth_port.weights import make_weights

SCRIPT = Path(__file__).resolve().parents[1] / "examples/wanvideo/model_training/train.py"
MODEL_ID = "Wan-AI/Wan2.1-T2V-1.3B"
FILES = ("diffusion_pytorch_model*.safetensors", "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth")
BOUND = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", help="cpu keeps accelerate from taking an accelerator")
    options = parser.parse_args()
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), options.rounds)


def measure(folder: Path, rounds: int) -> int:
    make_dataset(folder / "data", clips=4, frames=9, height=96, width=160)
    make_weights(MODEL_ID, folder / "models")
    os.environ.update(DIFFSYNTH_MODEL_BASE_PATH=str(folder / "models"), DIFFSYNTH_SKIP_DOWNLOAD="true")
    train(folder, "encoded", "sft:data_process", data="data")
    ratios, same = [], True
    for number in range(1, rounds + 1):
        at_once = train(folder, f"sft-{number}", "sft", data="data")
        split = train(folder, f"split-{number}", "sft:train", data="encoded")
        same = same and losses(folder / f"sft-{number}") == losses(folder / f"split-{number}")
        ratios.append(at_once / split)
        print(f"round {number}: sft {1 / at_once:.2f} steps/s, sft:train {1 / split:.2f} steps/s", flush=True)
    ratio = statistics.median(ratios)
    print(f"sft:train over sft: {ratio:.1f} times the steps per second (at least {BOUND}); same losses: {same}")
    return 0 if ratio >= BOUND and same else 1


def train(folder: Path, output: str, task: str, *, data: str) -> float:
    """Runs the script; the median of the seconds from one update to the next."""
    from accelerate.state import AcceleratorState, GradientState

    from diffsynth.diffusion.training import runner

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    moments: list[float] = []
    updates = runner._updates

    def timed(*args: Any) -> Any:
        for update in updates(*args):
            moments.append(time.perf_counter())
            yield update

    models = ",".join(f"{MODEL_ID}:{file}" for file in FILES)
    sys.argv = [str(SCRIPT), "--task", task, "--dataset_base_path", str(folder / data), "--output_path",
                str(folder / output), "--dataset_metadata_path", str(folder / "data/metadata.csv"), "--num_frames", "9",
                "--model_id_with_origin_paths", models, "--tokenizer_path", f"{MODEL_ID}:google/umt5-xxl/",
                "--lora_base_model", "dit", "--num_epochs", "2", "--enable_csv_log"]  # fmt: skip
    spec = importlib.util.spec_from_file_location("wan_train", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    runner._updates = timed
    try:
        script.main()
    finally:
        runner._updates = updates
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    return statistics.median(gaps) if gaps else 0.0


def losses(folder: Path) -> list[str]:
    with (folder / "loss.csv").open(newline="") as lines:
        return [row["loss"] for row in csv.DictReader(lines)]


if __name__ == "__main__":
    sys.exit(main())
