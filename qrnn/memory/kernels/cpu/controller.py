"""The controller inside the fused kernels: LANES sequences at once, in single precision.

A controller is a list of affine layers with an activation between them. `layers` has a row [n_in,
n_out, weight offset, bias offset, input offset, output offset] for each; the last two are rows (of
LANES) in a step's *record*, which holds each layer's inputs and outputs; gradients later overwrite
the outputs.
"""

from __future__ import annotations

import math

import numpy as np

from qrnn.memory.kernels.base import GELU, GLU, RELU
from qrnn.memory.kernels.cpu.gates import ROW
from qrnn.memory.kernels.cpu.jit import jit
from qrnn.memory.kernels.cpu.simd import (
    LANES,
    absolute,
    any_less,
    floor,
    full_like,
    load,
    power_of_two,
    rint,
    splat,
    store,
    total,
    where_less,
)

# Largest angle that `cos_sin` reduces exactly, even on processors without fused multiply-add.
REDUCIBLE = 8192.0


@jit
def affine(weights, w, biases, b, n_in, n_out, record, source, target):
    """Write W x + bias, four outputs at a time; b < 0: no bias.

    Args:
        weights: flat, with the (n_out, n_in) matrix at offset w.
        w: offset of the matrix.
        biases: flat, with the (n_out,) biases at offset b.
        b: offset of the biases.
        n_in: number of inputs.
        n_out: number of outputs.
        record: flat rows of LANES.
        source: first row of the inputs.
        target: first row of the outputs.
    """
    zero = full_like(load(record, 0), 0)
    j = 0
    while j + 4 <= n_out:
        p, q, r, s = zero, zero, zero, zero
        at = w + j * n_in
        for i in range(n_in):
            x = load(record, (source + i) * LANES)
            p = p + splat(weights, at + i) * x
            q = q + splat(weights, at + n_in + i) * x
            r = r + splat(weights, at + 2 * n_in + i) * x
            s = s + splat(weights, at + 3 * n_in + i) * x
        if b >= 0:
            p, q = p + splat(biases, b + j), q + splat(biases, b + j + 1)
            r, s = r + splat(biases, b + j + 2), s + splat(biases, b + j + 3)
        out = (target + j) * LANES
        store(record, out, p)
        store(record, out + LANES, q)
        store(record, out + 2 * LANES, r)
        store(record, out + 3 * LANES, s)
        j += 4
    while j < n_out:
        p = zero
        for i in range(n_in):
            p = p + splat(weights, w + j * n_in + i) * load(record, (source + i) * LANES)
        if b >= 0:
            p = p + splat(biases, b + j)
        store(record, (target + j) * LANES, p)
        j += 1


@jit
def exp(x):
    """Return e^x, accurate to 2e-7 (Cephes' expf)."""
    low, high = full_like(x, -87.0), full_like(x, 88.0)
    x = where_less(x, low, low, where_less(high, x, high, x))
    k = rint(x * full_like(x, 1.44269504088896341))
    r = x - k * full_like(x, 0.693359375) - k * full_like(x, -2.12194440e-4)
    p = full_like(x, 1.9875691500e-4)
    p = p * r + full_like(x, 1.3981999507e-3)
    p = p * r + full_like(x, 8.3334519073e-3)
    p = p * r + full_like(x, 4.1665795894e-2)
    p = p * r + full_like(x, 1.6666665459e-1)
    p = p * r + full_like(x, 5.0000001201e-1)
    return (p * r * r + r + full_like(x, 1)) * power_of_two(k)


