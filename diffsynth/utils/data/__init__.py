"""Frames from files and into files."""

from diffsynth.utils.data.saving import save_frames, save_video
from diffsynth.utils.data.video_data import VideoData

__all__ = ["VideoData", "save_frames", "save_video"]
