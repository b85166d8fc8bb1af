"""Pictures to the patches that Qwen-Image's text encoder looks at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor


class QwenImageProcessor:
    """The picture half of the processor in a local folder, `processor/` of Qwen-Image-Edit.

    Attributes:
        merged: patches along each side of what becomes one token.

    Raises:
        FileNotFoundError: the folder has no preprocessor_config.json.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        file = Path(folder) / "preprocessor_config.json"
        if not file.is_file():
            raise FileNotFoundError(
                f"no processor in {folder}: {file.name} is not there. Expected the folder processor/ of "
                "Qwen-Image-Edit. To get it, download with ModelConfig(model_id='Qwen/Qwen-Image-Edit', "
                "origin_file_pattern='processor/') and DIFFSYNTH_SKIP_DOWNLOAD unset, or point the processor's "
                "ModelConfig(path=...) at a folder that has it."
            )
        self._processor = _pillow_processor().from_pretrained(str(folder))
        self.merged: int = self._processor.merge_size

    def __call__(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Patches (count, values) float32 of all pictures, and each one's number of them in time, height and width.

        A picture is resized to whole tokens first.
        """
        seen = self._processor([picture.convert("RGB") for picture in pictures], return_tensors="pt")
        return seen["pixel_values"], seen["image_grid_thw"]


def _pillow_processor() -> type:
    """transformers' image processor of Qwen2-VL that does without torchvision."""
    import transformers

    from_5_on = "Qwen2VLImageProcessorPil"
    return getattr(transformers, from_5_on, None) or transformers.Qwen2VLImageProcessor
