"""What a function does with tensors: which parameters it uses, and whether it reads values.

An ansatz is any Python function. What its gates depend on is therefore not probed but watched:
torch tells a mode of each of its functions that is called, also of those that turn a tensor into a
number.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only
from typing_extensions import override

from qrnn.errors import ConfigError

# What tells of a tensor's form, not of its values; attributes aside, which are told by their type.
FORM = frozenset(
    {
        "dim",
        "ndimension",
        "size",
        "numel",
        "nelement",
        "__len__",
        "stride",
        "storage_offset",
        "is_floating_point",
        "is_complex",
        "is_signed",
        "is_conj",
        "is_neg",
        "is_contiguous",
        "is_inference",
        "is_same_size",
        "is_tensor",
        "element_size",
        "get_device",
        "data_ptr",
        "result_type",
        "type",
        "__hash__",
        "__repr__",
        "__format__",
    }
)
LIKE = frozenset(
    {
        "zeros_like",
        "ones_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_empty",
    }
)
# Those through whom a user's function or an operator of PennyLane calls torch.
BETWEEN = (
    "torch",
    "autoray",
    "numpy",
    "pennylane.math",
    "pennylane.control_flow",
    "pennylane.capture",
    "pennylane.ops.op_math.condition",
    "qrnn.circuit.watching",
)


class Substitute(TorchFunctionMode):
    """Calls torch's functions with other tensors in the place of some.

    Args:
        pairs: tensors, and what stands for each.
    """

    def __init__(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]] = ()):
        super().__init__()
        self._pairs = {id(old): (old, new) for old, new in pairs}  # they must outlive their ids

    def current(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return what stands for a tensor."""
        return self._pairs.get(id(tensor), (tensor, tensor))[1]

    @override
    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(torch.Tensor, self.current, (args, kwargs or {}))
        return func(*args, **kwargs)


class Watch(Substitute):
    """Watches a function of `inputs`; a float64 stand-in takes the place of each parameter.

    Args:
        inputs: what the function is called with.
        buffers: tensors that may change as parameters do.

    Attributes:
        inputs: as given.
        originals: the parameters and buffers that were used, in the order of their first use.
        stand_ins: what took their place.
        cut: whether what depends on inputs or parameters went through tensors without gradient.

    Raises:
        ConfigError: on leaving any torch function that gives the user's own code a number, or that
            is called with a tensor that requires gradients and is no parameter.
    """

    def __init__(self, inputs: torch.Tensor, buffers: Iterable[torch.Tensor] = ()):
        super().__init__()
        self.inputs = inputs
        self.originals: list[torch.Tensor] = []
        self.stand_ins: list[torch.Tensor] = []
        self.cut = False
        self._buffers = {id(buffer) for buffer in buffers}
        self._derived = {id(inputs): inputs}

    def current(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return what stands for a tensor, and remember it if it is a parameter."""
        if id(tensor) in self._pairs or id(tensor) in self._derived:
            return super().current(tensor)
        if isinstance(tensor, nn.Parameter) or id(tensor) in self._buffers:
            stand_in = tensor.detach().to("cpu")
            if tensor.is_floating_point():
                stand_in = stand_in.to(torch.float64, copy=True).requires_grad_()
            else:
                self.cut = True
            self._pairs[id(tensor)] = tensor, stand_in
            self._derived[id(stand_in)] = stand_in
            self.originals.append(tensor)
            self.stand_ins.append(stand_in)
            return stand_in
        if tensor.requires_grad and tensor.is_leaf:
            raise ConfigError(
                f"the ansatz must hold its weights as torch.nn.Parameter, got a tensor of shape "
                f"{tuple(tensor.shape)} that requires gradients and is none: wrap it in one"
            )
        return tensor

    def derives(self, value: Any) -> bool:
        """Whether a value depends on the inputs or on parameters."""
        if not isinstance(value, torch.Tensor):
            return False
        return value.requires_grad or id(value) in self._derived

    @override
    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(torch.Tensor, self.current, (args, kwargs or {}))
        derived = any(map(self.derives, tree_leaves((args, kwargs))))
        result = func(*args, **kwargs)
        if derived and func.__name__ not in LIKE:
            self._note(func.__name__, args, result)
        return result

    def _note(self, name: str, args: Any, result: Any) -> None:
        """Remember what came of a function of derived tensors."""
        made = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        if not made and result is None:  # it filled a part of its first argument
            made = [value for value in args[:1] if isinstance(value, torch.Tensor)]
        elif not made and name != "__get__" and name not in FORM and by_user():
            raise ConfigError(
                f"the ansatz must queue the same gates for all angles, but reads the value of an "
                f"angle or a weight ({name}): use the angles as gate parameters only, calculate "
                f"with torch, and choose between values with torch.where"
            )
        for value in made:
            self._derived[id(value)] = value
            self.cut |= not value.requires_grad and by_user()


def by_user() -> bool:
    """Whether it is not PennyLane, checking an operator, that calls torch now."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not any(module == name or module.startswith(f"{name}.") for name in BETWEEN):
            return not module.startswith("pennylane.")
        frame = frame.f_back  # type: ignore[assignment]
    return True
