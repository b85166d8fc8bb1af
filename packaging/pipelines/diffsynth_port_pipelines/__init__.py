"""Lets `import diffsynth` find the pipelines beside this file, unless another project's `diffsynth` can be found.

DiffSynth-Studio's package has the same name. So ours is kept in a folder of its own, where it overwrites no file, and
the last to be asked for: an installed DiffSynth-Studio, an editable one, and a clone on the path all come first.

`script_trial`, which makes up their weights and data sets, lies here for those who install the pipelines alone. The
tools bring it too, at the top: where they are installed, theirs is the one that is found.

A .pth file calls `offer` as each Python process starts: nothing is imported here until somebody asks for one of both.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_NAMES = ("diffsynth", "script_trial")


class LastResort:
    """A finder that knows those packages alone, and only where no other finder knows them."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _NAMES:
            return None
        from importlib.util import spec_from_file_location
        from os.path import dirname, join

        for finder in sys.meta_path:
            ask = None if finder is cls else getattr(finder, "find_spec", None)
            found = ask(name, path, target) if ask else None
            if found is not None and found.origin is not None:  # a mere folder of that name has none
                return None
        folder = join(dirname(__file__), name)
        return spec_from_file_location(name, join(folder, "__init__.py"), submodule_search_locations=[folder])


def offer() -> None:
    """Has imports ask `LastResort`, once."""
    if LastResort not in sys.meta_path:
        # In front, to be asked before a folder called "diffsynth" passes for a package; it gives way by itself.
        sys.meta_path.insert(0, LastResort)
