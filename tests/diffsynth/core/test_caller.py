"""Warnings point at the user's line, however deep they are given."""

import functools
import warnings

import torch

from diffsynth.core.caller import warn_caller


class Category(RuntimeWarning):
    pass


def in_the_library(namespace):
    exec("def warn(): warn_caller('careful', Category)", namespace)
    return namespace["warn"]


def test_the_innermost_line_outside_the_library_is_named():
    warn = in_the_library({"__name__": "diffsynth.some.module", "warn_caller": warn_caller, "Category": Category})
    wrapped = torch.no_grad()(functools.wraps(warn)(lambda: warn()))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn()
        wrapped()
    assert [(one.category, str(one.message), one.filename) for one in seen] == [(Category, "careful", __file__)] * 2
