"""
# DP702 package-not-installed: an imported package that was not found

## What it does

With `--packages`, reports where a third-party package is first imported that the environment does not have (note).

## Why

What it calls of CUDA is not known.

## Before

    import a_package_that_nobody_has

## What to do instead

Install the program's requirements, or name the Python that has them by `--python`.
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges packages, which no file holds, so porter.analysis.packages.survey applies it.
RULE = Rule("DP702", "package-not-installed", __doc__, words=(), fixes=False, analysis="packages")
