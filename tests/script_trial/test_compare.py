"""How far results are apart, and the picture of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from script_trial.compare import differences, draw_side_by_side


def test_differences_and_the_picture(tmp_path: Path) -> None:
    first, second = np.zeros((5, 8, 16, 3), np.uint8), np.zeros((5, 8, 16, 3), np.uint8)
    second[0, 0, 0, 0] = 192
    np.save(tmp_path / "a.npy", first)
    np.save(tmp_path / "b.npy", second)
    a, b = str(tmp_path / "a.npy"), str(tmp_path / "b.npy")
    assert differences([a], [b]) == {"largest": 192.0, "mean": 0.1, "share": 1 / 1920}
    assert differences([a], [a, b]) is None
    draw_side_by_side([{"label": "one", "array": a}, {"label": "none", "array": None}], tmp_path / "new" / "sheet.png")
    sheet = Image.open(tmp_path / "new" / "sheet.png")
    assert sheet.getpixel((200, 50)) == (0, 0, 0)
    assert sheet.getpixel((sheet.width - 10, 150)) == (255, 255, 255)
