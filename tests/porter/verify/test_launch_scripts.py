"""Launch scripts: run by bash and accelerate three ways, on a made-up data set, with one process and with two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from porter.verify.launch_tree import launch_tree
from porter.verify.outcome import Outcome, Row
from porter.verify.scripts import Script, find_scripts
from porter.verify.verification import Verification

from .conftest import EXAMPLES, ROOT
from .test_trial_process import has_ended

TRAINING = EXAMPLES / "wanvideo" / "model_training"
LORA = TRAINING / "lora" / "Wan2.1-T2V-1.3B.sh"
LAUNCH_SCRIPTS = [path for path in sorted(EXAMPLES.rglob("*.sh")) if "npu_training" not in path.parts]


def short(path: Path) -> str:
    """An example's path without what all of them have."""
    return path.relative_to(EXAMPLES).as_posix().replace("model_training/", "")


def example(path: Path, processes: int) -> Script:
    (script,) = find_scripts([str(path)], None, [processes])
    return script


@pytest.fixture(scope="module")
def trained(running: Verification, tmp_path_factory: pytest.TempPathFactory) -> tuple[Script, dict[str, Outcome], Path]:
    """A launch script, run all three ways with one process, and the folder where what they saved lies."""
    folder = tmp_path_factory.mktemp("trained")
    script = example(LORA, 1)
    return script, running.outcomes(script, running.request.ways, folder), folder


@pytest.fixture
def with_port(running: Verification, trained: tuple[Script, dict[str, Outcome], Path], tmp_path: Path):
    """``with_port(old, new)``: the row of the same script with a port in which something else stands."""
    script, outcomes, _ = trained

    def run(old: str, new: str) -> Row:
        text = script.ported.decode()
        assert text.count(old) == 1
        broken = replace(script, ported=text.replace(old, new).encode())
        ported = running.outcomes(broken, running.request.ways[2:], tmp_path)
        return running.judged(broken, {**outcomes, **ported}, tmp_path)

    return run


@pytest.fixture
def verify_launch(running: Verification, tmp_path: Path) -> Callable[..., Row]:
    """``verify_launch(text, **files)``: the row of a launch script with other files beside it, with one process or
    `processes` of each launch."""

    def run(text: str, processes: int = 1, **files: str) -> Row:
        for name, content in {"run.sh": text, **{f"{name}.py": content for name, content in files.items()}}.items():
            (tmp_path / name).write_text(content)
        return running.run(example(tmp_path / "run.sh", processes))

    return run


def check(row: Row, launches: int = 1) -> None:
    assert row.problems == []
    assert (row.ran, row.equal) == (3, True)
    ported, reference = row.outcomes["ported"], row.outcomes["cpu"]
    assert len(ported.curves) == launches
    assert all(len({update["loss"] for update in curve}) == len(curve) > 1 for curve in ported.curves if curve)
    assert ported.operations_on("npu")[0] > 500
    assert ported.operations_on_host_data() == 0
    assert reference.operations_on("npu") == (0, 0)
    assert reference.peak_memory is None
    assert ported.peak_memory is not None
    assert 0 < ported.peak_memory < 2**30


def test_a_launch_script_passes(running: Verification, trained: tuple[Script, dict[str, Outcome], Path]) -> None:
    script, outcomes, folder = trained
    assert script.cuda == LORA.read_bytes()
    npu_script = TRAINING / "special" / "npu_training" / "Wan2.1-T2V-1.3B-lora-NPU.sh"
    assert script.ported == npu_script.read_bytes()
    check(running.judged(script, outcomes, folder))
    networks = outcomes["ported"].networks
    assert {name: network["calls"] for name, network in networks.items()} == {"text_encoder": 2, "vae": 2, "dit": 2}
    assert [update["update"] for update in outcomes["ported"].curves[0]] == [1, 2]
    saved = [one["name"] for one in outcomes["ported"].saved]
    assert [name for name in saved if "checkpoint-" not in name] == [
        f"models/train/Wan2.1-T2V-1.3B_lora/epoch-{epoch}.safetensors" for epoch in range(2)
    ]


