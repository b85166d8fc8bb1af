"""DP402: the large models, which are built in host memory."""

from __future__ import annotations

import pytest

from porter.documents import port_bytes
from porter.port import Plan
from porter.record import entry_of, restored
from tests.porter.shell.launching import EXPORTS, PATH, check_reported, check_silent, check_transformed, ported

CODE = "DP402"
FLAG = "--initialize_model_on_cpu"
WAN = "Wan-AI/Wan2.1-T2V-14B:diffusion_pytorch_model*.safetensors"
QWEN = "Qwen/Qwen-Image:transformer/diffusion_pytorch_model*.safetensors"
IDS = f'--model_id_with_origin_paths "{WAN}"'


def check_added(before: str, after: str) -> None:
    """The option is added, and nothing else but the exports of every training."""
    check_transformed(EXPORTS + before, EXPORTS + after)


@pytest.mark.parametrize(
    "model",
    [
        WAN,
        "Wan-AI/Wan2.1-I2V-14B-480P:diffusion_pytorch_model*.safetensors",
        "Wan-AI/Wan2.2-T2V-A14B:high_noise_model/diffusion_pytorch_model*.safetensors",
        "Wan-AI/Wan2.2-Animate-14B:diffusion_pytorch_model*.safetensors",
        "PAI/Wan2.2-Fun-A14B-Control:low_noise_model/diffusion_pytorch_model*.safetensors",
        "Wan-AI/Wan2.1-T2V-1.3B:models_t5_umt5-xxl-enc-bf16.pth,Wan-AI/Wan2.1-T2V-14B:diffusion_pytorch_model*",
        QWEN,
        "Qwen/Qwen-Image-Edit-2509:transformer/diffusion_pytorch_model*.safetensors",
        "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny:model.safetensors",
    ],
)
def test_the_models_that_need_it(model: str) -> None:
    before = f'accelerate launch train.py --model_id_with_origin_paths "{model}" --x 1'
    check_added(before + "\n", f"{before} {FLAG}\n")


@pytest.mark.parametrize(
    "model",
    [
        "Wan-AI/Wan2.1-T2V-1.3B:diffusion_pytorch_model*.safetensors",
        "Wan-AI/Wan2.2-TI2V-5B:diffusion_pytorch_model*.safetensors",
        "Wan-AI/Wan2.1-T2V-1.3B:a*.safetensors,Wan-AI/Wan2.1-I2V-14B-480P:models_clip_open-clip-xlm-roberta.pth",
        "Wan-AI/Wan2.1-T2V-1.3B:a*.safetensors,Wan-AI/Wan2.1-T2V-14B:Wan2.1_VAE.pth",
        "black-forest-labs/FLUX.2-dev:transformer/*.safetensors,Qwen/Qwen-Image:text_encoder/model*.safetensors",
        "black-forest-labs/FLUX.1-dev:flux1-dev.safetensors",
        "org/Swan-14B:model.safetensors",
        "org/Wan-114B:model.safetensors",
        "org/Qwen-Imagery:model.safetensors",
        "Qwen/Qwen2.5-VL-7B-Instruct:model*.safetensors",
    ],
)
def test_the_models_that_do_not(model: str) -> None:
    check_silent(f'{EXPORTS}accelerate launch train.py --model_id_with_origin_paths "{model}" --x 1\n')


def test_the_name_of_the_file_says_nothing() -> None:
    script = f"{EXPORTS}accelerate launch train.py {IDS.replace('14B', '1.3B')}\n"
    assert port_bytes(PATH.replace("run.sh", "Wan2.1-T2V-14B.sh"), script.encode(), Plan("npu")).findings == ()


PATHS = """'[
  ["models/Wan-AI/{0}/diffusion_pytorch_model-1.safetensors", "models/Wan-AI/{0}/diffusion_pytorch_model-2.safetensors"
  ],
  "models/Wan-AI/Wan2.1-T2V-14B/Wan2.1_VAE.pth"
]'"""


