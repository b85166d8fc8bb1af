"""What Python does when a script has come to its last line: it waits for threads and processes, and calls what was put
off till then.

The process of a trial ends otherwise than a script's own, and has to do so before it looks at what came of it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def to_its_end(is_its_own: Callable[[str], bool]) -> Iterator[None]:
    """Within it a script runs; afterwards its threads have ended, and what it registered with `atexit` was called.

    `is_its_own` tells of a file whether it is the script's code: what libraries register is for a process that ends.
    """
    put_off: list[functools.partial[object]] = []
    register, unregister = atexit.register, atexit.unregister

    @functools.wraps(register)  # type: ignore[arg-type]
    def registered(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not is_its_own(sys._getframe(1).f_code.co_filename):
            return register(function, *args, **kwargs)
        put_off.append(functools.partial(function, *args, **kwargs))
        return function

    @functools.wraps(unregister)
    def unregistered(function: Any) -> None:
        put_off[:] = [one for one in put_off if one.func != function]
        unregister(function)

    atexit.register, atexit.unregister = registered, unregistered
    try:
        try:
            yield
        except SystemExit as ended:
            _come_to_the_end(put_off)
            raise ended
        _come_to_the_end(put_off)
    finally:
        atexit.register, atexit.unregister = register, unregister


def _come_to_the_end(put_off: list[functools.partial[object]]) -> None:
    pools: Any = sys.modules.get("concurrent.futures.thread")
    if pools is not None:
        pools._python_exit()  # or its threads would wait for work for ever
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    processes: Any = sys.modules.get("multiprocessing.util")
    if processes is not None:
        processes._exit_function()  # it waits for them too, but for daemons, which it ends
    while put_off:
        put_off.pop()()
