"""What a pipeline's VAE made, kept as it is: pictures of bytes no longer tell NaN, nor the last digits."""

from __future__ import annotations

import functools
from typing import Any

from script_trial.adapter import TrialOfAdapter


def keep_decoded(trial: TrialOfAdapter) -> None:
    """Keeps what image and video processors are given to turn into pictures or frames."""
    from diffusers.image_processor import VaeImageProcessor
    from diffusers.video_processor import VideoProcessor

    inside = False

    def kept(postprocess: Any) -> Any:
        @functools.wraps(postprocess)
        def keeping(processor: Any, *args: Any, **keywords: Any) -> Any:
            nonlocal inside
            decoded: Any = args[0] if args else keywords.get("image", keywords.get("video"))
            if inside or not hasattr(decoded, "detach"):
                return postprocess(processor, *args, **keywords)
            trial.keep("decoded", decoded.detach().float().cpu().numpy())
            inside = True
            try:
                return postprocess(processor, *args, **keywords)
            finally:
                inside = False

        return keeping

    VaeImageProcessor.postprocess = kept(VaeImageProcessor.postprocess)
    VideoProcessor.postprocess_video = kept(VideoProcessor.postprocess_video)
