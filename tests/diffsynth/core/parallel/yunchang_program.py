"""Run by several processes: our attention across them, and yunchang's, on the same parts of the same sequence."""

import json
import os

import torch
import yunchang.kernels.attention
from yunchang import LongContextAttention, set_seq_parallel_pg
from yunchang.kernels import AttnType

from diffsynth.core.attention.attention import attention
from diffsynth.core.parallel.mesh import Degrees, Mesh
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import join

# Of its torch kernels, this one alone returns a log-sum-exp, without which a ring is wrong; and it asks for CUDA's.
yunchang.kernels.attention._scaled_dot_product_flash_attention = (
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
)

world = join("cpu")
rank, size = world.launch.rank, world.launch.size
shape = (2, 16 * size, 2 * size, 32)  # batch, tokens, heads, width of a head: those that it takes have to divide
generator = torch.Generator().manual_seed(0)
whole = [torch.randn(shape, generator=generator) for _ in range(3)]
expected = attention(*whole)
report = {}
for ring, ulysses in json.loads(os.environ["LAYOUTS"]):
    sequence = SequenceParallel(Mesh(world, Degrees(1, ring, ulysses)))
    sequence.share_out(shape[1])
    part = sequence.part
    set_seq_parallel_pg(ulysses, ring, rank, size)
    theirs = LongContextAttention(ring_impl_type="basic", attn_type=AttnType.TORCH_FLASH)
    with torch.no_grad():
        found = theirs(*(tensor[:, part].contiguous() for tensor in whole))
        own = sequence.attend(*(tensor[:, part].clone() for tensor in whole))
    report[f"{ring},{ulysses}"] = [
        (own - found).abs().max().item(),
        *((one - expected[:, part]).abs().max().item() for one in (own, found)),
    ]
print(json.dumps(report))
