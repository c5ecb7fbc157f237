"""The controller inside the GPU kernels: one sequence per program, its record in memory (Triton).

See `Packed` for layers and records. A layer's inputs are written and read by different threads,
hence the barriers.
"""

import triton
import triton.language as tl

LINEAR: tl.constexpr = tl.constexpr(0)
RELU: tl.constexpr = tl.constexpr(1)
GELU: tl.constexpr = tl.constexpr(2)
GLU: tl.constexpr = tl.constexpr(3)


@triton.jit
def load_layer(layers, layer):
    """Return [n_in, n_out, weight, bias, input and output offset] of a layer."""
    row = layers + 6 * layer
    return (
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
        tl.load(row + 5),
    )


@triton.jit
def copy(source, target, size, TILE: tl.constexpr):
    """Copy `size` numbers from source to target."""
    for first in range(0, size, TILE):
        at = first + tl.arange(0, TILE)
        tl.store(target + at, tl.load(source + at, mask=at < size), mask=at < size)


@triton.jit
def fill_zero(target, size, TILE: tl.constexpr):
    """Write `size` zeros."""
    for first in range(0, size, TILE):
        at = first + tl.arange(0, TILE)
        tl.store(target + at, tl.zeros((TILE,), target.dtype.element_ty), mask=at < size)


@triton.jit
def scaled_sum(target, a, b, factor, size, TILE: tl.constexpr):
    """Write factor (a + b) for `size` numbers."""
    for first in range(0, size, TILE):
        at = first + tl.arange(0, TILE)
        inside = at < size
        value = tl.load(a + at, mask=inside) + tl.load(b + at, mask=inside)
        tl.store(target + at, (factor * value).to(target.dtype.element_ty), mask=inside)


@triton.jit
def affine(matrix, rows, columns, bias, has_bias: tl.constexpr, source, target, TILE: tl.constexpr):
    """Write x M + bias for a row-major M (rows, columns); the sum runs over registers."""
    for first in range(0, columns, TILE):
        column = first + tl.arange(0, TILE)
        total = tl.zeros((TILE, TILE), target.dtype.element_ty)
        for start in range(0, rows, TILE):
            row = start + tl.arange(0, TILE)
            x = tl.load(source + row, mask=row < rows, other=0.0)
            m = tl.load(
                matrix + row[:, None] * columns + column[None, :],
                mask=(row[:, None] < rows) & (column[None, :] < columns),
                other=0.0,
            )
            total += m * x[:, None]
        y = tl.sum(total, 0)
        if has_bias:
            y += tl.load(bias + column, mask=column < columns, other=0.0)
        tl.store(target + column, y, mask=column < columns)


@triton.jit
def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    return 1 / (1 + tl.exp(-x))


@triton.jit
def normal_cdf(x):
    """Return the standard normal CDF."""
    return 0.5 * (1 + tl.erf(x * 0.7071067811865476))


@triton.jit
def activate(kind: tl.constexpr, size, source, target, TILE: tl.constexpr):
    """Write the activations of `size` units; a GLU's gates follow its values at `source`."""
    for first in range(0, size, TILE):
        at = first + tl.arange(0, TILE)
        x = tl.load(source + at, mask=at < size, other=0.0)
        if kind == RELU:
            x = tl.where(x < 0, 0.0, x)  # not tl.maximum, which drops NaN
        elif kind == GELU:
            x = x * normal_cdf(x)
        elif kind == GLU:
            x = x * sigmoid(tl.load(source + size + at, mask=at < size, other=0.0))
        tl.store(target + at, x, mask=at < size)


@triton.jit
def activate_backward(kind: tl.constexpr, size, source, gradient, TILE: tl.constexpr):
    """Replace the pre-activations at `source` by their gradients."""
    for first in range(0, size, TILE):
        at = first + tl.arange(0, TILE)
        g = tl.load(gradient + at, mask=at < size, other=0.0)
        x = tl.load(source + at, mask=at < size, other=0.0)
        if kind == RELU:
            g = tl.where(x > 0, g, 0.0)
        elif kind == GELU:
            g = g * (normal_cdf(x) + x * tl.exp(-0.5 * x * x) * 0.3989422804014327)
        elif kind == GLU:
            gate = sigmoid(tl.load(source + size + at, mask=at < size, other=0.0))
            tl.store(source + size + at, g * x * gate * (1 - gate), mask=at < size)
            g = g * gate
        tl.store(source + at, g, mask=at < size)


@triton.jit
def control(
    kind: tl.constexpr,
    layers,
    n_layers,
    transposed,
    biases,
    x,
    width,
    z,
    n_readouts,
    record,
    cs,
    TILE: tl.constexpr,
):
    """Run the controller on [x ; z]; the record keeps all layers' inputs and outputs.

    Args:
        kind: the controller's activation.
        layers: (L, 6) see the module.
        n_layers: L.
        transposed: flat weights (n_in, n_out) of each layer.
        biases: flat.
        x: pointer to the inputs.
        width: their number D.
        z: pointer to the last readouts.
        n_readouts: their number R.
        record: written.
        cs: cosines and sines of the slot angles, written.
        TILE: numbers that are processed at once.
    """
    copy(x, record, width, TILE)
    copy(z, record + width, n_readouts, TILE)
    for layer in range(n_layers):
        n_in, n_out, w, b, source, target = load_layer(layers, layer)
        tl.debug_barrier()
        affine(
            transposed + w, n_in, n_out, biases + b, True, record + source, record + target, TILE
        )
        tl.debug_barrier()
        if layer < n_layers - 1:
            following, _, _, _, to, _ = load_layer(layers, layer + 1)
            activate(kind, following, record + target, record + to, TILE)
        else:
            for first in range(0, n_out, TILE):
                slot = first + tl.arange(0, TILE)
                angle = tl.load(record + target + slot, mask=slot < n_out, other=0.0)
                tl.store(cs + 2 * slot, tl.cos(angle), mask=slot < n_out)
                tl.store(cs + 2 * slot + 1, tl.sin(angle), mask=slot < n_out)
    tl.debug_barrier()


@triton.jit
def control_backward(
    kind: tl.constexpr, layers, n_layers, weights, biases, record, inputs, TILE: tl.constexpr
):
    """Backpropagate the outputs' gradient, in the record, to the outputs of each layer.

    Args:
        kind: see `control`.
        layers: see `control`.
        n_layers: see `control`.
        weights: flat weights (n_out, n_in) of each layer.
        biases: not read.
        record: from `control`, with the last layer's outputs replaced by their gradients.
        inputs: written: the gradient of the first layer's inputs.
        TILE: see `control`.
    """
    for i in range(n_layers):
        layer = n_layers - 1 - i
        n_in, n_out, w, _, _, target = load_layer(layers, layer)
        tl.debug_barrier()
        affine(weights + w, n_out, n_in, biases, False, record + target, inputs, TILE)
        tl.debug_barrier()
        if layer > 0:
            _, _, _, _, _, before = load_layer(layers, layer - 1)
            activate_backward(kind, n_in, record + before, inputs, TILE)
    tl.debug_barrier()
