"""What a generation shared by several processes has to be: that of one, on every rank."""

import json

import torch

from tests.diffsynth.pipelines.shared_generation import QWEN, WAN21, WAN22, generate, generate_exactly
from tests.diffsynth.ranks import run_ranks

PROGRAM = "from tests.diffsynth.pipelines.shared_generation import main\nmain()\n"

# Ulysses and branches apart compute what one process computes, but for matrix kernels that sum in another order where
# they get a row or two: of Qwen-Image's prompt there may be so few on a process.
WITHOUT_A_RING = {WAN21: 1e-6, WAN22: 1e-6, QWEN: 1e-5}
# A ring adds in another order, which changes roundings, and guidance multiplies what follows by 9: a bound relative
# to the largest latent, which is about 7. One process is as far from the exact result, which `check_near_the_exact`
# shows. Without guidance it is that of the others.
OF_A_RING, UNGUIDED = 4e-6, 1e-5
# An NPU decodes several tiles at once, the host one: other batches, which round otherwise.
OF_TILES = {"npu": 1e-5, "cpu": 0.0}

LAYOUTS = {
    2: {"2,1": (2, 1, 1), "1,2": (1, 2, 1), "cfg": (1, 1, 2)},
    4: {"4,1": (4, 1, 1), "2,2": (2, 2, 1), "1,4": (1, 4, 1), "2,1 cfg": (2, 1, 2), "1,2 cfg": (1, 2, 2)},
}
HAVE_NO_RING = ("2,1", "4,1", "cfg")
OFFLOAD_MODES = {
    "plain": {},
    "cpu": {"places": ("cpu", "cpu")},
    "cpu, no room": {"places": ("cpu", "cpu"), "vram_limit": 0},
    "disk": {"places": ("disk", "disk"), "vram_limit": 0},
    "disk, then cpu": {"places": ("disk", "cpu")},
}
OF_ONE_PROCESS = (
    "controlnet",
    "model",
    "folder",
    "call",
    "stored",
    "made_up_texts",
)  # what of a case changes its result


def layouts_of(count, common, folders):
    """A case for each layout of so many processes, and each of the folders, which are named."""
    return {
        f"{name}, {kind}": {**common, "folder": str(folder), "degrees": degrees(*layout)}
        for name, layout in LAYOUTS[count].items()
        for kind, folder in folders.items()
    }


def check_offload(machine, common, tmp_path):
    """Where the weights are changes no bit of what two processes make, and neither where float8 ones are.

    But for the tiles of the VAE where the limit leaves no room for several at once: a kernel may round other batches
    otherwise.
    """
    plain = {f"1,2, {name}": {**common, "degrees": degrees(1, 2, 1), **mode} for name, mode in OFFLOAD_MODES.items()}
    float8 = {
        f"float8, {name}": {**common, "degrees": degrees(2, 1, 1), "stored": "float8_e4m3fn", **OFFLOAD_MODES[name]}
        for name in ("cpu", "cpu, no room", "disk, then cpu")
    }
    compiled = {"compiled": {**common, "degrees": degrees(2, 1, 1), "compiled": True}}
    report = shared(machine, 2, {**plain, **float8, **compiled}, tmp_path)
    latents = [{report[name][3] for name in cases} for cases in (plain, float8)]
    assert [len(found) for found in latents] == [1, 1]
    assert latents[0] != latents[1]
    for cases in (plain, float8):
        for limited in (False, True):
            alike = {name for name, case in cases.items() if ("vram_limit" in case) == limited}
            assert len({report[name][2] for name in alike}) == 1, alike


def check_near_the_exact(case, tmp_path):
    """A ring of two is no farther from the result in float64 than one process is, but for a quarter."""
    exact, alone = generate_exactly(case), generate(case, "cpu", shared=False)
    of_one = (alone[0] - exact[0]).abs().max().item()
    torch.save({"ring": exact}, tmp_path / "saved.pt")
    cases = {"ring": {**case, "degrees": degrees(1, 2, 1)}}
    environment = {"CASES": json.dumps(cases), "SAVED": str(tmp_path / "saved.pt"), "MACHINE": "cpu"}
    for said in run_ranks("cpu", PROGRAM, 2, tmp_path, **environment):
        of_the_ring = json.loads(said)["ring"][0]
        assert 0 < of_the_ring <= 1.25 * of_one, (of_the_ring, of_one)


def degrees(ulysses=None, ring=None, cfg=None):
    return {"ulysses_degree": ulysses, "ring_degree": ring, "cfg_degree": cfg}


def shared(machine, count, cases, tmp_path):
    """What rank 0 reports of the cases: distance of the latents and of what they decode to, digests of both and of the
    latents.

    Checks every rank: the same bits as the others, and within the bounds of the same case in this process alone.
    """
    alone, saved = {}, {}
    for name, case in cases.items():
        plain = {part: case[part] for part in OF_ONE_PROCESS if part in case}
        key = json.dumps(plain)
        if key not in alone:
            alone[key] = generate(plain, "cpu", shared=False)
        saved[name] = alone[key]
    torch.save(saved, tmp_path / "saved.pt")
    environment = {"CASES": json.dumps(cases), "SAVED": str(tmp_path / "saved.pt"), "MACHINE": machine}
    reports = [
        json.loads(said.splitlines()[-1]) for said in run_ranks(machine, PROGRAM, count, tmp_path, **environment)
    ]
    for name, (latents, _) in saved.items():
        assert len({report[name][2] for report in reports}) == 1, name
        bound = OF_A_RING * latents.abs().max().item()
        if name.startswith(HAVE_NO_RING):
            bound = WITHOUT_A_RING[cases[name]["model"]]
        elif cases[name].get("call", {}).get("cfg_scale") == 1:
            bound = min(bound, UNGUIDED)
        for report in reports:
            assert report[name][0] <= bound, (name, report[name])
            assert report[name][1] <= max(bound, OF_TILES[machine]), (name, report[name])
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["video0.mp4"]
    return reports[0]
