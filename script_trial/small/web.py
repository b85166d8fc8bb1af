"""The web of a trial: a picture, a clip or a sound that a script gets by its address is made up."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.made_up import pattern, write_picture
from script_trial.on_import import on_import

CLIP_FRAMES, CLIP_RATE = 33, 16
SOUND_SECONDS, SOUND_RATE = 1, 16000

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ""}
_CLIPS = {".mp4", ".gif", ".mov", ".webm", ".avi", ".mkv"}
_SOUNDS = {".wav"}

#: What is at an address.
Content = Callable[[str], bytes]


def made_up_web(trial: TrialOfAdapter) -> None:
    """From now on requests, httpx and urllib give made-up files for addresses of other machines."""
    content = functools.partial(_content, trial)
    _urllib(content)
    clients: dict[str, Callable[[Content], None]] = {"requests": _requests}
    clients |= {name: functools.partial(_httpx, name) for name in ("httpx", "httpx2")}
    on_import({name: functools.partial(_replace, client, content) for name, client in clients.items()})


def _replace(client: Callable[[Content], None], content: Content, _: ModuleSpec) -> None:
    client(content)


def _content(trial: TrialOfAdapter, address: str) -> bytes:
    """What is at an address.

    Raises:
        CannotMakeUp: it is neither a picture nor a clip nor a sound.
    """
    suffix = Path(urlsplit(address).path).suffix.lower()
    if suffix in _PICTURES:
        return trial.once(f"web/picture{suffix or '.png'}", write_picture).read_bytes()
    if suffix in _CLIPS:
        return trial.once(f"web/clip{suffix}", _write_clip).read_bytes()
    if suffix in _SOUNDS:
        return trial.once(f"web/sound{suffix}", _write_sound).read_bytes()
    raise CannotMakeUp(f"{address}, which is neither here nor a picture, a clip or a sound to make up")


def _write_clip(path: Path) -> None:
    import imageio

    imageio.mimsave(path, [pattern(64, 96, frame / CLIP_FRAMES) for frame in range(CLIP_FRAMES)], fps=CLIP_RATE)


def _write_sound(path: Path) -> None:
    import wave

    import numpy as np

    time = np.arange(SOUND_SECONDS * SOUND_RATE) / SOUND_RATE
    samples = (np.sin(2 * np.pi * (220 + 110 * time) * time) * 20000).astype("<i2")
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SOUND_RATE)
        sound.writeframes(samples.tobytes())


def _is_elsewhere(address: Any) -> bool:
    parts = urlsplit(address) if isinstance(address, str) else None
    return (
        parts is not None
        and parts.scheme in ("http", "https")
        and not (parts.hostname or "").startswith(("127.", "localhost"))
    )


def _requests(content: Content) -> None:
    import requests

    get = requests.get

    @functools.wraps(get)
    def made(url: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_elsewhere(url):
            return get(url, *args, **kwargs)
        response = requests.Response()
        response.status_code, response.url, response.raw = 200, url, io.BytesIO(content(url))
        return response

    requests.get = requests.api.get = made


def _httpx(name: str, content: Content) -> None:
    from importlib import import_module

    module: Any = import_module(name)
    get = module.get

    @functools.wraps(get)
    def made(url: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_elsewhere(str(url)):
            return get(url, *args, **kwargs)
        return module.Response(200, content=content(str(url)), request=module.Request("GET", url))

    module.get = made


def _urllib(content: Content) -> None:
    import urllib.request as request

    urlopen, urlretrieve = request.urlopen, request.urlretrieve

    @functools.wraps(urlopen)
    def opened(url: Any, *args: Any, **kwargs: Any) -> Any:
        address = getattr(url, "full_url", url)
        return io.BytesIO(content(address)) if _is_elsewhere(address) else urlopen(url, *args, **kwargs)

    @functools.wraps(urlretrieve)
    def retrieved(url: str, filename: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not _is_elsewhere(url):
            return urlretrieve(url, filename, *args, **kwargs)
        place = Path(filename or os.path.basename(urlsplit(url).path) or "made_up.png")
        place.write_bytes(content(url))
        return str(place), {}

    request.urlopen, request.urlretrieve = opened, retrieved
