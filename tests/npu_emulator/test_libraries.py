"""Libraries unchanged: they find an NPU, run on it, and give the CPU's numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from .conftest import REPOSITORY, Run

transformers = pytest.importorskip("transformers")


def tiny_llama() -> Any:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 99}
    config = transformers.LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=2)
    return transformers.LlamaForCausalLM(config)


def test_libraries_see_an_npu() -> None:
    accelerate = pytest.importorskip("accelerate")
    diffusers = pytest.importorskip("diffusers")
    assert transformers.utils.is_torch_npu_available()
    assert diffusers.utils.is_torch_npu_available()
    assert accelerate.Accelerator().device.type == "npu"


def test_generate() -> None:
    model, prompt = tiny_llama().eval(), torch.tensor([[1, 5, 7]])
    expected = model.generate(prompt, max_new_tokens=8, do_sample=False)
    actual = model.npu().generate(prompt.npu(), max_new_tokens=8, do_sample=False)
    assert torch.equal(actual.cpu(), expected)


def attended(implementation: str) -> Any:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 99}
    config = transformers.LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=2)
    model = transformers.LlamaForCausalLM._from_config(config, attn_implementation=implementation, dtype=torch.float16)
    return model.npu()


def test_flash_attention_is_eager_attention() -> None:
    """Causal, padded and packed sequences, which transformers hands to npu_fusion_attention in three ways."""
    eager, flash = attended("eager"), attended("flash_attention_2")
    tokens = torch.randint(99, (2, 10)).npu()
    torch.testing.assert_close(flash(tokens).logits, eager(tokens).logits, atol=1e-3, rtol=1e-2)
    mask = torch.ones(2, 10, dtype=torch.long).npu()
    mask[0, :4] = 0
    real = mask.bool()
    padded = [model(tokens, attention_mask=mask).logits[real] for model in (flash, eager)]
    torch.testing.assert_close(*padded, atol=1e-3, rtol=1e-2)
    places = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5]]).npu()
    apart = torch.cat([eager(tokens[:1, part]).logits for part in (slice(0, 4), slice(4, 10))], 1)
    torch.testing.assert_close(flash(tokens[:1], position_ids=places).logits, apart, atol=1e-3, rtol=1e-2)
    labels = tokens.masked_fill(~real, -100)
    labels[0, 4] = -100  # what the last padding would predict
    for model in (eager, flash):
        model(tokens, attention_mask=mask, labels=labels).loss.backward()
    for ours, theirs in zip(flash.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=2e-3, rtol=2e-2)


@pytest.mark.filterwarnings("ignore")
def test_block_of_stable_diffusion(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers hands GEGLU to npu_geglu, with the GELU by tanh; on the host, to torch."""
    activations = pytest.importorskip("diffusers.models.activations")
    from diffusers.models.attention import BasicTransformerBlock

    torch.manual_seed(0)
    block = BasicTransformerBlock(32, 4, 8, cross_attention_dim=16)
    states, context = torch.randn(2, 9, 32), torch.randn(2, 5, 16)
    with monkeypatch.context() as host:
        host.setattr(activations, "is_torch_npu_available", lambda: False)
        gelu = torch.nn.functional.gelu
        host.setattr(activations.F, "gelu", lambda x: gelu(x, approximate="tanh"))
        expected = block(states, encoder_hidden_states=context)
        expected.sum().backward()
    wanted = [parameter.grad for parameter in block.parameters()]
    block.zero_grad()
    actual = block.npu()(states.npu(), encoder_hidden_states=context.npu())
    torch.testing.assert_close(actual.cpu(), expected)
    actual.sum().backward()
    for parameter, grad in zip(block.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad.cpu(), grad)


def losses(folder: Path, resume: str | None = None, **options: Any) -> list[float]:
    draws = torch.Generator().manual_seed(3)
    rows = [torch.randint(0, 99, (12,), generator=draws) for _ in range(16)]
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=4,
        save_steps=2,
        per_device_train_batch_size=2,
        report_to=[],
        logging_steps=1,
        disable_tqdm=True,
        **options,
    )
    trainer = transformers.Trainer(tiny_llama(), arguments, train_dataset=[{"input_ids": r, "labels": r} for r in rows])
    assert trainer.args.device.type == ("cpu" if options.get("use_cpu") else "npu")
    trainer.train(resume_from_checkpoint=resume)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.filterwarnings("ignore")
