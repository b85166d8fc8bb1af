"""The least that a libcst codemod can do: replace one string."""

import libcst as cst
from libcst.codemod import VisitorBasedCodemodCommand


class ReplaceCuda(VisitorBasedCodemodCommand):
    DESCRIPTION = 'Replace "cuda" by "npu".'

    def leave_SimpleString(self, original_node: cst.SimpleString, updated_node: cst.SimpleString) -> cst.SimpleString:
        if updated_node.value == '"cuda"':
            return updated_node.with_changes(value='"npu"')
        return updated_node
