"""The sections that made-up scripts are put together from: how people in the field write them for CUDA.

`$name` stands for one of WORDS[name], chosen anew in each section; `$prompt1` and `$prompt2` are two choices, and
`$torch` is what the script calls torch. A section may stand in a script once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """Imports, top-level definitions and statements of the script's main part.

    `early` stands above all imports. Where `$torch` stands, torch is imported without being listed.
    """

    definitions: str = ""
    main: str = ""
    imports: tuple[str, ...] = ()
    early: str = ""


WORDS = {
    "net": (
        "model", "network", "transformer", "unet", "dit", "denoiser", "backbone", "student", "teacher", "controlnet",
        "text_encoder", "image_encoder", "adapter", "discriminator", "motion_module", "refiner", "upsampler", "vocoder",
    ),
    "tensor": (
        "latents", "noise", "images", "frames", "hidden_states", "video", "embeds", "pixel_values", "prompt_embeds",
        "mask", "condition", "timesteps", "context", "image_latents", "attention_mask", "audio", "poses", "sigmas",
    ),
    "Net": ("Model", "Transformer", "Denoiser", "Backbone", "Student", "Teacher", "Adapter", "Refiner", "Upsampler"),
    "Noun": ("Sample", "Clip", "Batch", "Record", "Scene", "Episode", "Shot", "View", "Caption", "Frame", "Motion"),
    "rank": ("rank", "rank + 1", "rank % 4", "rank % 8", "rank // 2", "int(rank)"),
    "device": ('"cuda"',) * 6 + ("'cuda'", '"cuda:0"', "'cuda:0'", '"cuda:1"', "'cuda:1'"),
    "quoted": ('"cuda"', '"cuda"', "'cuda'", '"cuda:0"'),
    "place": ("device", "device", "dev", "target_device", "self_device", "run_device", "main_device", "gpu"),
    "number": ("2", "4", "8", "16", "20", "25", "30", "50", "64", "77", "81", "100", "128", "256", "500", "1000"),
    "size": ("256", "384", "480", "512", "576", "640", "720", "768", "832", "1024", "1280"),
    "rate": ("1e-5", "2e-5", "5e-5", "1e-4", "3e-4", "5e-6", "0.002"),
    "fraction": ("0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95", "0.999"),
    "seed": ("0", "1", "7", "42", "123", "1024", "2024", "31337"),
    "dtype": ("bfloat16", "bfloat16", "float16", "float32"),
    "folder": ("outputs", "results", "runs/latest", "./exp", "data/processed", "cache", "checkpoints", "samples"),
    "file": ("model.safetensors", "last.pt", "step_2000.pth", "ema.ckpt", "lora.safetensors", "weights_cuda.pt"),
    "wan": ("Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.1-T2V-14B", "Wan-AI/Wan2.2-T2V-A14B", "Wan-AI/Wan2.1-I2V-14B-480P"),
    "hub": (
        "stabilityai/stable-diffusion-xl-base-1.0", "black-forest-labs/FLUX.1-dev", "Qwen/Qwen-Image",
        "stabilityai/sdxl-turbo", "PixArt-alpha/PixArt-XL-2-1024-MS", "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers",
    ),
    "llm": ("Qwen/Qwen2.5-7B-Instruct", "google/flan-t5-xl", "openai/clip-vit-large-patch14", "google/umt5-xxl"),
    "step": ("forward", "denoise", "sample", "encode", "decode", "step", "rollout", "predict", "interpolate"),
    "noun": ("sample", "clip", "batch", "record", "item", "scene", "episode", "shot", "view", "caption"),
    "verb": ("load", "prepare", "collect", "build", "read", "resolve", "merge", "filter", "normalize", "summarize"),
    "switch": ("0", "1", "0,1", "0,1,2,3", "4,5,6,7"),
    "mode": ("max-autotune-no-cudagraphs", "reduce-overhead", "default"),
}  # fmt: skip

#: A prompt is one of each: what there is to see, where, how it is filmed.
PROMPTS = {
    "en": (
        (
            "A potter shapes a tall clay vase on a spinning wheel", "An old sailor mends a net on a wooden pier",
            "A red fox crosses a frozen lake at dawn", "A 1970 barracuda idles at a neon-lit gas station",
            "Two dancers rehearse in an empty warehouse", "A girl in a yellow raincoat feeds ducks",
            "A street musician plays the accordion", "A hummingbird hovers over a thistle",
            "A tram climbs a steep hill between pastel houses", "An astronomer adjusts a brass telescope",
        ),
        (
            "in a sunlit workshop.", "under a sky full of slow clouds.", "while snow settles on her shoulders.",
            "as the last light leaves the valley.", "beside a river swollen by rain.", "among tall ferns and moss.",
            "in front of a shop window full of clocks.", "on a terrace above the harbour.",
        ),
        (
            "Handheld camera, shallow depth of field, film grain.", "The camera moves in slowly at eye level.",
            "Wide shot, anamorphic lens, soft contrast.", "Macro shot, natural light, muted colours.",
            "Slow pan from left to right, golden hour.", "Top-down view, crisp shadows, high detail.",
        ),
    ),
    "zh": (
        (
            "一只活泼的小狗在绿茵茵的草地上奔跑，", "一位撑着油纸伞的女子从巷子深处走来，",
            "老匠人在灯下雕刻一只木鸟，",
            "清晨的渔船驶出薄雾笼罩的港口，", "穿红色棉袄的孩子在雪地里放风筝，", "一列蒸汽火车穿过金黄的麦田，",
            "厨师把滚烫的热油浇在鲜鱼上，", "程序员在堆满显卡和 CUDA 手册的桌前打盹，",
        ),
        (
            "远处隐约可见蓝天和几片白云，", "石板路映出灯笼的暖光，", "雨水从青瓦屋檐滴落，",
            "阳光透过树叶洒下斑驳的光影，",
            "背景是连绵的雪山，", "窗外霓虹闪烁，", "空气中漂浮着细小的尘埃，", "水面泛起层层涟漪，",
        ),
        (
            "纪实摄影风格，中景侧面移动视角。", "低机位缓慢推进，电影质感。", "特写镜头，景深极浅，色调柔和。",
            "航拍视角，画面开阔，细节丰富。", "固定机位，自然光，胶片颗粒。", "慢动作，逆光，氛围宁静。",
        ),
    ),
}  # fmt: skip

NEGATIVE_PROMPTS = {
    "en": "static, blurry, overexposed, subtitles, watermark, worst quality, deformed hands, extra fingers",
    "zh": "色调艳丽，过曝，静态，细节模糊不清，字幕，最差质量，低质量，JPEG压缩残留，多余的手指，杂乱的背景",
}

SECTIONS = {
    # Pipelines: what an inference script is about.
    "diffsynth low vram": Section(
        imports=(
            "import torch",
            "from diffsynth.utils.data import save_video, VideoData",
            "from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig",
        ),
        main="""