@jit
def cos_sin(x):
    """Return cosine and sine, accurate to 1e-7 for |x| <= REDUCIBLE (Cephes' sinf and cosf)."""
    zero, one, two = full_like(x, 0), full_like(x, 1), full_like(x, 2)
    k = rint(x * full_like(x, 0.636619772367581343))
    # pi / 2 is split into three parts, so that the products with k are exact.
    r = x - k * full_like(x, 1.5703125) - k * full_like(x, 4.837512969970703125e-4)
    r = r - k * full_like(x, 7.54978995489188216e-8)
    z = r * r
    s = full_like(x, -1.9515295891e-4) * z + full_like(x, 8.3321608736e-3)
    s = (s * z - full_like(x, 1.6666654611e-1)) * z * r + r
    c = full_like(x, 2.443315711809948e-5) * z - full_like(x, 1.388731625493765e-3)
    c = (c * z + full_like(x, 4.166664568298827e-2)) * z * z - full_like(x, 0.5) * z + one
    quarter = k - full_like(x, 4) * floor(k * full_like(x, 0.25))  # 0, 1, 2 or 3
    odd = quarter - two * floor(quarter * full_like(x, 0.5))
    half = full_like(x, 0.5)
    sine, cosine = where_less(half, odd, c, s), where_less(half, odd, s, c)
    sine = where_less(full_like(x, 1.5), quarter, zero - sine, sine)
    middle = absolute(quarter - full_like(x, 1.5))  # 1/2 for quarters 1 and 2
    return where_less(middle, one, zero - cosine, cosine), sine


@jit
def store_cos_sin(angles, first, n, cs):
    """Write the cosines and sines of angles of any size.

    Args:
        angles: flat rows of LANES.
        first: the first row to read.
        n: number of rows.
        cs: (n 2 LANES) written: cosine and sine of each row.
    """
    for row in range(n):
        at, to = (first + row) * LANES, row * ROW
        x = load(angles, at)
        if any_less(full_like(x, REDUCIBLE), absolute(x)):
            for m in range(LANES):
                angle = np.float64(angles[at + m])  # the library's cosine handles any size
                cs[to + m], cs[to + LANES + m] = math.cos(angle), math.sin(angle)
        else:
            c, s = cos_sin(x)
            store(cs, to, c)
            store(cs, to + LANES, s)


@jit
def normal_cdf(x):
    """Return the standard normal CDF, accurate to 1e-7 (Numerical Recipes, erfc)."""
    one, half = full_like(x, 1), full_like(x, 0.5)
    z = absolute(x) * full_like(x, 0.70710678118654752)
    t = one / (one + half * z)
    p = full_like(x, 0.17087277)
    p = p * t + full_like(x, -0.82215223)
    p = p * t + full_like(x, 1.48851587)
    p = p * t + full_like(x, -1.13520398)
    p = p * t + full_like(x, 0.27886807)
    p = p * t + full_like(x, -0.18628806)
    p = p * t + full_like(x, 0.09678418)
    p = p * t + full_like(x, 0.37409196)
    p = p * t + full_like(x, 1.00002368)
    p = p * t + full_like(x, -1.26551223)
    tail = half * t * exp(p - z * z)
    return where_less(x, full_like(x, 0), tail, one - tail)


@jit
def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    one = full_like(x, 1)
    return one / (one + exp(full_like(x, 0) - x))


@jit
def activate(kind, n, record, source, target):
    """Write the activations of rows; n is the number of activations."""
    for j in range(n):
        x = load(record, (source + j) * LANES)
        if kind == RELU:
            x = where_less(x, full_like(x, 0), full_like(x, 0), x)
        elif kind == GELU:
            x = x * normal_cdf(x)
        elif kind == GLU:
            x = x * sigmoid(load(record, (source + n + j) * LANES))
        store(record, (target + j) * LANES, x)


@jit
def activate_backward(kind, n, record, at, gradient):
    """Replace the pre-activations of rows by their gradients.

    Args:
        kind: the activation.
        n: number of activations.
        record: flat rows of LANES.
        at: first row of the pre-activations.
        gradient: first row of the activations' gradients.
    """
    for j in range(n):
        x, g = load(record, (at + j) * LANES), load(record, (gradient + j) * LANES)
        zero, one = full_like(x, 0), full_like(x, 1)
        if kind == RELU:
            g = where_less(zero, x, g, zero)
        elif kind == GELU:
            density = exp(full_like(x, -0.5) * x * x) * full_like(x, 0.398942280401432678)
            g = g * (normal_cdf(x) + x * density)
        elif kind == GLU:
            gate = sigmoid(load(record, (at + n + j) * LANES))
            store(record, (at + n + j) * LANES, g * x * gate * (one - gate))
            g = g * gate
        store(record, (at + j) * LANES, g)


