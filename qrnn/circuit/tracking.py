"""Tracking what a function does with tensors: which parameters it uses, whether it reads values.

An ansatz is any Python function, so its dependence on angles and weights is tracked while it runs:
a `TorchFunctionMode` sees every call of a torch function, including those that turn a tensor into a
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

# Functions that read a tensor's metadata, not its values; attributes are called `__get__`.
METADATA = frozenset(
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
CONSTRUCTORS = frozenset(
    {
        "zeros_like",
        "ones_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_empty",
    }
)
# Modules through which a user's function or a PennyLane operator calls torch.
INTERMEDIARIES = (
    "torch",
    "autoray",
    "numpy",
    "pennylane.math",
    "pennylane.control_flow",
    "pennylane.capture",
    "pennylane.ops.op_math.condition",
    "qrnn.circuit.tracking",
)


class Substitute(TorchFunctionMode):
    """Calls torch functions with some tensors replaced by others.

    Args:
        pairs: tensors and their replacements.
    """

    def __init__(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]] = ()):
        super().__init__()
        self._pairs = {id(old): (old, new) for old, new in pairs}  # they must outlive their ids

    def current(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor's replacement, or the tensor itself."""
        return self._pairs.get(id(tensor), (tensor, tensor))[1]

    @override
    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(torch.Tensor, self.current, (args, kwargs or {}))
        return func(*args, **kwargs)


class Tracker(Substitute):
    """Tracks a function of `inputs`; each parameter is replaced by a float64 copy.

    Args:
        inputs: the function's input.
        buffers: tensors that can change, like parameters.

    Attributes:
        inputs: as given.
        originals: the parameters and buffers that were used, in the order of their first use.
        replacements: their copies.
        detached: whether a dependence on inputs or parameters passed through tensors without
            gradient.

    Raises:
        ConfigError: from a torch function that returns a number to the user's own code, or is
            called with a tensor that requires gradients but is not a parameter.
    """

    def __init__(self, inputs: torch.Tensor, buffers: Iterable[torch.Tensor] = ()):
        super().__init__()
        self.inputs = inputs
        self.originals: list[torch.Tensor] = []
        self.replacements: list[torch.Tensor] = []
        self.detached = False
        self._buffers = {id(buffer) for buffer in buffers}
        self._derived = {id(inputs): inputs}

    def current(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor's replacement; parameters are recorded."""
        if id(tensor) in self._pairs or id(tensor) in self._derived:
            return super().current(tensor)
        if isinstance(tensor, nn.Parameter) or id(tensor) in self._buffers:
            replacement = tensor.detach().to("cpu")
            if tensor.is_floating_point():
                replacement = replacement.to(torch.float64, copy=True).requires_grad_()
            else:
                self.detached = True
            self._pairs[id(tensor)] = tensor, replacement
            self._derived[id(replacement)] = replacement
            self.originals.append(tensor)
            self.replacements.append(replacement)
            return replacement
        if tensor.requires_grad and tensor.is_leaf:
            raise ConfigError(
                f"the ansatz must hold its weights as torch.nn.Parameter, got a tensor of shape "
                f"{tuple(tensor.shape)} that requires gradients but is not a parameter: wrap it in "
                f"one"
            )
        return tensor

    def is_derived(self, value: Any) -> bool:
        """Return whether a value depends on the inputs or on parameters."""
        if not isinstance(value, torch.Tensor):
            return False
        return value.requires_grad or id(value) in self._derived

    @override
    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(torch.Tensor, self.current, (args, kwargs or {}))
        derived = any(map(self.is_derived, tree_leaves((args, kwargs))))
        result = func(*args, **kwargs)
        if derived and func.__name__ not in CONSTRUCTORS:
            self._note(func.__name__, args, result)
        return result

    def _note(self, name: str, args: Any, result: Any) -> None:
        """Record the results of a function of derived tensors."""
        made = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        if not made and result is None:  # an in-place write to its first argument
            made = [value for value in args[:1] if isinstance(value, torch.Tensor)]
        elif not made and name != "__get__" and name not in METADATA and called_by_user():
            raise ConfigError(
                f"the ansatz must queue the same gates for all angles, but reads the value of an "
                f"angle or a weight ({name}): use angles as gate parameters only, compute with "
                f"torch, and select values with torch.where"
            )
        for value in made:
            self._derived[id(value)] = value
            self.detached |= not value.requires_grad and called_by_user()


def called_by_user() -> bool:
    """Return whether torch is called by the user's code, not by PennyLane's checks."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not any(module == name or module.startswith(f"{name}.") for name in INTERMEDIARIES):
            return not module.startswith("pennylane.")
        frame = frame.f_back  # type: ignore[assignment]
    return True
