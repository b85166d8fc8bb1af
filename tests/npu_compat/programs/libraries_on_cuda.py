"""Third-party libraries as a program written for CUDA uses them; each part compares with the CPU."""

import sys
import tempfile

import torch


def tiny_llama():
    import transformers

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 99}
    config = transformers.LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=2)
    return transformers.LlamaForCausalLM(config).eval()


def rows():
    generator = torch.Generator().manual_seed(3)
    ids = [torch.randint(0, 99, (12,), generator=generator) for _ in range(16)]
    return [{"input_ids": row, "labels": row} for row in ids]


def generate(_):
    model, prompt = tiny_llama(), torch.tensor([[1, 5, 7]])
    expected = model.generate(prompt, max_new_tokens=8, do_sample=False)
    actual = model.to("cuda").generate(prompt.to("cuda"), max_new_tokens=8, do_sample=False)
    assert actual.is_cuda
    assert torch.equal(actual.cpu(), expected)


def losses(folder, resume=None, **options):
    import transformers

    arguments = transformers.TrainingArguments(
        folder, max_steps=4, save_steps=2, per_device_train_batch_size=2, report_to=[], logging_steps=1, **options
    )
    trainer = transformers.Trainer(tiny_llama(), arguments, train_dataset=rows())
    trainer.train(resume_from_checkpoint=resume)
    if not options.get("use_cpu"):
        assert next(trainer.model.parameters()).is_cuda
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def trainer(folder):
    expected = losses(f"{folder}/cpu", use_cpu=True)
    actual = losses(f"{folder}/cuda")
    torch.testing.assert_close(torch.tensor(actual), torch.tensor(expected), rtol=1e-5, atol=1e-6)
    resumed = losses(f"{folder}/cuda", resume=f"{folder}/cuda/checkpoint-2")
    torch.testing.assert_close(torch.tensor(resumed[-2:]), torch.tensor(actual[-2:]), rtol=1e-5, atol=1e-6)


def lora(folder):
    import peft

    adapted = peft.get_peft_model(tiny_llama(), peft.LoraConfig(target_modules=["q_proj", "v_proj"])).cuda()
    optimizer = torch.optim.AdamW(adapted.parameters(), lr=0.05)
    batch = rows()[0]["input_ids"][None].cuda()
    for _ in range(2):
        adapted(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    expected = adapted(input_ids=batch).logits.cpu()
    adapted.save_pretrained(folder)
    loaded = peft.PeftModel.from_pretrained(tiny_llama().cuda(), folder)
    torch.testing.assert_close(loaded(input_ids=batch).logits.cpu(), expected)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(merged(input_ids=batch).logits.cpu(), expected, rtol=1e-4, atol=1e-5)


def wan_pipeline():
    import diffusers
    import transformers

    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16,
        text_dim=32, freq_dim=256, ffn_dim=32, num_layers=2, cross_attn_norm=True, rope_max_seq_len=32,
    )  # fmt: skip
    shape = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 4}
    encoder = transformers.UMT5EncoderModel(transformers.UMT5Config(**shape)).eval()
    scheduler = diffusers.UniPCMultistepScheduler(
        flow_shift=3.0, prediction_type="flow_prediction", use_flow_sigmas=True
    )
    return diffusers.WanPipeline(
        tokenizer=None, text_encoder=encoder, vae=vae, transformer=transformer, scheduler=scheduler
    )


def video(pipeline):
    generator = torch.Generator("cpu").manual_seed(0)
    embedding = torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(1)).to(pipeline._execution_device)
    result = pipeline(
        prompt_embeds=embedding, negative_prompt_embeds=embedding * 0, height=16, width=16, num_frames=5,
        num_inference_steps=2, guidance_scale=5.0, generator=generator, output_type="pt",
    )  # fmt: skip
    return result.frames.cpu()


def diffusion(_):
    expected = video(wan_pipeline())
    offloads = {
        "to": lambda pipeline: pipeline.to("cuda"),
        "model": lambda pipeline: pipeline.enable_model_cpu_offload(device="cuda"),
        "model on its own": lambda pipeline: pipeline.enable_model_cpu_offload(),
        "sequential": lambda pipeline: pipeline.enable_sequential_cpu_offload(device="cuda"),
        "group": lambda pipeline: pipeline.enable_group_offload(
            onload_device=torch.device("cuda"), offload_type="leaf_level"
        ),
        "group with stream": lambda pipeline: pipeline.enable_group_offload(
            onload_device=torch.device("cuda"), offload_type="leaf_level", use_stream=True
        ),
    }
    for name, offload in offloads.items():
        pipeline = wan_pipeline()
        offload(pipeline)
        difference = (video(pipeline) - expected).abs().max().item()
        assert difference < 1e-5, f"{name}: {difference}"
        assert torch.cuda.max_memory_allocated() > 0


def launched(folder):
    """Run by ``accelerate launch --num_processes 2``."""
    import accelerate

    accelerator = accelerate.Accelerator(mixed_precision="bf16")
    assert accelerator.num_processes == 2
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch in loader:
        assert batch.is_cuda
        accelerator.backward(model(batch).float().square().mean())
        optimizer.step()
        optimizer.zero_grad()
    gathered = accelerator.gather(next(model.parameters()).detach()[None])
    assert torch.equal(gathered[0], gathered[1])
    if accelerator.is_main_process:
        print("kind", accelerator.distributed_type.value, torch.distributed.get_backend())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        globals()[sys.argv[1]](temporary)
