"""How tensors depend on others, from their autograd graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch

AFFINE = frozenset(
    {
        "AccumulateGrad",
        "Add",
        "Alias",
        "AsStrided",
        "Cat",
        "Clone",
        "Conj",
        "ConstantPadNd",
        "Copy",
        "Cumsum",
        "Diagonal",
        "Expand",
        "Flip",
        "Imag",
        "Index",
        "IndexSelect",
        "Mean",
        "Neg",
        "Permute",
        "Real",
        "Repeat",
        "ReshapeAlias",
        "Roll",
        "Rsub",
        "Select",
        "Slice",
        "Split",
        "SplitWithSizes",
        "Squeeze",
        "Stack",
        "Sub",
        "Sum",
        "T",
        "ToCopy",
        "Trace",
        "Transpose",
        "Tril",
        "Triu",
        "Unbind",
        "UnsafeSplit",
        "UnsafeView",
        "Unsqueeze",
        "View",
        "ViewAsComplex",
        "ViewAsReal",
    }
)
PRODUCTS = frozenset({"Bmm", "Dot", "Mm", "Mul", "Mv"})  # affine if only one factor has a gradient
SUMS = frozenset({"Addbmm", "Addmm", "Addmv", "Baddbmm"})  # of a tensor and such a product
# Functions that are defined and smooth everywhere.
SMOOTH = AFFINE | PRODUCTS | SUMS | {"Complex", "Cos", "Exp", "LinalgMatrixExp", "Sin"}


def nodes(tensors: Iterable[Any]) -> Iterator[Any]:
    """Iterate over the nodes of the tensors' autograd graph, including leaves."""
    todo = [
        torch.autograd.graph.get_gradient_edge(tensor).node
        for tensor in tensors
        if isinstance(tensor, torch.Tensor) and tensor.requires_grad
    ]
    seen = set()
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            yield node
            todo += [after for after, _ in node.next_functions if after is not None]


def kind(node: Any) -> str:
    """Return the name of a node's function: "Select" for SelectBackward0."""
    return re.sub(r"Backward\w*$", "", node.name().split("::")[-1])


def is_affine(tensors: Iterable[Any], also: str = "") -> bool:
    """Return whether tensors are jointly affine in all leaves; unknown functions count as not.

    Args:
        tensors: the tensors.
        also: name of another function to count as affine.
    """
    for node in nodes(tensors):
        name, edges = kind(node), _edges(node)
        one_factor = (name in PRODUCTS and sum(edges) == 1) or (
            name in SUMS and sum(edges[1:]) <= 1
        )
        if not (name in AFFINE or name == also or one_factor or _by_constant(node)):
            return False
    return True


def not_smooth(tensors: Iterable[Any]) -> set[str]:
    """Return the functions between tensors and their leaves that may lack a derivative."""
    return {
        kind(node) for node in nodes(tensors) if kind(node) not in SMOOTH and not _by_constant(node)
    }


def _edges(node: Any) -> list[bool]:
    """Return whether each argument of a node's function has a gradient."""
    return [after is not None for after, _ in node.next_functions]


def _by_constant(node: Any) -> bool:
    """Return whether a node is a division by a constant."""
    return kind(node) == "Div" and not any(_edges(node)[1:])


def leaves(tensors: Iterable[Any]) -> list[torch.Tensor]:
    """Return the leaves that tensors depend on."""
    return [node.variable for node in nodes(tensors) if kind(node) == "AccumulateGrad"]