def test_a_port_that_trains_otherwise_fails(with_port: Callable[[str, str], Row]) -> None:
    row = with_port("--learning_rate 1e-4", "--learning_rate 2e-4")
    assert (row.ran, row.equal) == (3, False)
    assert row.problems[0].startswith("ported: learning_rate 0.0002 at update 1 where the reference has 0.0001")
    assert row.problems[1].startswith("ported: saved other weights than the reference (")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("export ACCELERATE_USE_CPU=true\naccelerate launch --cpu", "ported: dit computed nothing on npu"),
        ("accelerate launch --num_machines several", "ported: accelerate did not launch it: "),
        ("exit 3\naccelerate launch", "ported: bash ended with exit status 3: it printed nothing"),
        ("true accelerate launch", "ported: it launched nothing by python, torchrun, accelerate or deepspeed"),
    ],
)
def test_a_port_that_does_not_train_on_the_npu_fails(
    with_port: Callable[[str, str], Row], new: str, problem: str
) -> None:
    assert any(one.startswith(problem) for one in with_port("accelerate launch", new).problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("--num_epochs 5", "--num_epochs 1", "ported: made 1 updates where the reference made 2"),
        ("--lora_rank 32", "--lora_rank 16", "ported: saved other weights than the reference: "),
        ("_lora\"", "_else\"", "ported: saved other files than the reference: no models/train/"),
        ("--lora_rank 32", "--lora_rank 32 --seed 1", "ported: loss "),
    ],
)  # fmt: skip
def test_what_differs_is_said(with_port: Callable[[str, str], Row], old: str, new: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in with_port(old, new).problems)


FETCHES = """
modelscope download --model Wan-AI/Wan2.1-T2V-1.3B
cd "$(dirname "$0")"
python3 -m accelerate.commands.launch --config_file config.yaml fails.py --output_path out --height 480
"""
FAILS = """import sys, diffsynth
assert sys.argv[1:] == ['--output_path', 'out', '--height', '32']
raise ValueError('as it does')
"""


