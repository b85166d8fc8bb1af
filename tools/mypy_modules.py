"""For mypy: to call a torch module is to call its `forward`.

torch declares ``Module.__call__`` as ``Callable[..., Any]``, so that neither what a network is called with nor what it
returns would be checked. With this plugin (https://mypy.readthedocs.io/en/stable/extending_mypy.html) both are, by the
signature of the class's own `forward`; one that declares none, such as torch's containers, returns Any as before.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.checker import TypeChecker
from mypy.plugin import AttributeContext, Plugin
from mypy.types import CallableType, Instance, Type, get_proper_type

_CALL = "torch.nn.modules.module.Module.__call__"


class ModulesAreCalledAsTheirForward(Plugin):
    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        return _type_of_forward if fullname == _CALL else None


def _type_of_forward(context: AttributeContext) -> Type:
    if not isinstance(context.type, Instance) or not isinstance(context.api, TypeChecker):
        return context.default_attr_type
    forward = context.api.expr_checker.analyze_external_member_access("forward", context.type, context.context)
    untyped = isinstance(proper := get_proper_type(forward), CallableType) and proper.implicit
    return context.default_attr_type if untyped else forward


def plugin(version: str) -> type[Plugin]:
    return ModulesAreCalledAsTheirForward
