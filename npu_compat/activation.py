"""Switching the redirect on and off."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

from npu_compat import torch_npu_builds
from npu_compat.detection import Detection, detect
from npu_compat.environment import applied_notes, mirror_environment
from npu_compat.patcher import Entry, Patcher
from npu_compat.plan import Plan, late_patches, make_plan
from npu_compat.report import Report
from npu_compat.translation import Translation

SWITCH = "NPU_COMPAT"

_lock = threading.RLock()
_patcher = Patcher()
_users = 0
_asked_by_import = False
_detection: Detection | None = None
_plan = Plan()
_translations: dict[str, Translation] = {}
_left_out: dict[str, str] = {}
_replaced_by_others: list[str] = []
_not_put_back: dict[str, str] = {}


def activate() -> Report:
    """Redirects torch.cuda to the active accelerator, for this process and the workers it starts.

    Each call needs a :func:`deactivate` of its own; the first one does the work, and does all of it or nothing.

    Raises:
        ValueError: an environment variable of npu_compat holds something it should not; names it.
    """
    global _users, _detection, _plan
    with _lock:
        if _users == 0:
            mirror_environment(os.environ)
            detection = detect()
            translation = _translation(detection)
            plan = make_plan(detection, translation, _patch_late)
            _apply(detection, translation, plan)
            _detection, _plan = detection, plan
        _users += 1
        return report()


def deactivate() -> None:
    """Takes one :func:`activate` back; the last one leaves torch as it was. Without one it does nothing.

    What the program has put in the place of a replacement meanwhile stays, and :func:`report` says so. Warns of what
    could not be put back, after everything else has been.
    """
    global _users, _replaced_by_others, _not_put_back
    with _lock:
        if _users == 0:
            return
        _users -= 1
        if _users == 0:
            for translation in _translations.values():
                translation.clear()
            _replaced_by_others, _not_put_back = _patcher.undo()
            if _not_put_back:
                reasons = "; ".join(f"{name} ({reason})" for name, reason in _not_put_back.items())
                warnings.warn(f"npu_compat.deactivate could not put back {reasons}", RuntimeWarning, stacklevel=2)


@contextlib.contextmanager
def redirected() -> Iterator[Report]:
    """``with npu_compat.redirected():`` redirects within the block."""
    found = activate()
    try:
        yield found
    finally:
        deactivate()


def activate_on_import() -> None:
    """The redirect that ``import npu_compat`` and the torch.backends entry point ask for, together once.

    Raises:
        ValueError: NPU_COMPAT is neither 0 nor 1.
    """
    global _asked_by_import
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{SWITCH}={switch!r}: expected 0 or 1")
    with _lock:
        if not _asked_by_import and switch != "0":
            activate()
            _asked_by_import = True


def report() -> Report:
    """What was found, what is redirected, what is missing; with the redirect off, what was found last."""
    with _lock:
        detection = _detection or detect()
        build = torch_npu_builds.installed() if detection.is_ascend else None
        return Report(
            active=_users > 0,
            kind=detection.kind,
            accelerator=detection.accelerator.name if detection.accelerator else None,
            reason=detection.reason,
            rejected=detection.rejected,
            redirected=_patcher.labels,
            missing=_plan.missing if _users else {},
            quiet=_plan.quiet if _users else [],
            environment=applied_notes(),
            build=build.version if build else None,
            lacking_in_build=build.lacking(detection.accelerator) if build and detection.accelerator else {},
            unknown=_plan.unknown if _users else [],
            left_out=dict(_left_out),
            replaced_by_others=_patcher.replaced_by_others() if _users else _replaced_by_others,
            not_put_back=_not_put_back,
        )


def _patch_late(module: str) -> None:
    """The program's own import goes on whatever happens here: what fails is left out and reported."""
    with _lock:
        if not _users or _detection is None or _detection.accelerator is None:
            return
        try:
            patches = late_patches(module, _translations[_detection.accelerator.name], _plan)
        except Exception as error:
            _left_out[module] = f"{type(error).__name__}: {error}"
            return
        for patch in patches:
            try:
                _patcher.apply([patch])
            except Exception as error:
                _left_out[patch.label] = f"{type(error).__name__}: {error}"


def _translation(detection: Detection) -> Translation | None:
    accelerator = detection.accelerator
    if accelerator is None:
        return None
    # One for each accelerator and process: wrappers that someone kept come to life with it again.
    return _translations.setdefault(accelerator.name, Translation(accelerator))


def _apply(detection: Detection, translation: Translation | None, plan: Plan) -> None:
    _left_out.clear()
    _not_put_back.clear()
    if translation is not None:
        translation.fill()
    try:
        _patcher.apply(plan.patches)
        if detection.kind != "cuda":
            _patcher.apply([Entry(os.environ, SWITCH, "1", f"{SWITCH}=1 for child processes")])
    except BaseException:
        _patcher.undo()
        if translation is not None:
            translation.clear()
        raise


def _forget_lock_after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_lock_after_fork)