def test_models_that_are_given_as_paths() -> None:
    launch = f"accelerate launch train.py --model_paths {PATHS}"
    check_added(launch.format("Wan2.1-T2V-14B") + "\n", launch.format("Wan2.1-T2V-14B") + f" {FLAG}\n")
    check_silent(EXPORTS + launch.format("Wan2.1-T2V-1.3B") + "\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("{l} \\\n  {i} \\\n  --x 1\n", "{l} \\\n  {i} \\\n  --x 1 \\\n  {f}\n", id="lines"),
        pytest.param("{l} \\\n\t{i} \\\n\t--x 1\n", "{l} \\\n\t{i} \\\n\t--x 1 \\\n\t{f}\n", id="tabs"),
        pytest.param("{l} {i} \\\n{n}--x 1\n", "{l} {i} \\\n{n}--x 1 \\\n{n}{f}\n", id="aligned"),
        pytest.param("{l} \\\n  {i}   \\\n  --x 1\n", "{l} \\\n  {i}   \\\n  --x 1   \\\n  {f}\n", id="wide"),
        pytest.param("{l}\\\n  {i}\\\n  --x 1\n", "{l}\\\n  {i}\\\n  --x 1\\\n  {f}\n", id="narrow"),
        pytest.param(
            "{l} \\\n  {i} \\\n  --x 1 --y 2\n", "{l} \\\n  {i} \\\n  --x 1 --y 2 \\\n  {f}\n", id="two-a-line"
        ),
        pytest.param(
            "{l} \\\n  {i} --x '1\n    2'\n", "{l} \\\n  {i} --x '1\n    2' \\\n  {f}\n", id="value-over-lines"
        ),
        pytest.param("{l} {i}\n", "{l} {i} {f}\n", id="one-line"),
        pytest.param("{l} {i}", "{l} {i} {f}", id="no-final-newline"),
        pytest.param("{l} \\\n  {i}", "{l} \\\n  {i} \\\n  {f}", id="lines-without-final-newline"),
        pytest.param("{l} \\\n  {i} # why\n", "{l} \\\n  {i} \\\n  {f} # why\n", id="inline-comment"),
        pytest.param("{l} {i} # why", "{l} {i} {f} # why", id="inline-comment-at-the-end"),
        pytest.param("{l} {i} # why \\\n", "{l} {i} {f} # why \\\n", id="comment-with-backslash"),
        pytest.param("{l} \\\n  {i}\n# why\n", "{l} \\\n  {i} \\\n  {f}\n# why\n", id="comment-below"),
        pytest.param("{l} \\\n  {i}\n  # --x 1\n", "{l} \\\n  {i} \\\n  {f}\n  # --x 1\n", id="option-commented-out"),
        pytest.param(
            "{l} \\\n  {i} \\\n# --x 1\n", "{l} \\\n  {i} \\\n  {f} \\\n# --x 1\n", id="comment-it-goes-on-with"
        ),
        pytest.param("{l} \\\n  {i} \\\n\necho\n", "{l} \\\n  {i} \\\n  {f} \\\n\necho\n", id="backslash-left-over"),
        pytest.param("{l} \\\n  {i} \\", "{l} \\\n  {i} \\\n  {f} \\", id="backslash-at-the-end"),
        pytest.param("{l} {i} > log 2>&1 &\n", "{l} {i} {f} > log 2>&1 &\n", id="redirected"),
        pytest.param("{l} {i} 2>&1 | tee log\n", "{l} {i} {f} 2>&1 | tee log\n", id="pipe"),
        pytest.param("{l} \\\n  {i} \\\n  | tee log\n", "{l} \\\n  {i} \\\n  {f} \\\n  | tee log\n", id="pipe-below"),
        pytest.param("{l} {i} > log --x 1\n", "{l} {i} > log --x 1 {f}\n", id="behind-a-redirection"),
        pytest.param("{l} {i} && echo\n", "{l} {i} {f} && echo\n", id="list"),
        pytest.param("({l} {i})\n", "({l} {i} {f})\n", id="subshell"),
        pytest.param("{l} {i}; echo\n", "{l} {i} {f}; echo\n", id="semicolon"),
        pytest.param("if x; then {l} {i}; fi\n", "if x; then {l} {i} {f}; fi\n", id="branch"),
        pytest.param("x=$({l} {i})\n", "x=$({l} {i} {f})\n", id="substitution"),
        pytest.param("{l} {i} <<EOF\n--x\nEOF\n", "{l} {i} {f} <<EOF\n--x\nEOF\n", id="here-document"),
        pytest.param("{l} {i} $MORE\n", "{l} {i} $MORE {f}\n", id="expansion"),
        pytest.param("# {l} {i}\n{l} {i}\n", "# {l} {i}\n{l} {i} {f}\n", id="another-commented-out"),
        pytest.param("{l} {i} {f}\n{l} {i} --y\n", "{l} {i} {f}\n{l} {i} --y {f}\n", id="one-has-it"),
        pytest.param("{l} {i}\n{l} {i} {f}\n", "{l} {i} {f}\n{l} {i} {f}\n", id="equal-but-for-it"),
        pytest.param("{l} {i}\n\n{l} \\\n  {i}\n", "{l} {i} {f}\n\n{l} \\\n  {i} \\\n  {f}\n", id="two"),
    ],
)
def test_where_it_goes(before: str, after: str) -> None:
    names = {"l": "accelerate launch train.py", "i": IDS, "f": FLAG, "n": " " * 18}
    check_added(before.format(**names), after.format(**names))