def test_a_script_that_fails_says_where_and_what_was_left_out(
    verify_launch: Callable[..., Row], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\n")
    row = verify_launch(FETCHES, fails=FAILS)
    assert row.problems == ["every way: line 3: ValueError: as it does"]
    left_out = "left out, since it would fetch something: modelscope download --model Wan-AI/Wan2.1-T2V-1.3B"
    assert row.outcomes["ported"].notes == [left_out]
    assert left_out in row.outcomes["ported"].output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml", "fails.py", "run.sh"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("path", LAUNCH_SCRIPTS, ids=short)
def test_every_launch_script_passes(running: Verification, path: Path, processes: int) -> None:
    script = example(path, processes)
    if script.skipped is not None:
        pytest.skip(script.skipped)
    check(running.run(script), launches=script.cuda.count(b"accelerate launch"))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_split_training_runs_both_steps_in_order(verify_launch: Callable[..., Row], processes: int) -> None:
    text = LORA.read_text("utf-8").replace("examples/wanvideo/model_training/train.py", str(TRAINING / "train.py"))
    encode = text.replace("--output_path", "--task sft:data_process --output_path /encoded #")
    train = text.replace(
        "--dataset_base_path data/example_video_dataset", "--task sft:train --dataset_base_path /encoded"
    )
    train = train.replace("--dataset_metadata_path data/example_video_dataset/metadata.csv \\\n", "\\\n")
    check(verify_launch(encode.replace("\\\n  --lora", "\n# ") + "\n" + train), launches=2)


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended_with_all_its_processes(
    running: Verification, verify_launch: Callable[..., Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "request", replace(running.request, timeout=30))
    noted = f"tempfile.mkstemp(prefix=f'{{os.getpid()}}-', dir={str(tmp_path)!r})"
    sleeps = f"import os, tempfile, time\n{noted}\ntime.sleep(3600)\n"
    row = verify_launch("accelerate launch --multi_gpu sleeps.py --output_path out", sleeps=sleeps)
    assert row.problems == ["every way: it took longer than 30 seconds (--timeout gives it more)"]
    processes = [file.name.partition("-")[0] for file in tmp_path.glob("*-*")]
    assert len(processes) == 3
    assert all(has_ended(int(process)) for process in processes)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/model_training/validate_*/*.py")), ids=short)
def test_every_validation_script_passes_on_checkpoints_that_are_made_up(running: Verification, path: Path) -> None:
    (script,) = find_scripts([str(path)], None)
    assert running.run(script).problems == []


def test_which_launch_scripts_a_folder_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("porter.verify.scripts.find_spec", lambda name: None if name == "deepspeed" else name)
    found = {script.shown: script for script in find_scripts(["examples/wanvideo/model_training"], None)}
    assert not any("special" in shown or shown.endswith("train.py") for shown in found)
    lora = "examples/wanvideo/model_training/lora/Wan2.1-T2V-1.3B.sh"
    assert {f"{lora} (1 process)", f"{lora} (2 processes)"} <= set(found)
    full = found["examples/wanvideo/model_training/full/Wan2.1-T2V-14B.sh (1 process)"]
    assert full.skipped == "it trains by DeepSpeed, which is not installed: pip install deepspeed"
    assert found[f"{lora} (1 process)"].skipped is None


def test_an_npu_script_is_compared_with_its_gpu_script(tmp_path: Path) -> None:
    for name, text in {
        "train.py": "import diffsynth\n",
        "full/a.sh": "accelerate launch train.py --lr 1\n",
        "special/npu_training/a-NPU.sh": "accelerate launch train.py --lr 1 --mine\n",
    }.items():
        path = tmp_path / "model_training" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    gpu, npu = find_scripts([str(tmp_path)], None, [1])
    assert b"--mine" not in gpu.ported
    assert (npu.cuda, npu.ported[-7:]) == (gpu.cuda, b"--mine\n")
    (named,) = find_scripts([npu.path], None, [1])
    assert (named.cuda, named.ported) == (npu.cuda, npu.ported)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("accelerate launch nowhere/train.py", "it launches nowhere/train.py, found neither from here nor from a"),
        ("python train.py", "it launches no Python script by python, torchrun, accelerate or deepspeed"),
        ("if true; then", "not bash as its grammar has it"),
    ],
)
def test_a_launch_script_that_cannot_be_run(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "run.sh").write_text(text + "\n")
    script = example(tmp_path / "run.sh", 1)
    assert script.problem is not None
    assert script.problem.startswith(problem)


PROGRAM = """
import os, signal, sys, time, torch
torch.manual_seed(0)
y = torch.nn.Linear(4, 4).to("cuda")(torch.ones(2, 4, device="cuda"))
print("loss", float(y.sum()), flush=True)
if "--kill" in sys.argv: os.kill(os.getpid(), signal.SIGSEGV)
if "--exit" in sys.argv: os._exit(int(sys.argv[-1]))
if "--raise" in sys.argv: time.sleep(60) if os.environ["RANK"] == "1" else 1 / 0
"""


@pytest.mark.parametrize(
    ("command", "problems"),
    [
        ("torchrun --no-python python train.py", []),
        ("torchrun train.py --kill", ["every way: rank 0: its process was ended by SIGSEGV"]),
        (
            "python train.py --exit 0",
            ["every way: rank 0: its process ended itself with exit status 0 before the script's last line"],
        ),
    ],
)
def test_how_a_process_of_a_launch_ended(verify_launch: Callable[..., Row], command: str, problems: list[str]) -> None:
    row = verify_launch(command + "\n", train=PROGRAM)
    assert row.problems == problems


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("--kill", "its process was ended by SIGSEGV"),
        ("--exit 2", "its process ended itself with exit status 2 before the script's last line"),
    ],
)
def test_a_launch_of_one_process_ends_as_accelerate_does(
    verify_launch: Callable[..., Row], how: str, told: str
) -> None:
    row = verify_launch(f"accelerate launch train.py {how}; echo ended with $?\n", train=PROGRAM)
    assert row.problems == [f"every way: rank 0: {told}"]
    assert "ended with 1" in row.outcomes["ported"].output


def test_the_error_of_one_process_is_told_and_not_that_its_launcher_ended_the_other(
    verify_launch: Callable[..., Row],
) -> None:
    row = verify_launch("accelerate launch --multi_gpu train.py --raise\n", processes=2, train=PROGRAM)
    assert row.problems == ["every way: line 8: ZeroDivisionError: division by zero"]


@pytest.mark.parametrize("command", ["torchrun train.py", "python -m train"])
def test_a_figure_that_a_launched_script_prints_otherwise_fails(
    running: Verification, tmp_path: Path, command: str
) -> None:
    """However the script is named: here by its place in the folder that it runs from."""
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "run.sh").write_text(command + " 0.125\n")
    script = example(tmp_path / "run.sh", 1)
    (tmp_path / "train.py").write_text(PROGRAM + "print('accuracy', float(sys.argv[-1]))\n")
    row = running.run(replace(script, ported=script.ported.replace(b"0.125", b"0.126")))
    assert row.problems[0].startswith("ported: printed 'accuracy 0.126' where the reference printed 'accuracy 0.125'")


@pytest.mark.parametrize(
    ("command", "processes"),
    [
        ("deepspeed train.py", 2),  # every device of the machine
        ("deepspeed --num_gpus 1 train.py", 1),
        ("deepspeed --num_gpus=4 train.py", 4),
        ("deepspeed --num_nodes 2 --num_gpus 1 train.py", 2),
        ("deepspeed --num_nodes 1 train.py", 2),
        ("deepspeed --include localhost:3 train.py", 1),
        ("deepspeed -i localhost:0,1,2 train.py", 3),
        ("deepspeed --include worker-0@worker-1:0,2 train.py", 4),
        ("deepspeed --hostfile nowhere train.py", 2),
        ("deepspeed --hostfile hosts train.py", 6),
        ("deepspeed -H hosts --num_nodes 1 train.py", 4),
        ("deepspeed -H hosts --num_gpus 1 train.py", 2),
        ("deepspeed -H hosts --exclude worker-1 train.py", 4),
        ("deepspeed -H hosts -e worker-0:0,1,2@worker-1:0 train.py", 2),
        ("deepspeed -H hosts --include worker-1 train.py", 2),
        ("deepspeed --exclude localhost:0 train.py", 2),
        ("torchrun --nproc_per_node gpu train.py", 2),
        ("torchrun --nproc-per-node 8 train.py", 8),
        ("torchrun train.py", 1),
        ("accelerate launch --num_processes 8 train.py", 8),
    ],
)
def test_how_many_processes_a_launch_asks_for(tmp_path: Path, command: str, processes: int) -> None:
    (tmp_path / "train.py").write_text("import torch\n")
    (tmp_path / "hosts").write_text("# two machines\nworker-0 slots=4\nworker-1 slots=2\n")
    assert launch_tree(str(tmp_path / "run.sh"), f"{command}\n".encode()).processes == processes


def test_deepspeed_without_its_modules_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text("import torch\n")
    (tmp_path / "run.sh").write_text("deepspeed train.py\n")
    monkeypatch.setattr("porter.verify.scripts.find_spec", lambda name: None if name == "deepspeed" else name)
    monkeypatch.setattr("porter.verify.scripts.version", lambda _: "0.19.8")
    script = example(tmp_path / "run.sh", 1)
    assert script.skipped == (
        "it trains by DeepSpeed, which is installed by its metadata alone (version 0.19.8), without its modules: pip "
        "install deepspeed"
    )
