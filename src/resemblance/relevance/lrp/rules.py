"""Rules of relevance: how an operation splits the relevance of its outputs among its inputs.

Each rule has the same form (Montavon et al. 2019, section 10.2): an output's relevance R is divided by a denominator z
and flows back through an operation that is linear in modified inputs, each with modified weights,

    R_in = Σ_i x_i · ∂/∂x_i ⟨z, R / z⟩,   z = Σ_i f(x_i, W_i).

A rule names the modified inputs and weights. The denominator is computed once, and used for all prototypes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-6  # keeps denominators away from zero: ε rule, pooling, sums
NEVER_ZERO = 1e-12  # replaces denominators that are exactly zero: z⁺ rule

Operation = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Term:
    """One modified input of a rule, with its modified weights.

    Args:
        inputs: the modified input.
        weight: modifies the weights; None for an operation without weights.
    """

    inputs: Tensor
    weight: Callable[[Tensor], Tensor] | None = None


def positive(values: Tensor) -> Tensor:
    """Return max(values, 0)."""
    return values.clamp_min(0)


def negative(values: Tensor) -> Tensor:
    """Return min(values, 0)."""
    return values.clamp_max(0)


def unchanged(values: Tensor) -> Tensor:
    """Return the values as they are."""
    return values


def positive_terms(inputs: Tensor, not_negative: bool = False) -> list[Term]:
    """Return the terms of the z⁺ rule for signed inputs: W⁺x⁺ + W⁻x⁻ (α = 1, β = 0; Bach et al. 2015).

    Args:
        inputs: the operation's input.
        not_negative: no input is negative, so that the second term is zero and is left out.
    """
    if not_negative:
        return [Term(inputs, positive)]
    return [Term(positive(inputs), positive), Term(negative(inputs), negative)]


def box_terms(inputs: Tensor, low: Tensor, high: Tensor) -> list[Term]:
    """Return the terms of the box rule for inputs between l and h (Montavon et al. 2017, z^B).

    Wx − W⁺l − W⁻h is W⁺(x − l) + W⁻(x − h): the z⁺ rule, measured from the bounds.
    """
    return [Term(inputs - low, positive), Term(inputs - high, negative)]


def away_from_zero(values: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Return values + ε·sign(values), where the sign of 0 is +.

    Example:
        >>> away_from_zero(torch.tensor([2.0, 0.0, -2.0]), 0.5)
        tensor([ 2.5000,  0.5000, -2.5000])
    """
    return values + torch.where(values < 0, -epsilon, epsilon)


def never_zero(values: Tensor) -> Tensor:
    """Return values, with exact zeros replaced.

    Example:
        >>> never_zero(torch.tensor([2.0, 0.0, -2.0]))
        tensor([ 2.0000e+00,  1.0000e-12, -2.0000e+00])
    """
    return values.masked_fill(values == 0, NEVER_ZERO)


class Propagation:
    """An operation in a forward pass, with the rule by which relevance flows back through it.

    Nothing is computed for the rule before relevance arrives: a batch norm that follows can still be merged.

    Args:
        operation: computes the outputs from inputs and weights; linear in the inputs.
        terms: of the rule.
        weight: the operation's weights, with one row per output channel; None where it has none.
        stabilise: changes the denominator so that it is not zero.
        offset: what is added to the denominator: the bias where the rule keeps it; None for nothing.
        keeps_bias: whether the rule keeps biases in the denominator, which then absorb relevance.
        joined: whether the terms can be computed as channels of one input, which is faster where it has few.

    Attributes:
        scale: (O,), the factor of a batch norm that directly follows; None without one.
    """

    def __init__(
        self,
        operation: Operation,
        terms: Sequence[Term],
        weight: Tensor | None = None,
        stabilise: Callable[[Tensor], Tensor] = away_from_zero,
        offset: Tensor | None = None,
        keeps_bias: bool = False,
        joined: bool = False,
    ) -> None:
        self.operation, self.terms, self.weight = operation, terms, weight
        self.stabilise, self.offset, self.keeps_bias = stabilise, offset, keeps_bias
        self.joined = joined and len(terms) > 1
        self.scale: Tensor | None = None
        self._inputs: list[Tensor] = []
        self._total: Tensor | None = None
        self._denominator: Tensor | None = None

    def backward(self, relevance: Tensor) -> Tensor:
        """Return the relevance of the inputs for that of the outputs."""
        if self._denominator is None:
            self._prepare()
        assert self._total is not None
        assert self._denominator is not None
        ratio = relevance / self._denominator
        gradients = torch.autograd.grad(self._total, self._inputs, ratio, retain_graph=True)
        parts = [x.detach() * gradient for x, gradient in zip(self._inputs, gradients, strict=True)]
        if self.joined:
            return torch.stack(parts[0].chunk(len(self.terms), dim=1)).sum(dim=0)
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)

    def _prepare(self) -> None:
        weight = self.weight
        if weight is not None and self.scale is not None:
            weight = weight * self.scale.reshape(-1, *[1] * (weight.dim() - 1))
        inputs = [term.inputs.detach() for term in self.terms]
        weights = [
            None if weight is None or term.weight is None else term.weight(weight) for term in self.terms
        ]
        if self.joined:
            inputs, weights = (
                [torch.cat(inputs, dim=1)],
                [torch.cat([w for w in weights if w is not None], dim=1)],
            )
        with torch.enable_grad():
            self._inputs = [x.requires_grad_() for x in inputs]
            parts = [self.operation(x, w) for x, w in zip(self._inputs, weights, strict=True)]
            self._total = parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)
        whole = self._total.detach()
        self._denominator = self.stabilise(whole if self.offset is None else whole + self.offset)


class _Propagate(torch.autograd.Function):
    """Returns the outputs of an operation; its backward pass propagates relevance by the rule."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, outputs: Tensor, propagation: Propagation) -> Tensor:
        ctx.propagation = propagation
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None, None]:
        return ctx.propagation.backward(relevance), None, None


def propagate(inputs: Tensor, outputs: Tensor, propagation: Propagation) -> Tensor:
    """Return ``outputs`` with a backward pass to ``inputs`` that is the rule."""
    result: Tensor = _Propagate.apply(inputs, outputs, propagation)
    return result


class _PassThrough(torch.autograd.Function):
    """Returns the outputs of an operation; relevance flows back unchanged."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, outputs: Tensor) -> Tensor:
        ctx.shape = inputs.shape
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None]:
        return relevance.sum_to_size(ctx.shape), None


def pass_through(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return ``outputs`` with a backward pass to ``inputs`` that hands relevance on: activations and norms."""
    result: Tensor = _PassThrough.apply(inputs, outputs)
    return result


class _Sum(torch.autograd.Function):
    """A sum whose summands share the relevance in proportion to their values."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        total = first + second
        ctx.save_for_backward(first, second, away_from_zero(total))
        return total

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, Tensor]:
        first, second, total = ctx.saved_tensors
        ratio = relevance / total
        return (first * ratio).sum_to_size(first.shape), (second * ratio).sum_to_size(second.shape)


def shared_sum(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of two results of the network, which share its relevance: residual connections.

    Example:
        >>> a, b = torch.tensor([3.0, 1.0], requires_grad=True), torch.tensor([1.0, 1.0], requires_grad=True)
        >>> shared_sum(a, b).backward(torch.tensor([4.0, 2.0]))
        >>> a.grad, b.grad
        (tensor([3.0000, 1.0000]), tensor([1.0000, 1.0000]))
    """
    result: Tensor = _Sum.apply(first, second)
    return result
