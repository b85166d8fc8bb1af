"""Where processes of a script meet: a port or file that it names is another one in each way, since all run at once."""

from __future__ import annotations

import os
import socket
from importlib import import_module
from pathlib import Path
from typing import Any

from script_trial.made_up import once


class MeetingPoints:
    """Ports and files for stores of torch.distributed, the same in all processes that are given this folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep_apart(self) -> None:
        """From now on, for the rest of the process, stores are opened there."""
        from torch import distributed

        if not distributed.is_available():
            return
        points = self

        class OwnPort(distributed.TCPStore):  # type: ignore[misc,name-defined]
            def __init__(self, host_name: str, port: int, *args: Any, **kwargs: Any) -> None:
                super().__init__(host_name, points.port(port), *args, **kwargs)

        class OwnFile(distributed.FileStore):  # type: ignore[misc,name-defined]
            def __init__(self, file_name: str, *args: Any, **kwargs: Any) -> None:
                super().__init__(points.file(file_name), *args, **kwargs)

        for module in (distributed, import_module("torch.distributed.rendezvous")):  # which a function hides
            vars(module).update(TCPStore=OwnPort, FileStore=OwnFile)

    def port(self, named: int) -> int:
        """A free one in place of that which the script names; 0 asks for any."""
        return int(once(self._folder, f"port-{named}", _write_free_port).read_text("utf-8")) if named else 0

    def file(self, named: str) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(self._folder / f"file-{os.path.abspath(named).replace(os.sep, '-')}")


def _write_free_port(place: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        place.write_text(str(listening.getsockname()[1]), encoding="utf-8")
