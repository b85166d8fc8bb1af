"""``python -m npu_compat doctor``: what was found, what does not fit, what would be redirected. It changes nothing."""

from __future__ import annotations

import os
from typing import Any

from npu_compat import settings_check, torch_npu_builds, versions
from npu_compat.detection import Detection, detect
from npu_compat.environment import applied_notes, mirror_environment
from npu_compat.plan import make_plan
from npu_compat.translation import Translation

_ENVIRONMENT = ("CUDA", "NPU", "ASCEND", "PYTORCH", "TORCH", "HCCL", "NCCL", "CPU_AFFINITY", "MUSA", "ZE_")
_OUTCOME = {
    "accelerator": "torch.cuda and cuda devices act on {0}",
    "cuda": "nothing is redirected: torch.cuda is real here",
    "cpu": "torch.cuda and cuda devices act on the CPU",
    "none": "torch.cuda.is_available() is False, and what needs a device raises NoAccelerator",
}


def diagnose() -> dict[str, Any]:
    """The findings, ready for JSON. ``problems`` is empty where everything fits.

    Raises:
        ValueError: an environment variable of npu_compat holds something it should not.
    """
    environ = dict(os.environ)
    mirror_environment(environ)
    detection = detect()
    accelerator = detection.accelerator
    translation = Translation(accelerator) if accelerator is not None else None
    plan = make_plan(detection, translation, lambda module: None)
    found = versions.installed()
    mismatches = versions.mismatches(found)
    fits = "torch_npu" in found and not mismatches
    meaning, problems = settings_check.explain(environ)
    return {
        "kind": detection.kind,
        "accelerator": accelerator.name if accelerator else None,
        "reason": detection.reason,
        "outcome": _OUTCOME[detection.kind].format(accelerator.name if accelerator else ""),
        "rejected": detection.rejected,
        "versions": found,
        "environment": {name: value for name, value in sorted(environ.items()) if name.startswith(_ENVIRONMENT)},
        "environment_changes": applied_notes(),
        "environment_meaning": meaning,
        "redirected": list(dict.fromkeys(patch.label for patch in plan.patches)),
        "quiet": plan.quiet,
        "missing": plan.missing,
        "unknown": plan.unknown,
        "lacking_in_build": _lacking_in_build(detection),
        "advice": versions.install_advice(found) if detection.kind != "cuda" and not fits else "",
        "problems": [*mismatches, *problems, *_untested(detection)],
    }


def as_text(findings: dict[str, Any]) -> str:
    """The findings for people."""
    lines = [f"accelerator: {findings['accelerator'] or 'none'} ({findings['reason']})", f"  {findings['outcome']}"]
    lines += [f"  not {name}: {reason}" for name, reason in findings["rejected"].items()]
    lines.append("versions: " + ", ".join(f"{name} {version}" for name, version in findings["versions"].items()))
    lines.append("environment:")
    lines += [f"  {name}={value}" for name, value in findings["environment"].items()]
    lines += [f"  set by npu_compat: {note}" for note in findings["environment_changes"]]
    lines += [f"  {meaning}" for meaning in findings["environment_meaning"]]
    lines.append(f"redirected: {len(findings['redirected'])} names of torch")
    lines.append(f"  does nothing: {', '.join(findings['quiet']) or 'none'}")
    lines.append(f"  raises UnsupportedOnAccelerator: {', '.join(findings['missing']) or 'none'}")
    lines += [f"  not in this torch_npu: {name}: {found}" for name, found in findings["lacking_in_build"].items()]
    if findings["unknown"]:
        lines.append(f"  newer than the tables, so nothing is done for them: {', '.join(findings['unknown'])}")
    lines += [f"to install: {advice}" for advice in [findings["advice"]] if advice]
    lines.append("problems: " + ("none" if not findings["problems"] else ""))
    lines += [f"  {problem}" for problem in findings["problems"]]
    return "\n".join(line.rstrip() for line in lines)


def _lacking_in_build(detection: Detection) -> dict[str, str]:
    build = torch_npu_builds.installed() if detection.is_ascend else None
    return build.lacking(detection.accelerator) if build and detection.accelerator else {}


def _untested(detection: Detection) -> list[str]:
    found = detection.accelerator
    if found is not None and not found.verified:
        return [f"the table of {found.name} was written from documents and not checked against {found.registered_by}"]
    return []
