"""Runs a detector over batches on two CUDA streams, with pinned buffers and events."""

import json
import threading

import torch
from torch import nn


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        features = self.body(x)
        return self.boxes(features).flatten(2).transpose(1, 2), self.scores(features).flatten(2).softmax(dim=1)


torch.manual_seed(0)
model = Detector().cuda().eval()
streams = [torch.cuda.Stream() for _ in range(2)]
batches = [torch.randn(2, 3, 32, 32).pin_memory() for _ in range(4)]
start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
results = [None] * len(batches)

start.record()
with torch.inference_mode():
    for index, batch in enumerate(batches):
        with torch.cuda.stream(streams[index % 2]):
            images = batch.to("cuda", non_blocking=True)
            results[index] = model(images)
for stream in streams:
    torch.cuda.current_stream().wait_stream(stream)
end.record()
torch.cuda.synchronize()
print(f"elapsed: {start.elapsed_time(end):.2f} ms on {torch.cuda.get_device_name(0)}")

found = []


def collect():
    for boxes, scores in results:
        best, index = scores[:, 1].max(dim=1)
        chosen = torch.gather(boxes, 1, index[:, None, None].expand(-1, 1, 4)).squeeze(1)
        found.extend({"score": round(s.item(), 5), "box": [round(v, 5) for v in b.tolist()]} for s, b in zip(best, chosen))


thread = threading.Thread(target=collect)
thread.start()
thread.join()
print(json.dumps(found, indent=1))