vram_config = {
    "offload_dtype": "disk",
    "offload_device": "disk",
    "onload_dtype": torch.$dtype1,
    "onload_device": $quoted1,
    "preparing_dtype": torch.bfloat16,
    "preparing_device": "cuda",
    "computation_dtype": torch.bfloat16,
    "computation_device": "cuda",
}
pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="$wan", origin_file_pattern="diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="$wan", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth", **vram_config),
        ModelConfig(model_id="$wan", origin_file_pattern="Wan2.1_VAE.pth", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - $number,
)
video = pipe(
    prompt="$prompt1",
    negative_prompt="$negative",
    seed=$seed, rand_device=$quoted2, tiled=True,
    num_inference_steps=$number2,
)
save_video(video, "video_$seed.mp4", fps=15, quality=5)
""",
    ),
    "diffsynth with the helper": Section(
        imports=(
            "import torch",
            "from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig",
            "from diffsynth.core.device.npu_compatible_device import get_device_name",
        ),
        main="""
pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.$dtype,
    device='cuda',
    model_configs=[ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/*.safetensors")],
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - $fraction,
)
for index, prompt in enumerate(["$prompt1", "$prompt2"]):
    image = pipe(prompt=prompt, height=$size1, width=$size2, seed=index)
    image.save(f"image_{index}.jpg")
""",
    ),
    "diffsynth on a numbered card": Section(
        imports=("import torch", "from diffsynth.pipelines.wan_video import WanVideoPipeline"),
        main="""
free, total = torch.cuda.mem_get_info("cuda:$seed")
others = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
pipe = WanVideoPipeline.from_pretrained(torch_dtype=torch.bfloat16, device="cuda:$seed", vram_limit=free / 1024 ** 3)
video = pipe(prompt="$prompt", tiled=$number > 4)
""",
    ),
    "diffusers pipeline": Section(
        imports=("from diffusers import DiffusionPipeline",),
        main="""
pipe = DiffusionPipeline.from_pretrained("$hub", torch_dtype=$torch.$dtype, variant="fp16")
pipe = pipe.to($device)
generator = $torch.Generator(device=$quoted).manual_seed($seed)
images = pipe(
    ["$prompt1", "$prompt2"],
    negative_prompt=["$negative"] * 2,
    num_inference_steps=$number,
    guidance_scale=$fraction * 10,
    generator=generator,
).images
for index, image in enumerate(images):
    image.save(f"$folder/{index:03d}.png")
""",
    ),
    "offload to the processor": Section(
        definitions='''
def offload_$net(pipe, onload_device=$device, offload_device="cpu", steps=$number):
    """Keep the $net in host memory and bring it to the CUDA device for `steps` steps at a time."""
    pipe.$net.enable_group_offload(onload_device=$torch.device(onload_device), offload_device=offload_device)
    pipe.enable_model_cpu_offload(device=$quoted)
    return pipe
''',
        main="offload_$net(pipe, onload_device=$device2, steps=$number2)",
    ),
    "language model": Section(
        imports=("from transformers import AutoModelForCausalLM, AutoTokenizer",),
        definitions='''
def rewrite_prompt(prompt, $place=$device):
    """Let a language model make a prompt longer and more precise."""
    tokenizer = AutoTokenizer.from_pretrained("$llm")
    $net = AutoModelForCausalLM.from_pretrained("$llm", device_map=$quoted, torch_dtype="auto")
    inputs = tokenizer(prompt, return_tensors="pt").to($net.device)
    output = $net.generate(**inputs, max_new_tokens=$number, do_sample=$fraction > 0.5)
    return tokenizer.batch_decode(output, skip_special_tokens=True)[0]
''',
        main='print(rewrite_prompt("$prompt"))',
    ),
    # Command lines.
    "argparse": Section(
        imports=("import argparse",),
        definitions="""
def parse_args():
    parser = argparse.ArgumentParser(description="$verb the $noun files of a folder (needs CUDA)")
    parser.add_argument("--input", default="$folder1", help="folder with one $noun per file")
    parser.add_argument("--output", default="$folder2")
    parser.add_argument("-d", "--device", default=$device, help="cuda, cuda:1 or cpu")
    parser.add_argument("--text-encoder-device", default=$quoted, choices=["cuda", "cpu"])
    parser.add_argument("--backend", choices=["nccl", "gloo"], default="nccl")
    parser.add_argument("--height", type=int, default=$size1)
    parser.add_argument("--width", type=int, default=$size2)
    parser.add_argument("--seed", type=int, default=$seed)
    parser.add_argument("--lr", type=float, default=$rate)
    return parser.parse_args()
""",
        main="args = parse_args()",
    ),
    "click": Section(
        imports=("import click",),
        definitions='''
@click.command()
@click.option("--device", default=$device, show_default=True, help="Where the $net runs.")
@click.option("--vae-device", type=click.Choice(["cuda", "cpu"]), default="cuda")
@click.option("--steps", default=$number, show_default=True)
@click.argument("prompts", nargs=-1)
def $verb(device, vae_device, steps, prompts):
    """Make one $noun for each of PROMPTS on the CUDA device."""
    for prompt in prompts:
        click.echo(f"{steps} steps on {device}, decoding on {vae_device}: {prompt}")
''',
    ),
    # Training.
    "distributed": Section(
        imports=("import os", "import torch.distributed as dist"),
        definitions='''
def setup_distributed():
    """One process per card, started by torchrun."""
    rank = int(os.environ["RANK"])
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    $torch.cuda.set_device(local_rank)
    dist.init_process_group(backend="nccl", rank=rank, world_size=int(os.environ["WORLD_SIZE"]))
    gloo = dist.new_group(backend="cpu:gloo,cuda:nccl")
    return rank, $torch.device(f"cuda:{local_rank}"), gloo


def all_reduce_$tensor(value, group=None):
    $tensor = $torch.tensor([value], device="cuda:" + str(dist.get_rank() % $number))
    dist.all_reduce($tensor, group=group)
    return $tensor.item() / dist.get_world_size()
''',
        main="rank, device, gloo = setup_distributed()",
    ),
    "device mesh": Section(
        imports=("import torch", "from torch.distributed.device_mesh import init_device_mesh"),
        definitions="""
def shard_$net($net, dp_size, tp_size=$number):
    mesh = init_device_mesh("cuda", (dp_size, tp_size), mesh_dim_names=("dp", "tp"))
    torch.distributed.init_process_group("nccl", device_id=torch.device("cuda", torch.cuda.current_device()))
    return torch.distributed.fsdp.fully_shard($net.to("cuda:%d" % mesh.get_local_rank("tp")), mesh=mesh["dp"])
""",
    ),
    "mixed precision": Section(
        imports=("from torch.cuda.amp import autocast, GradScaler",),
        definitions='''
def train_one_epoch($net, loader, optimizer, epoch):
    """An epoch in half precision; gives the mean loss."""
    scaler = GradScaler(enabled=True)
    losses = []
    for step, ($tensor1, target) in enumerate(loader):
        $tensor1 = $tensor1.cuda(non_blocking=True)
        target = target.cuda(0, non_blocking=True)
        with autocast(dtype=$torch.$dtype):
            loss = $torch.nn.functional.mse_loss($net($tensor1), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        $torch.nn.utils.clip_grad_norm_($net.parameters(), $fraction)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if step % $number == 0:
            print(f"epoch {epoch} step {step} loss {loss.item():.4f}")
    return sum(losses) / max(len(losses), 1)
''',
        main="for epoch in range($number):\n    train_one_epoch($net, loader, optimizer, epoch)",
    ),
    "newer autocast": Section(
        definitions="""
@$torch.no_grad()
def validate($net, loader, $place="cuda"):
    scores = []
    for $noun in loader:
        with $torch.autocast(device_type="cuda", dtype=$torch.$dtype):
            scores.append($net($noun["$tensor"].to($place, non_blocking=True)).float().mean())
    $torch.cuda.synchronize()
    return $torch.stack(scores).mean().item()
""",
    ),
    "accelerate": Section(
        imports=("from accelerate import Accelerator",),
        definitions="""
def prepare(config, $net, optimizer, loader):
    accelerator = Accelerator(mixed_precision="bf16", gradient_accumulation_steps=config.get("accumulate", $number))
    $net, optimizer, loader = accelerator.prepare($net, optimizer, loader)
    if accelerator.is_main_process:
        accelerator.init_trackers("$folder", config={"lr": $rate, "seed": $seed})
    return accelerator, $net, optimizer, loader
""",
    ),
    "checkpoints": Section(
        imports=("import os",),
        definitions="""
def load_checkpoint($net, path, strict=True):
    state = $torch.load(path, map_location=$device, weights_only=True)
    missing, unexpected = $net.load_state_dict(state.get("state_dict", state), strict=strict)
    if missing or unexpected:
        print(f"{len(missing)} missing and {len(unexpected)} unexpected keys in {path}")
    return $net.to(device=$quoted, dtype=$torch.$dtype)


def save_checkpoint($net, optimizer, step, folder="$folder"):
    os.makedirs(folder, exist_ok=True)
    state = {"state_dict": $net.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    state["cuda_rng_state"] = $torch.cuda.get_rng_state_all()
    $torch.save(state, os.path.join(folder, f"step_{step:06d}.pt"))
""",
        main='$net = load_checkpoint($net, "$folder/$file")',
    ),
    "random state": Section(
        imports=("import random", "import numpy as np"),
        definitions="""
def seed_everything(seed=$seed):
    random.seed(seed)
    np.random.seed(seed % 2**32)
    $torch.manual_seed(seed)
    $torch.cuda.manual_seed(seed)
    $torch.cuda.manual_seed_all(seed)
    $torch.backends.cudnn.deterministic = True
    $torch.backends.cudnn.benchmark = False
""",
        main="seed_everything($seed2)",
    ),
    "faster flags": Section(
        main="""
$torch.backends.cuda.matmul.allow_tf32 = True
$torch.backends.cudnn.allow_tf32 = True
$torch.set_float32_matmul_precision("high")
$net = $torch.compile($net, mode="$mode")
""",
    ),
    # The device, in every other form.
    "pick a device": Section(
        definitions='''
def pick_device(prefer=None):
    """The card asked for, or the first one, or the CPU."""
    if prefer is not None:
        return $torch.device(prefer)
    $place = $torch.device("cuda" if $torch.cuda.is_available() else "cpu")
    count = $torch.cuda.device_count() if $place.type == "cuda" else 0
    print(f"{count} CUDA devices, using {$place}")
    return $place
''',
        main="$place = \"cuda:{}\".format($seed) if $torch.cuda.device_count() > $seed else 'cuda'",
    ),
    "ask which device": Section(
        definitions="""
class ${Net}Wrapper($torch.nn.Module):
    def __init__(self, module, device=$device, dtype=None):
        super().__init__()
        self.module = module.to(device=device, dtype=dtype or $torch.$dtype)
        self.device = device

    def forward(self, $tensor, extra=None):
        if self.device == "cuda" or str($tensor.device).startswith("cuda"):
            $tensor = $tensor.contiguous()
        if $tensor.device.type in ("cuda", "cpu") and extra is not None:
            $tensor = $tensor + extra.to($tensor.device)
        return self.module($tensor)
""",
        main="$net = ${Net}Wrapper($net, device=$device2)",
    ),
    "knows two devices": Section(
        definitions="""
def empty_cache(kind="cuda"):
    if kind == "cuda":
        $torch.cuda.empty_cache()
    elif kind == "npu":
        $torch.npu.empty_cache()
    elif kind in ("mps", "xpu"):
        print(f"no cache to empty on {kind}")
""",
    ),
    "workers": Section(
        imports=("import torch.multiprocessing as mp",),
        definitions='''
def worker(rank, queue, prompts, $place=None):
    """Take every n-th prompt to a card of its own."""
    $place = $place or f"cuda:{$rank}"
    $torch.cuda.set_device($place)
    for prompt in prompts[rank::$torch.cuda.device_count()]:
        $tensor = $torch.randn(1, 16, $number, $number, device=f'cuda:{rank}')
        queue.put((prompt, $tensor.cpu()))


def run_workers(prompts):
    queue = mp.get_context("spawn").Queue()
    devices = ["cuda:" + str(i) for i in range($number2)]
    mp.spawn(worker, args=(queue, prompts), nprocs=len(devices))
''',
        main='run_workers(["$prompt1", "$prompt2"])',
    ),
    "moves": Section(
        definitions="""
def ${step}_on_card($net, $tensor1, $tensor2, scale=$fraction):
    $net = $net.cuda().eval()
    $tensor1 = $tensor1.to("cuda", $torch.$dtype)
    if not $tensor2.is_cuda:
        $tensor2 = $tensor2.cuda(non_blocking=True)
    ids = $torch.arange($number, device=$device).long()
    steps = $torch.linspace(1.0, 0.0, $number2 + 1, device="cuda")
    for index in range(len(steps) - 1):
        velocity = $net($tensor1, steps[index], $tensor2) * scale
        $tensor1 = $tensor1 + (steps[index + 1] - steps[index]) * velocity
    return $tensor1.cpu(), ids
""",
        main="$tensor1, _ = ${step}_on_card($net, $tensor1, $tensor2)",
    ),
    "per part devices": Section(
        definitions="""
DEVICES = {"text_encoder": $device1, "$net": $device2, "vae": "cpu", "image_encoder_device": 'cuda'}
COMPUTE_DEVICE = $quoted


def place_parts(pipe, devices=DEVICES):
    for name, place in devices.items():
        getattr(pipe, name.removesuffix("_device")).to(place)
    return pipe
""",
        main='place_parts(pipe, {**DEVICES, "vae": $device3})',
    ),
    # Memory, timing and other services of the card.
    "memory report": Section(
        definitions='''
def report_memory(tag, $place=None):
    """Print what is allocated and free, in GiB."""
    allocated = $torch.cuda.memory_allocated($place) / 1024**3
    peak = $torch.cuda.max_memory_allocated() / 1024**3
    free, total = $torch.cuda.mem_get_info($place)
    print(f"[{tag}] allocated {allocated:.2f}, peak {peak:.2f}, free {free / 1024**3:.2f} of {total / 1024**3:.2f}")
    $torch.cuda.reset_peak_memory_stats("cuda")
    $torch.cuda.empty_cache()
''',
        main='report_memory("after $step", $device)',
    ),
    "short names": Section(
        imports=("import torch as th", "from torch import cuda"),
        definitions="""
def copy_in_background($tensor1, out):
    stream = cuda.Stream(device=$quoted)
    with cuda.stream(stream):
        out.copy_($tensor1, non_blocking=True)
    cuda.current_stream().wait_stream(stream)
    th.cuda.synchronize()
    return out, th.cuda.get_device_name(0), cuda.is_available()
""",
    ),
    "timing": Section(
        definitions="""
def time_$step(function, *inputs, repeats=$number):
    start, end = $torch.cuda.Event(enable_timing=True), $torch.cuda.Event(enable_timing=True)
    for _ in range(3):
        function(*inputs)
    start.record()
    for _ in range(repeats):
        function(*inputs)
    end.record()
    $torch.cuda.synchronize()
    return start.elapsed_time(end) / repeats
""",
        main='print(f"$step: {time_$step($net, $tensor):.3f} ms on {$torch.cuda.get_device_name()}")',
    ),
    "graph capture": Section(
        definitions='''
def capture($net, $tensor):
    """Record one step as a CUDA graph and give a function that replays it."""
    graph = $torch.cuda.CUDAGraph()
    static = $tensor.clone().to(device=$device)
    with $torch.cuda.graph(graph):
        output = $net(static)

    def replay(new_input):
        static.copy_(new_input)
        graph.replay()
        return output.clone()

    return replay
''',
    ),
    "profiler": Section(
        imports=("from torch.profiler import ProfilerActivity, profile, schedule",),
        definitions="""
def profile_$step($net, batches, folder="$folder"):
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities, schedule=schedule(wait=1, warmup=1, active=$number)) as profiler:
        for $noun in batches:
            $net($noun)
            profiler.step()
    print(profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=$number))
    profiler.export_chrome_trace(f"{folder}/trace.json")
""",
    ),
    "environment": Section(
        imports=("import os",),
        early="""
import os

os.environ["CUDA_VISIBLE_DEVICES"] = "$switch"
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
""",
        definitions="""
def visible_cards():
    return [int(card) for card in os.environ.get("CUDA_VISIBLE_DEVICES", "$switch").split(",") if card]
""",
        main='print("cards:", visible_cards())',
    ),
    "kernels of others": Section(
        definitions="""
try:
    from flash_attn import flash_attn_func
except ImportError:  # pip install flash-attn, needs CUDA 11.8 or later
    flash_attn_func = None


def attention(q, k, v, causal=False):
    if flash_attn_func is not None and q.is_cuda:
        return flash_attn_func(q, k, v, causal=causal)
    return $torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
""",
    ),
    # Text that only talks about CUDA.
    "documentation": Section(
        definitions='''
INSTALL = "pip install torch --index-url https://download.pytorch.org/whl/cu118"
REQUIREMENTS = """
    A CUDA device with at least $number GB, the driver for cuda 11.8 or 12.4,
    and the weights from https://example.org/weights/$file.
"""


def check_requirements(version):
    """Raise where the installed CUDA toolkit is too old; "cuda" below is part of the message only."""
    if version < (11, 8):
        raise RuntimeError(f"cuda {version} is too old, see https://developer.nvidia.com/cuda-downloads")
    print("cuda is ready")  # device="cuda" from here on
''',
    ),
    "commented out": Section(
        main="""
# pipe.enable_vram_management(num_persistent_param_in_dit=None)
# pipe = pipe.to("cuda")  # not with offloading
# torch.cuda.empty_cache()
prompts_of_interest = ["$prompt1", "$prompt2", "$prompt3"]
""",
    ),
    # The rest of a script, which says nothing about devices.
    "dataset": Section(
        imports=("import json", "from pathlib import Path", "from torch.utils.data import Dataset"),
        definitions='''
class ${Noun}Dataset(Dataset):
    """Pairs of a $noun and its text, listed in metadata.jsonl."""

    def __init__(self, root, height=$size1, width=$size2, repeat=$number):
        self.root = Path(root)
        lines = (self.root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        self.entries = [json.loads(line) for line in lines if line.strip()]
        self.height, self.width, self.repeat = height, width, repeat

    def __len__(self):
        return len(self.entries) * self.repeat

    def __getitem__(self, index):
        entry = self.entries[index % len(self.entries)]
        path = self.root / entry.get("file_name", f"{index:06d}.png")
        return {"path": str(path), "text": entry["text"], "size": (self.height, self.width)}
''',
        main='dataset = ${Noun}Dataset("$folder", repeat=$number2)',
    ),
    "network": Section(
        imports=("import torch.nn as nn",),
        definitions="""
class ${Net}Block(nn.Module):
    def __init__(self, dim=$size1, heads=$number, dropout=0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, dim * 4), nn.GELU(approximate="tanh"), nn.Linear(dim * 4, dim))
        self.modulation = nn.Parameter($torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x, time_embedding):
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation + time_embedding).chunk(6, dim=1)
        y = self.norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(y, y, y, need_weights=False)[0]
        y = self.norm2(x) * (1 + scale2) + shift2
        return x + gate2 * self.mlp(y)
""",
    ),
    "scheduler": Section(
        imports=("import math",),
        definitions='''
def learning_rate(step, total, base=$rate, warmup=$number, floor=$fraction):
    """A linear warm-up, then half a cosine down to `floor` of the base rate."""
    if step < warmup:
        return base * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return base * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def shifted_sigmas(steps=$number2, shift=$number):
    sigmas = [1 - index / steps for index in range(steps)]
    return [shift * sigma / (1 + (shift - 1) * sigma) for sigma in sigmas] + [0.0]
''',
        main="print([round(sigma, 3) for sigma in shifted_sigmas()])",
    ),
    "images": Section(
        imports=("from pathlib import Path", "from PIL import Image"),
        definitions='''
def ${verb}_images(folder, height=$size1, width=$size2):
    """Every picture of a folder, cropped to the middle and scaled."""
    for path in sorted(Path(folder).glob("*.png")):
        image = Image.open(path).convert("RGB")
        scale = max(width / image.width, height / image.height)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.LANCZOS)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        yield path.stem, image.crop((left, top, left + width, top + height))
''',
        main='for name, image in ${verb}_images("$folder1"):\n    image.save(f"$folder2/{name}_$size1.png")',
    ),
    "configuration": Section(
        imports=("from dataclasses import dataclass, field",),
        definitions='''
@dataclass
class ${Noun}Config:
    """Settings of one run; everything can be overridden from a YAML file."""

    name: str = "$folder-$seed"
    height: int = $size1
    width: int = $size2
    num_frames: int = $number1
    num_inference_steps: int = $number2
    learning_rate: float = $rate
    weight_decay: float = $fraction
    betas: tuple = (0.9, $fraction2)
    lora_target_modules: list = field(default_factory=lambda: ["q", "k", "v", "o", "ffn.0", "ffn.2"])
    prompt: str = "$prompt1"
    negative_prompt: str = "$negative"

    def validate(self):
        for side in ("height", "width"):
            if getattr(self, side) % 16:
                raise ValueError(f"{side} must be a multiple of 16, got {getattr(self, side)}")
        return self
''',
        main="config = ${Noun}Config(height=$size3, width=$size3).validate()",
    ),
    "prompts": Section(
        definitions="""
PROMPTS = [
    "$prompt1",
    "$prompt2",
    "$prompt3",
    "$prompt4",
    "$prompt5",
]
NEGATIVE_PROMPT = "$negative"
""",
        main="for index, prompt in enumerate(PROMPTS):\n    print(index, len(prompt), prompt[:$number])",
    ),
    "moving average": Section(
        definitions='''
class MovingAverage:
    """Exponential moving average of a network's weights."""

    def __init__(self, $net, decay=$fraction, update_every=$number):
        self.decay, self.update_every, self.count = decay, update_every, 0
        self.shadow = {name: value.detach().clone() for name, value in $net.named_parameters()}

    @$torch.no_grad()
    def update(self, $net):
        self.count += 1
        if self.count % self.update_every:
            return
        for name, value in $net.named_parameters():
            self.shadow[name].lerp_(value.detach(), 1 - self.decay)
''',
        main="average = MovingAverage($net, decay=0.999)",
    ),
    "metrics": Section(
        imports=("import json", "import time"),
        definitions='''
class Meter:
    """Running means by name, written as one JSON line per report."""

    def __init__(self, path="$folder/metrics.jsonl"):
        self.path, self.sums, self.counts, self.began = path, {}, {}, time.time()

    def add(self, **values):
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.counts[name] = self.counts.get(name, 0) + 1

    def report(self, step):
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "seconds": time.time() - self.began, **means}) + "\\n")
        self.sums, self.counts = {}, {}
        return means
''',
        main="meter = Meter()\nmeter.add(loss=$fraction, $tensor=$number)\nprint(meter.report($number2))",
    ),
    "tiling": Section(
        definitions='''
def tiles(height, width, size=($number1, $number2), stride=None):
    """Top, bottom, left and right of overlapping tiles that cover a picture."""
    stride = stride or (size[0] // 2 + 1, size[1] // 2 + 1)
    for top in range(0, height, stride[0]):
        if top - stride[0] >= 0 and top - stride[0] + size[0] >= height:
            continue
        for left in range(0, width, stride[1]):
            if left - stride[1] >= 0 and left - stride[1] + size[1] >= width:
                continue
            yield top, min(top + size[0], height), left, min(left + size[1], width)
''',
        main="print(len(list(tiles($size1, $size2))), 'tiles')",
    ),
    "captions": Section(
        imports=("import csv", "import re"),
        definitions='''
def ${verb}_captions(path, language="zh", longest=$size):
    """Rows of a CSV file whose caption is neither empty nor too long, with white space tidied."""
    kept, dropped = [], 0
    with open(path, newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            caption = re.sub(r"\\s+", " ", row.get("caption") or row.get("text") or "").strip()
            if not caption or len(caption) > longest:
                dropped += 1
                continue
            if language == "zh" and not re.search(r"[\\u4e00-\\u9fff]", caption):
                dropped += 1
                continue
            kept.append({"$noun": row["path"], "caption": caption})
    print(f"kept {len(kept)} rows of {path}, dropped {dropped}")
    return kept
''',
        main='captions = ${verb}_captions("$folder/metadata.csv")',
    ),
}