@pytest.mark.parametrize(
    ("above", "models"),
    [
        pytest.param('MODEL="Wan-AI/Wan2.1-T2V-14B"\n', '"$MODEL:diffusion*"', id="variable"),
        pytest.param("MODEL=Wan-AI/Wan2.1-T2V-14B\n", '"${MODEL}:diffusion*"', id="braces"),
        pytest.param("ORG=Wan-AI\nMODEL=$ORG/Wan2.1-T2V-14B\n", "$MODEL:diffusion*", id="of-a-variable"),
        pytest.param("", '"${MODEL:-Wan-AI/Wan2.1-T2V-14B}:diffusion*"', id="default"),
        pytest.param("", "'Wan-AI/Wan2.1-T2V-14B:diffusion*'", id="single-quotes"),
        pytest.param("", "Wan-AI/Wan2.1-T2V-14B:diffusion\\*", id="no-quotes"),
        pytest.param("X=$1\n", '"$X/Wan2.1-T2V-14B:diffusion*"', id="in-part-unknown"),
        pytest.param("M=1.3B\nM=14B\n", '"Wan-AI/Wan2.1-T2V-$M:diffusion*"', id="set-anew"),
    ],
)
def test_a_model_id_as_the_script_puts_it_together(above: str, models: str) -> None:
    launch = f"{above}accelerate launch train.py --model_id_with_origin_paths {models}"
    check_added(launch + "\n", f"{launch} {FLAG}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(f'ARGS=(--x 1 {IDS})\naccelerate launch train.py "${{ARGS[@]}}"', id="array"),
        pytest.param(f'ARGS=(--x)\nARGS+=({IDS})\naccelerate launch train.py "${{ARGS[@]}}"', id="array-appended"),
        pytest.param(f'A="{IDS[:29]}{WAN}"\naccelerate launch train.py $A'.replace('"W', "W"), id="words"),
        pytest.param(f"accelerate launch train.py {IDS.replace(' ', '=')}", id="equals-sign"),
    ],
)
def test_options_as_the_script_puts_them_together(arguments: str) -> None:
    check_added(arguments + "\n", f"{arguments} {FLAG}\n")


@pytest.mark.parametrize(
    "launch",
    [
        pytest.param(f"accelerate launch train.py {IDS} {FLAG}", id="there"),
        pytest.param(f"accelerate launch train.py {FLAG} {IDS}", id="there-before"),
        pytest.param(f"accelerate launch train.py {IDS} {FLAG} # why", id="there-before-a-comment"),
        pytest.param(f'ARGS=({FLAG})\naccelerate launch train.py {IDS} "${{ARGS[@]}}"', id="there-in-an-array"),
        pytest.param(f'accelerate launch train.py {IDS} --task "sft:data_process"', id="data-process"),
        pytest.param(f"accelerate launch train.py {IDS} --task sft:train", id="split-training"),
        pytest.param(f"accelerate launch train.py {IDS} --task direct_distill:train", id="split-distillation"),
        pytest.param(f"accelerate launch infer.py {IDS}", id="no-training"),
        pytest.param(f"python download.py {IDS}", id="download"),
        pytest.param(f"# accelerate launch train.py {IDS}", id="commented-out"),
        pytest.param(f"echo accelerate launch train.py {IDS}", id="printed"),
        pytest.param("accelerate launch train.py --x Wan-AI/Wan2.1-T2V-14B", id="another-option"),
        pytest.param("accelerate launch train.py --output_path models/Wan2.1-T2V-14B", id="output-path"),
        pytest.param("accelerate launch train.py", id="no-model"),
        pytest.param(f"accelerate launch train.py {IDS} # port: ignore", id="ignored"),
    ],
)
def test_left_alone(launch: str) -> None:
    check_silent(f"{EXPORTS}{launch}\n")


@pytest.mark.parametrize("task", ["sft", "direct_distill"])
def test_a_task_that_is_not_split(task: str) -> None:
    launch = f"accelerate launch train.py {IDS} --task {task}"
    check_added(launch + "\n", f"{launch} {FLAG}\n")


