"""LRP once more, in the obvious way: every layer as a dense matrix, every rule as its formula, one image at a time."""

from __future__ import annotations

import torch

EPSILON, NEVER_ZERO = 1e-6, 1e-12


def matrix(layer, shape):
    """Return the matrix of a linear operation (outputs, inputs) and the shape of its outputs."""
    basis = torch.eye(int(torch.tensor(shape).prod()), dtype=torch.float64).reshape(-1, *shape)
    outputs = layer(basis)
    return outputs.flatten(1).T, outputs.shape[1:]


def z_plus(w, x, relevance):
    """Share by the positive contributions."""
    contributions = (w * x).clamp_min(0)
    total = contributions.sum(dim=1, keepdim=True)
    total[total == 0] = NEVER_ZERO
    return (contributions / total * relevance[:, None]).sum(dim=0)


def epsilon(w, x, relevance, bias=0.0):
    """Share by all contributions, of which the bias is one that is lost."""
    contributions = w * x
    total = contributions.sum(dim=1) + bias
    total = total + EPSILON * torch.where(total < 0, -1.0, 1.0)
    return (contributions / total[:, None] * relevance[:, None]).sum(dim=0)


def box(w, x, low, high, relevance):
    """Share by contributions measured from the bounds."""
    contributions = w * x - w.clamp_min(0) * low - w.clamp_max(0) * high
    total = contributions.sum(dim=1)
    total = total + EPSILON * torch.where(total < 0, -1.0, 1.0)
    return (contributions / total[:, None] * relevance[:, None]).sum(dim=0)


def shared(first, second, relevance):
    """Share between two summands."""
    total = first + second
    total = total + EPSILON * torch.where(total < 0, -1.0, 1.0)
    return first * relevance / total, second * relevance / total


def winner(x, size, relevance):
    """Give the relevance of each square of a max pooling to its first largest pixel."""
    channels, height, width = x.shape
    result = torch.zeros_like(x)
    for c in range(channels):
        for i in range(height // size):
            for j in range(width // size):
                square = x[c, i * size : (i + 1) * size, j * size : (j + 1) * size]
                place = int(square.flatten().argmax())
                result[c, i * size + place // size, j * size + place % size] = relevance[c, i, j]
    return result
