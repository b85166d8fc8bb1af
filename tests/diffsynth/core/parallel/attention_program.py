"""Run by four processes: attention across them, by every layout, against attention in one process."""

import itertools
import json
import os

import torch

from diffsynth.core.attention.attention import attention
from diffsynth.core.parallel.mesh import Degrees, Mesh
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import join

device, layouts = os.environ["MACHINE"], json.loads(os.environ["LAYOUTS"])
world = join(device)
shapes = [(1, 33, 5, 16), (2, 34, 8, 16), (1, 3, 2, 16), (2, 1, 1, 16)]  # batch, tokens, heads, width of a head
worst = {}
for (cfg, ring, ulysses), dtype in itertools.product(layouts, (torch.float32, torch.bfloat16)):
    sequence = SequenceParallel(Mesh(world, Degrees(cfg, ring, ulysses)))
    for shape in shapes:
        generator = torch.Generator().manual_seed(0)
        whole = [torch.randn(shape, generator=generator).to(world.device, dtype) for _ in range(3)]
        expected = attention(*whole)
        sequence.share_out(shape[1])
        with torch.no_grad():
            own = sequence.attend(*(tensor[:, sequence.part].clone() for tensor in whole))
            found = sequence.gather(own.flatten(2)).view(shape)
        assert own.dtype == dtype
        key = f"{cfg}{ring}{ulysses} {str(dtype)[6:]}"
        worst[key] = max(worst.get(key, 0.0), (found - expected).abs().max().item())
print(json.dumps(worst))
