"""SIMD vectors of LANES numbers for numba kernels.

LLVM vectorises numba's loops over small arrays, but keeps sums and factors in memory and checks
for overlap on each row. With a vector type, a kernel controls what stays in a register:
`a = load(psi, i)`, `store(psi, i, c * a - s * b)`. LLVM maps a single-precision vector to one
AVX-512 register, or to several registers on other processors.

Sums of products contract to fused multiply-adds. Nothing is reassociated, so the kernels' range
reductions are exact.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
LANE_BITS = 4
FLAGS = ("contract", "nsz", "arcp")


def _intrinsic(function: Callable) -> Any:
    """Return numba's intrinsic of a definition, typed as Any: its call signature differs."""
    return intrinsic(function)


class VectorType(types.Type):
    """LANES numbers of one type."""

    def __init__(self, dtype: types.Type):
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype}, {LANES})")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """A vector as an LLVM vector."""

    def __init__(self, manager: Any, kind: VectorType):
        element = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, LANES))


class _Arithmetic(AbstractTemplate):
    def generic(self, args: tuple, kws: dict) -> Any:
        if len(args) == 2 and isinstance(args[0], VectorType) and args[0] == args[1]:
            return signature(args[0], *args)
        return None


for _operator, _method in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    infer_global(_operator)(type(f"_{_method}", (_Arithmetic,), {}))

    def _lower(context, builder, sig, args, method=_method):
        return getattr(builder, method)(*args, flags=FLAGS)

    lower_builtin(_operator, VectorType, VectorType)(_lower)


def _pointer(context, builder, array_type, array, index):
    """Return the address of element `index` of a flat array, as a vector pointer."""
    data = context.make_array(array_type)(context, builder, array).data
    element = context.get_value_type(array_type.dtype)
    start = builder.gep(data, [index])
    return builder.bitcast(start, ir.VectorType(element, LANES).as_pointer()), element


@_intrinsic
def load(typingctx, array, index):
    """Return LANES numbers of a flat array from `index` on, without bounds checks."""

    def codegen(context, builder, sig, args):
        pointer, element = _pointer(context, builder, sig.args[0], *args)
        return builder.load(pointer, align=context.get_abi_sizeof(element))

    return VectorType(array.dtype)(array, types.intp), codegen


@_intrinsic
def store(typingctx, array, index, vector):
    """Write a vector to a flat array from `index` on, without bounds checks."""

    def codegen(context, builder, sig, args):
        pointer, element = _pointer(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], pointer, align=context.get_abi_sizeof(element))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


@_intrinsic
def splat(typingctx, array, index):
    """Return a vector of copies of one element of a flat array."""

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return _fill(builder, builder.load(builder.gep(data, [args[1]])))

    return VectorType(array.dtype)(array, types.intp), codegen


@_intrinsic
def full_like(typingctx, vector, value):
    """Return a vector of copies of a number, with the type of another vector."""

    def codegen(context, builder, sig, args):
        cast = context.cast(builder, args[1], sig.args[1], vector.dtype)
        return _fill(builder, cast)

    return vector(vector, value), codegen


def _fill(builder, scalar):
    kind = ir.VectorType(scalar.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), order)


def _flip(bit: int):
    """Return an intrinsic that exchanges lanes j and j ^ bit."""

    @_intrinsic
    def call(typingctx, vector):
        def codegen(context, builder, sig, args):
            order = ir.VectorType(ir.IntType(32), LANES)
            return builder.shuffle_vector(
                args[0], args[0], ir.Constant(order, [lane ^ bit for lane in range(LANES)])
            )

        return vector(vector), codegen

    return call


flip1, flip2, flip4, flip8 = _flip(1), _flip(2), _flip(4), _flip(8)


def _unary(name: str):
    """Return a unary LLVM intrinsic for vectors."""

    @_intrinsic
    def call(typingctx, vector):
        def codegen(context, builder, sig, args):
            kind = args[0].type
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(kind, [kind]),
                f"llvm.{name}.v{LANES}f{np.dtype(str(vector.dtype)).itemsize * 8}",
            )
            return builder.call(function, args)

        return vector(vector), codegen

    return call


rint = _unary("rint")
absolute = _unary("fabs")
floor = _unary("floor")
sqrt = _unary("sqrt")


@_intrinsic
def where_less(typingctx, a, b, if_less, otherwise):
    """Return, for each lane, `if_less` where a < b, else (also for NaN) `otherwise`."""

    def codegen(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return a(a, b, if_less, otherwise), codegen


@_intrinsic
def any_less(typingctx, a, b):
    """Return whether a < b in any lane; False for NaN."""

    def codegen(context, builder, sig, args):
        lanes = builder.fcmp_ordered("<", args[0], args[1])
        bits = builder.bitcast(lanes, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(a, b), codegen


@_intrinsic
def negate_lanes(typingctx, vector, lanes):
    """Return a vector with the opposite sign in the lanes whose bit is 1."""

    def codegen(context, builder, sig, args):
        chosen = builder.bitcast(args[1], ir.VectorType(ir.IntType(1), LANES))
        return builder.select(chosen, builder.fneg(args[0]), args[0])

    return vector(vector, types.uint16), codegen


@_intrinsic
def power_of_two(typingctx, k):
    """Return 2^k for whole numbers k of -126..127 in single precision."""

    def codegen(context, builder, sig, args):
        whole = ir.VectorType(ir.IntType(32), LANES)
        shifted = builder.add(builder.fptosi(args[0], whole), ir.Constant(whole, [127] * LANES))
        bits = builder.shl(shifted, ir.Constant(whole, [23] * LANES))
        return builder.bitcast(bits, args[0].type)

    return k(k), codegen


@_intrinsic
def total(typingctx, vector):
    """Return the sum of the lanes."""

    def codegen(context, builder, sig, args):
        scalar = args[0].type.element
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(scalar, [scalar, args[0].type]),
            f"llvm.vector.reduce.fadd.v{LANES}f{np.dtype(str(vector.dtype)).itemsize * 8}",
        )
        start = ir.Constant(scalar, 0.0)
        # In any order: a sequential sum would take LANES dependent additions.
        return builder.call(function, [start, args[0]], fastmath=("reassoc",))

    return vector.dtype(vector), codegen