@pytest.mark.parametrize(
    ("script", "severity", "obstacle"),
    [
        ("nowhere/train.py", "warning", "nowhere/train.py was not found, so nothing tells whether it knows the option"),
        ("old/train.py", "note", "old/train.py does not know it"),
        ("valued/train.py", "warning", "valued/train.py wants a value for it"),
        ("computed/train.py", "warning", "not all of the parser of computed/train.py can be read, "),
        ("unreadable/train.py", "warning", "not all of the parser of unreadable/train.py can be read, "),
        ("elsewhere/train.py", "warning", "not all of the parser of elsewhere/train.py can be read, "),
        ("$1", "warning", "which script is launched is known when it runs"),
        ("$1/nowhere/train.py", "warning", ".../nowhere/train.py was not found"),
    ],
)
def test_a_script_whose_parser_does_not_say_that_it_knows_it(script: str, severity: str, obstacle: str) -> None:
    finding = check_reported(f"accelerate launch {script} {IDS}\n", CODE, severity)
    assert finding.message.startswith(f"{FLAG} was not added: {obstacle}")
    assert finding.way_out == f"training the Wan 14B series needs {FLAG} on Ascend NPU"


@pytest.mark.parametrize(
    "script",
    [
        "train.py",
        "./train.py",
        "data/launch/train.py",
        "tests/data/launch/train.py",
        '"$ROOT/data/launch/train.py"',
        '"$(dirname "$0")/train.py"',
        '"$(dirname "${BASH_SOURCE[0]}")/../launch/train.py"',
        '"$(cd "$(dirname "$0")/.." && pwd)/launch/train.py"',
        "data.launch.train.py",
    ],
)
def test_where_the_script_is_looked_for(script: str) -> None:
    if script == "data.launch.train.py":
        launch = f"accelerate launch -m tests.data.launch.train {IDS}"
    else:
        launch = f"accelerate launch {script} {IDS}"
    check_added(launch + "\n", f"{launch} {FLAG}\n")


@pytest.mark.parametrize(
    "go",
    [
        "cd data/launch\n",
        "cd tests/data && ",
        'cd "$(dirname "$0")"\n',
        'cd "$(dirname "$0")/../.."\n',
        "cd nowhere\n",
        "cd $1\n",
        "cd -P data\n",
    ],
)
def test_a_script_that_goes_to_a_folder_first(go: str) -> None:
    script = "launch/train.py" if "data &&" in go else "data/launch/train.py" if ".." in go else "train.py"
    launch = f"{go}accelerate launch {script} {IDS}"
    check_added(launch + "\n", f"{launch} {FLAG}\n")


@pytest.mark.parametrize("models", ['"$1:diffusion*"', '"$MODEL"', "$(cat models.txt)"])
def test_a_model_that_only_a_run_can_tell(models: str) -> None:
    finding = check_reported(f"accelerate launch train.py --model_id_with_origin_paths {models}\n", CODE, "note")
    assert finding.message == "which model is trained is known when the script runs"
    assert finding.way_out == f"add {FLAG} if it is of the FLUX.2-dev or Qwen-Image or Wan 14B series"


def test_a_model_that_only_a_run_can_tell_beside_the_option() -> None:
    check_silent(f'{EXPORTS}accelerate launch train.py --model_id_with_origin_paths "$1:x" {FLAG}\n')


def test_undoing_knows_a_launch_again_among_others() -> None:
    launch = f"accelerate launch train.py {IDS}"
    before = f"{EXPORTS}{launch}\n"
    first = ported(before).data
    edited = f"{EXPORTS}accelerate launch train.py {IDS} --new 1 {FLAG}\n" + first.decode()[len(EXPORTS) :]
    undone = restored(edited.encode(), entry_of(before.encode(), first, ["npu"])).data.decode()
    assert undone == edited.removesuffix(f" {FLAG}\n") + "\n"


def test_undoing_without_a_record_takes_nothing_out() -> None:
    script = f"accelerate launch train.py {IDS} {FLAG}\n"
    assert port_bytes(PATH, script.encode(), Plan("cuda")).data.decode() == script


@pytest.mark.parametrize("target", ["xpu", "musa", "mps"])
def test_it_is_for_the_npu(target: str) -> None:
    check_silent(f"accelerate launch train.py {IDS}\n", target)


def test_crlf_stays() -> None:
    launch = f"{EXPORTS}accelerate launch train.py \\\n  {IDS}".replace("\n", "\r\n")
    assert ported(launch + "\r\n").data.decode() == f"{launch} \\\r\n  {FLAG}\r\n"
