"""The VAE's tiles, shared out among processes: each computes its own, and all get the whole."""

import json

import pytest

from tests.diffsynth.ranks import run_ranks

# 3 x 2 tiles, of two sizes in each direction; of a picture that is one tile alone, each process makes all.
PROGRAM = """
import json, os
import torch
from diffsynth.core.parallel.mesh import Degrees, Mesh
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import join
from diffsynth.models.wan_video_parallel import cut
from diffsynth.models.wan_video_vae38 import WanVideoVAE38

world = join(os.environ["MACHINE"])
torch.manual_seed(0)
vae = WanVideoVAE38(8, 12).eval().requires_grad_(False).to(world.device)
tiling = {"tiled": True, "tile_size": (3, 4), "tile_stride": (2, 2)}
video, latents = torch.rand(1, 3, 5, 112, 80) * 2 - 1, torch.randn(1, 48, 2, 7, 5)
calls = {
    "encode": lambda **asked: vae.encode(video.to(world.device), **tiling, **asked),
    "decode": lambda **asked: vae.decode(latents.to(world.device), **tiling, **asked),
    "one tile": lambda **asked: vae.decode(latents[..., :3, :4].to(world.device), **tiling, **asked),
}
alone = {name: call() for name, call in calls.items()}
cut(vae, SequenceParallel(Mesh(world, Degrees(1, 1, 2))))
computed = []
def counted(*asked, batches=vae._batches):
    for tiles in batches(*asked):
        computed.append(len(tiles))
        yield tiles
vae._batches = counted
told = {}
for name, call in calls.items():
    computed.clear()
    told[name] = [(call(shared=True) - alone[name]).abs().max().item(), sum(computed), alone[name].std().item()]
print(json.dumps(told))
"""


@pytest.mark.parametrize("machine", ["cpu", pytest.param("npu", marks=pytest.mark.slow)])
def test_tiles_of_wan_22s_vae_are_shared(machine, tmp_path):
    ranks = [json.loads(printed) for printed in run_ranks(machine, PROGRAM, 2, tmp_path, MACHINE=machine)]
    for rank in ranks:
        for name, (difference, _, spread) in rank.items():
            assert difference <= 1e-6 < spread, (name, difference)
    assert [[rank[name][1] for rank in ranks] for name in ranks[0]] == [[3, 3], [3, 3], [1, 1]]
