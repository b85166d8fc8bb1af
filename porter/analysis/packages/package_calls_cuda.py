"""
# DP701 package-calls-cuda: an imported package that calls CUDA itself

## What it does

With `--packages`, looks for the third-party packages that the files import in the environment (`--python PATH`: of
another Python), reads their source by the tool's own rules, without importing them, and reports where such a package
is first imported what it calls of CUDA: a note where `import npu_compat` redirects it all, a warning where it calls
what the target lacks. Packages that support the target themselves, those without CUDA and those known to be made for
CUDA (DP203) are only in the table that the run prints.

## Why

A port of a program does not change what it imports.

## Before

    import a_package_that_calls_cuda

## What to do instead

Put `import npu_compat` at the top of the program, or ask the package for a release that supports the accelerator.
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges packages, which no file holds, so porter.analysis.packages.survey applies it.
RULE = Rule("DP701", "package-calls-cuda", __doc__, words=(), fixes=False, analysis="packages")
