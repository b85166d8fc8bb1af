"""Written for an NVIDIA card: pinned memory, streams, events, and a CUDA graph where the card can capture one."""

import sys

import torch
from torch import nn


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(8 * 64, 10)).eval()


def batches():
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(2, 3, 8, 8, generator=generator) for _ in range(4)]


def capture(model, example):
    static = example.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = model(static)

    def replay(batch):
        static.copy_(batch)
        graph.replay()
        return result.clone()

    return replay


def main(path):
    assert torch.cuda.is_available(), "this program needs a CUDA device"
    device = torch.device("cuda:0" if torch.cuda.device_count() > 0 else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = False
    model = build().to(device)
    run = capture(model, batches()[0].to(device)) if torch.cuda.get_device_capability(device) >= (7, 0) else model
    copies, start, end = torch.cuda.Stream(), torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    results = []
    start.record()
    with torch.inference_mode():
        for batch in batches():
            with torch.cuda.stream(copies):
                moved = batch.pin_memory().to(device, non_blocking=True)
            torch.cuda.current_stream().wait_stream(copies)
            moved.record_stream(torch.cuda.current_stream())
            torch.cuda.nvtx.range_push("forward")
            results.append(run(moved))
            torch.cuda.nvtx.range_pop()
    end.record()
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    print(f"{torch.cuda.get_device_name()}: {start.elapsed_time(end):.1f} ms, {free} of {total} bytes free")
    noise = torch.randn(2, 10, device="cuda", generator=torch.Generator(device="cuda").manual_seed(5))
    torch.save({"results": torch.stack(results), "noise_device": noise.device.type != "cpu"}, path)
    torch.cuda.empty_cache()


if __name__ == "__main__":
    main(sys.argv[1])