def test_trainer_and_resume(tmp_path: Path) -> None:
    whole = losses(tmp_path)
    assert whole == pytest.approx(losses(tmp_path / "cpu", use_cpu=True), abs=1e-4)
    assert losses(tmp_path, resume=str(tmp_path / "checkpoint-2"))[-2:] == whole[-2:]
    assert len(losses(tmp_path / "bf16", bf16=True, optim="adamw_torch_npu_fused")) == 4


def test_lora() -> None:
    peft = pytest.importorskip("peft")
    gradients = []
    for device in ("cpu", "npu"):
        torch.manual_seed(1)
        model = peft.get_peft_model(tiny_llama(), peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"])).to(device)
        tokens = torch.tensor([[1, 5, 7]], device=device)
        model(input_ids=tokens, labels=tokens).loss.backward()
        gradients.append([p.grad.cpu() for p in model.parameters() if p.grad is not None])
        assert model.merge_and_unload()(tokens).logits.device.type == device
    for here, there in zip(*gradients, strict=True):
        torch.testing.assert_close(there, here)


def wan_pipeline() -> Any:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    text = transformers.UMT5EncoderModel(
        transformers.UMT5Config(d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8, vocab_size=64)
    )
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0)
    pipeline = diffusers.WanPipeline(None, text.eval(), vae.eval(), scheduler, transformer.eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def offload_by_groups(pipeline: Any) -> None:
    from diffusers.hooks import apply_group_offloading

    for part in (pipeline.transformer, pipeline.vae, pipeline.text_encoder):
        apply_group_offloading(
            part, onload_device=torch.device("npu"), offload_type="leaf_level", use_stream=part is pipeline.transformer
        )


PLACEMENTS: dict[str, Callable[[Any], Any]] = {
    "to": lambda pipeline: pipeline.to("npu"),
    "model offload": lambda pipeline: pipeline.enable_model_cpu_offload(device="npu"),
    "sequential offload": lambda pipeline: pipeline.enable_sequential_cpu_offload(device="npu"),
    "group offload": offload_by_groups,
}


def video(pipeline: Any, device: str) -> torch.Tensor:
    prompt, negative = torch.randn(2, 1, 16, 32, generator=torch.Generator().manual_seed(1)).to(device)
    frames: torch.Tensor = pipeline(
        prompt_embeds=prompt,
        negative_prompt_embeds=negative,
        num_inference_steps=2,
        height=16,
        width=16,
        num_frames=9,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).frames
    return frames.cpu()


@pytest.mark.filterwarnings("ignore")
def test_wan_pipeline() -> None:
    expected = video(wan_pipeline(), "cpu")
    for name, place in PLACEMENTS.items():
        pipeline = wan_pipeline()
        place(pipeline)
        torch.testing.assert_close(video(pipeline, "npu"), expected, msg=lambda text, name=name: f"{name}: {text}")


ACCELERATE = """
import torch
from accelerate import Accelerator
accelerator = Accelerator(mixed_precision="bf16")
assert accelerator.distributed_type == "MULTI_NPU", accelerator.distributed_type
assert torch.distributed.get_backend() == "hccl"
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
model, optimizer, data = accelerator.prepare(
    model, torch.optim.AdamW(model.parameters()), torch.utils.data.DataLoader(torch.randn(16, 4), batch_size=4)
)
for batch in data:
    optimizer.zero_grad()
    loss = model(batch).square().mean()
    accelerator.backward(loss)
    optimizer.step()
assert accelerator.gather(loss.detach().reshape(1)).shape == (2,)
print(f"rank {accelerator.process_index} done\\n", end="", flush=True)  # in one piece: both write to one pipe
"""


def test_accelerate_over_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    (tmp_path / "train.py").write_text(ACCELERATE)
    launch = [sys.executable, "-m", "npu_emulator", "run", "--devices", "2", "-m", "accelerate.commands.launch"]
    launch += [
        "--num_processes",
        "2",
        "--main_process_port",
        "0",
        "-m",
        "npu_emulator",
        "run",
        str(tmp_path / "train.py"),
    ]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run(launch, capture_output=True, text=True, timeout=150, env=env, check=False)
    assert sorted(result.stdout.splitlines()) == ["rank 0 done", "rank 1 done"], result.stderr[-3000:]


def test_models_are_imported_beside_the_redirect(run: Run) -> None:
    # With some models transformers imports torch's compiler, which reads attributes of what the redirect puts in place.
    result = run("""
        import npu_compat
        import torch._dynamo
        from transformers.models.umt5 import modeling_umt5

        print(modeling_umt5.torch.npu.is_available())
    """)
    assert result.stdout == "True\n", result.stderr
