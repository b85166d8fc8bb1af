"""torch's lists and dicts of modules, with the type of what they hold. When the program runs they are torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Generic, TypeVar, overload

    Part = TypeVar("Part", bound=nn.Module)

    class ModuleList(nn.ModuleList, Generic[Part]):
        def __init__(self, modules: Iterable[Part]) -> None: ...

        def __iter__(self) -> Iterator[Part]: ...

        @overload
        def __getitem__(self, idx: slice) -> ModuleList[Part]: ...
        @overload
        def __getitem__(self, idx: int) -> Part: ...
        def __getitem__(self, idx: int | slice) -> Part | ModuleList[Part]: ...

    class ModuleDict(nn.ModuleDict, Generic[Part]):
        def __init__(self, modules: Mapping[str, Part]) -> None: ...

        def __getitem__(self, key: str) -> Part: ...
else:
    ModuleList, ModuleDict = nn.ModuleList, nn.ModuleDict
