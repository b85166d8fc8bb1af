"""A camera's path as rays: for each pixel of each frame, the line that it is seen along.

The lines are Plücker coordinates, (origin x direction, direction), relative to the first frame's camera, as He et al.
describe them in "CameraCtrl: Enabling Camera Control for Text-to-Video Generation", 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DIRECTIONS = (
    *("Left", "Right", "Up", "Down", "LeftUp", "LeftDown", "RightUp", "RightDown"),
    *("In", "Out"),
)
SPEED = 1 / 54
# A time stamp; focal lengths and centre, of the width and of the height; two zeros; the camera's 3 x 4 matrix, by rows.
ORIGIN = (0, 0.532139961, 0.946026558, 0.5, 0.5, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
PROPORTIONS = 1280 / 720  # of the pictures that the focal lengths are of

_MATRIX = 7  # where it starts
# What a direction changes with each frame: a place in the matrix, and the sign.
_CHANGES = {"Left": (2, 1), "Right": (2, -1), "Up": (6, 1), "Down": (6, -1), "In": (11, -1), "Out": (11, 1)}


def camera_rays(
    direction: str, speed: float, origin: Sequence[float] | None, *, height: int, width: int, num_frames: int
) -> Tensor:
    """(1, 24, T, H, W) float32: of the four frames of a latent frame, each of six coordinates one after another.

    Args:
        direction: one of `DIRECTIONS`.
        speed: how much of it with each frame.
        origin: the first frame's camera, 19 numbers as `ORIGIN` has them; None for that one.

    Raises:
        ValueError: the origin is no such list of numbers, or its matrix cannot be inverted.
    """
    start = torch.tensor(_numbers(ORIGIN if origin is None else origin), dtype=torch.float64, device="cpu")
    matrices = start[_MATRIX:].repeat(num_frames, 1)
    for name, (place, sign) in _CHANGES.items():
        if name in direction:
            matrices[:, place] += sign * speed * torch.arange(num_frames, dtype=torch.float64, device="cpu")
    bottom = torch.tensor([0.0, 0, 0, 1], dtype=torch.float64, device="cpu").expand(num_frames, 1, 4)
    from_world = torch.cat([matrices.view(-1, 3, 4), bottom], dim=1)
    try:
        poses = (from_world[0] @ torch.linalg.inv(from_world)).float()
    except RuntimeError:
        raise ValueError("camera_control_origin: its last 12 numbers, a 3 x 4 matrix, cannot be inverted") from None
    coordinates = _pluecker(poses, _intrinsics(start[1:5], height, width), height, width)
    first = coordinates[:1].expand(4, -1, -1, -1)
    by_latent_frame = torch.unflatten(torch.cat([first, coordinates[1:]]), 0, (-1, 4))
    return by_latent_frame.permute(2, 1, 0, 3, 4).flatten(0, 1).unsqueeze(0)


def _numbers(origin: Sequence[float]) -> list[float]:
    try:
        numbers = [float(number) for number in origin]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != len(ORIGIN):
        raise ValueError(f"camera_control_origin={origin!r}: expected {len(ORIGIN)} numbers, such as {ORIGIN}")
    return numbers


def _intrinsics(camera: Tensor, height: int, width: int) -> list[float]:
    """Focal lengths and centre in pixels of a picture cut from one of the camera's proportions."""
    focal_x, focal_y, centre_x, centre_y = camera.tolist()
    if width / height < PROPORTIONS:
        focal_x *= height * PROPORTIONS / width
    else:
        focal_y *= width / PROPORTIONS / height
    return [focal_x * width, focal_y * height, centre_x * width, centre_y * height]


def _pluecker(poses: Tensor, intrinsics: list[float], height: int, width: int) -> Tensor:
    """(F, 6, H, W) of cameras (F, 4, 4) that turn their own coordinates to those of the first."""
    focal_x, focal_y, centre_x, centre_y = torch.tensor(intrinsics, device="cpu").unbind()
    rows = torch.arange(height, dtype=torch.float32, device="cpu").add(0.5).view(-1, 1).expand(-1, width)
    columns = torch.arange(width, dtype=torch.float32, device="cpu").add(0.5).expand(height, -1)
    seen = torch.stack(
        [(columns - centre_x) / focal_x, (rows - centre_y) / focal_y, torch.ones(height, width, device="cpu")], dim=-1
    )
    seen = (seen / seen.norm(dim=-1, keepdim=True)).view(1, -1, 3)
    directions = seen @ poses[:, :3, :3].transpose(-1, -2)
    origins = poses[:, None, :3, 3].expand_as(directions)
    lines = torch.cat([torch.linalg.cross(origins, directions), directions], dim=-1)
    return torch.unflatten(lines.transpose(1, 2), -1, (height, width))
