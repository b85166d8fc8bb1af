"""Libraries as people have them, unchanged, on the emulated NPU: the same numbers as on the CPU.

Each needs its package, of the version named; `pytest -m slow` runs those that are installed.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from tests.npu_emulator.conftest import REPOSITORY

pytestmark = pytest.mark.slow
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("network", ["wan", "flux", "z_image"])
def test_studio(network, tmp_path):
    """DiffSynth-Studio's networks; in a process that does not find this repository's own `diffsynth`."""
    try:
        version = metadata.version("diffsynth")
    except metadata.PackageNotFoundError:
        version = None
    if version != "2.1.12":
        pytest.skip(f"needs DiffSynth-Studio (diffsynth 2.1.12), and there is {version}")
    for name in ("npu_emulator", "accelerator_tables", "accelerator_autoload.py"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    program = Path(__file__).with_name("studio_networks.py")
    done = subprocess.run(
        [sys.executable, "-m", "npu_emulator", "run", program, network], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{network}: as on the CPU"


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd15", "sdxl", "wan"])
def test_diffusers(name):
    pytest.importorskip("diffusers")
    from diffusers import UNet2DConditionModel, WanTransformer3DModel

    torch.manual_seed(0)
    sizes = {"sample_size": 8, "block_out_channels": (32, 64), "norm_num_groups": 8, "cross_attention_dim": 32}
    kinds = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
             "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}  # fmt: skip
    if name == "wan":
        network = WanTransformer3DModel(num_attention_heads=2, attention_head_dim=24, in_channels=16, out_channels=16,
                                        text_dim=32, freq_dim=32, ffn_dim=64, num_layers=2)  # fmt: skip
        inputs = {"hidden_states": randn(1, 16, 2, 8, 8), "timestep": torch.tensor([500]),
                  "encoder_hidden_states": randn(1, 5, 32)}  # fmt: skip
    else:
        more = {}
        inputs = {
            "sample": randn(1, 4, 8, 8),
            "timestep": torch.tensor([500]),
            "encoder_hidden_states": randn(1, 5, 32),
        }
        if name == "sdxl":
            more = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
                    "projection_class_embeddings_input_dim": 64, "use_linear_projection": True}  # fmt: skip
            inputs["added_cond_kwargs"] = {"text_embeds": randn(1, 16), "time_ids": randn(1, 6)}
        network = UNet2DConditionModel(**sizes, **kinds, **more)
    network.eval()

    def on_npu(value):
        return {key: on_npu(each) for key, each in value.items()} if isinstance(value, dict) else value.to("npu")

    with mock.patch("diffusers.models.activations.is_torch_npu_available", return_value=False):
        expected = network(
            **inputs
        ).sample  # with torch_npu there, its GEGLU asks for the NPU's operator on the CPU too
    found = copy.deepcopy(network).to("npu")(**on_npu(inputs)).sample
    torch.testing.assert_close(found.cpu(), expected, **CLOSE)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width, bias=False) for _ in range(2)])
        self.attend, self.project = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        split = self.attend(self.norms[0](tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*split, is_causal=True)
        tokens = tokens + self.project(mixed.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norms[1](tokens))


class SmallGpt(nn.Module):
    """A language model of the shape that nanoGPT trains."""

    def __init__(self, vocabulary: int = 61, width: int = 32, length: int = 16) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks, self.norm = nn.Sequential(Block(width, 2), Block(width, 2)), nn.LayerNorm(width, bias=False)

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        places = self.places(torch.arange(ids.shape[1], device=ids.device))
        logits = self.norm(self.blocks(self.words(ids) + places)) @ self.words.weight.T
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def test_a_gpt_trains_compiled_by_default():
    """nanoGPT's loop: compile=True, fused AdamW, bfloat16 autocast left out so that the numbers can be compared."""
    losses = {}
    for device in ("cpu", "npu"):
        torch.manual_seed(0)
        model = SmallGpt().to(device)
        run = model if device == "cpu" else torch.compile(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), fused=device == "npu")
        ids = torch.randint(61, (4, 17), generator=torch.Generator().manual_seed(1)).to(device)
        losses[device] = []
        for _ in range(4):
            loss = run(ids[:, :-1], ids[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses[device].append(loss.item())
    assert losses["npu"] == pytest.approx(losses["cpu"], rel=1e-4)
    assert losses["npu"][-1] < losses["npu"][0]


def test_nano_gpts_trainer(tmp_path):
    """nano-gpt, a nanoGPT on PyPI: its model compiled as its tool does, trained and sampled by its own loop."""
    pytest.importorskip("nano_gpt", reason="needs nano-gpt 0.1.0")
    from nano_gpt.config import GPTConfig, TrainConfig
    from nano_gpt.model import GPT, sample
    from nano_gpt.trainer import WorkerState, create_optimizer, train

    class Letters:
        encode = staticmethod(lambda text: [ord(letter) % 64 for letter in text])
        decode = staticmethod(lambda tokens: " ".join(map(str, tokens)))

    text = torch.randint(64, (8, 17), generator=torch.Generator().manual_seed(1))
    batches = [(text[:, :-1].contiguous(), text[:, 1:].contiguous())] * 8
    losses = {}
    for device in ("cpu", "npu"):
        torch.manual_seed(0)
        model = GPT(GPTConfig(block_size=16, vocab_size=64, n_layer=2, n_head=2, n_embd=32), Letters()).to(device)
        if device == "npu":
            model = torch.compile(model)
        log = tmp_path / f"{device}.log"
        config = TrainConfig(total_batch_size=256, micro_batch_size=8, sequence_length=16, max_lr=1e-2, max_steps=4,
                             warmup_steps=1, log_file=str(log))  # fmt: skip
        optimizer = create_optimizer(model, config, None, is_cuda=device == "npu")
        train(model, optimizer, WorkerState(device), config, batches)
        losses[device] = [float(line.split("loss: ")[1].split(" ")[0]) for line in log.read_text().splitlines()]
        assert len(sample(model, Letters(), "abc", 2, 8, device)[0].split()) == 8
    assert len(losses["npu"]) == 4
    assert losses["npu"] == pytest.approx(losses["cpu"], rel=2e-2)
    assert losses["npu"][-1] < losses["npu"][0]


def test_mmengines_runner_trains(tmp_path):
    pytest.importorskip("mmengine")
    from mmengine.device import get_device
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from torch.utils.data import DataLoader

    class Regression(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.linear = nn.Linear(4, 1)

        def forward(self, inputs, targets, mode):
            found = self.linear(inputs)
            return {"loss": (found - targets).square().mean()} if mode == "loss" else found

    assert get_device() == "npu"
    rows = [(randn(4) + number, torch.tensor([float(number)])) for number in range(6)]
    model = Regression()
    alone = copy.deepcopy(model)
    runner = Runner(
        model=model, work_dir=str(tmp_path), train_dataloader=DataLoader(rows, batch_size=2),
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.01}}, train_cfg={"by_epoch": True, "max_epochs": 2},
        log_level="ERROR",
    )  # fmt: skip
    runner.train()
    assert next(runner.model.parameters()).device.type == "npu"
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.01)
    for _ in range(2):
        for inputs, targets in DataLoader(rows, batch_size=2):
            alone.linear(inputs).sub(targets).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(runner.model.linear.weight.cpu(), alone.linear.weight, **CLOSE)