@jit
def control(kind, layers, weights, biases, record):
    """Run the controller on the inputs in a record; it keeps all layers' inputs and outputs."""
    last = layers.shape[0] - 1
    for layer in range(last + 1):
        n_in, n_out, w, b, source, target = layers[layer]
        affine(weights, w, biases, b, n_in, n_out, record, source, target)
        if layer < last:
            activate(kind, layers[layer + 1, 0], record, target, layers[layer + 1, 4])


@jit
def control_backward(kind, layers, transposed, biases, record, scratch):
    """Backpropagate the outputs' gradient, in the record, to the outputs of each layer.

    Args:
        kind: the activation.
        layers: see the module.
        transposed: flat; weights (n_in, n_out) of each layer, at the same offsets as in `weights`.
        biases: not read.
        record: from `control`, with the last layer's outputs replaced by their gradients.
        scratch: first of the rows after the record, for the inputs' gradients.
    """
    for layer in range(layers.shape[0] - 1, -1, -1):
        n_in, n_out, w, _, _, target = layers[layer]
        affine(transposed, w, biases, -1, n_out, n_in, record, target, scratch)
        if layer > 0:
            activate_backward(kind, n_in, record, layers[layer - 1, 5], scratch)


@jit
def weight_gradients(layers, records, n_records, size, grad_weights, grad_biases):
    """Add the gradients of weights and biases from the records of some steps.

    Tiles of 4 x 2 weights stay in registers during the loop over steps.

    Args:
        layers: see the module.
        records: flat, consecutive records.
        n_records: number of records.
        size: size of a record.
        grad_weights: flat, added to.
        grad_biases: flat, added to.
    """
    zero = full_like(load(records, 0), 0)
    for layer in range(layers.shape[0]):
        n_in, n_out, w, b, source, target = layers[layer]
        j = 0
        while j < n_out:
            tall = 4 if j + 4 <= n_out else 1
            i = 0
            while i < n_in:
                wide = 2 if i + 2 <= n_in else 1
                if tall == 4 and wide == 2:
                    a0, a1, a2, a3 = zero, zero, zero, zero
                    c0, c1, c2, c3 = zero, zero, zero, zero
                    for k in range(n_records):
                        x = k * size + (source + i) * LANES
                        g = k * size + (target + j) * LANES
                        x0, x1 = load(records, x), load(records, x + LANES)
                        g0, g1 = load(records, g), load(records, g + LANES)
                        g2, g3 = load(records, g + 2 * LANES), load(records, g + 3 * LANES)
                        a0, a1, a2, a3 = a0 + g0 * x0, a1 + g1 * x0, a2 + g2 * x0, a3 + g3 * x0
                        c0, c1, c2, c3 = c0 + g0 * x1, c1 + g1 * x1, c2 + g2 * x1, c3 + g3 * x1
                    at = w + j * n_in + i
                    grad_weights[at] += total(a0)
                    grad_weights[at + n_in] += total(a1)
                    grad_weights[at + 2 * n_in] += total(a2)
                    grad_weights[at + 3 * n_in] += total(a3)
                    grad_weights[at + 1] += total(c0)
                    grad_weights[at + n_in + 1] += total(c1)
                    grad_weights[at + 2 * n_in + 1] += total(c2)
                    grad_weights[at + 3 * n_in + 1] += total(c3)
                else:
                    for jj in range(j, j + tall):
                        for ii in range(i, i + wide):
                            a0 = zero
                            for k in range(n_records):
                                x0 = load(records, k * size + (source + ii) * LANES)
                                g0 = load(records, k * size + (target + jj) * LANES)
                                a0 = a0 + g0 * x0
                            grad_weights[w + jj * n_in + ii] += total(a0)
                i += wide
            j += tall
        for jj in range(n_out):
            a0 = zero
            for k in range(n_records):
                a0 = a0 + load(records, k * size + (target + jj) * LANES)
            grad_biases[b + jj] += total(a0)
