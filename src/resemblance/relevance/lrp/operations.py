"""Which rule belongs to which torch function.

The composite is that of the papers (Gautam et al. 2023, PRP): the box rule at the first layer, the z⁺ rule in
convolutions, the ε rule in linear layers, batch norm merged into the layer that it follows, shares in proportion to the
summands at sums and means, and the winner alone at maxima.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.relevance.lrp.rules import (
    Propagation,
    Term,
    away_from_zero,
    box_terms,
    never_zero,
    positive_terms,
    propagate,
    shared_sum,
    unchanged,
)
from resemblance.relevance.lrp.tracking import Call, NoRuleError, Tracker, tensors

Rule = Callable[[Tracker, Call, list[Any], dict[str, Any], list[Tensor]], Any]


def _arguments(args: list[Any], kwargs: dict[str, Any], *names: str) -> list[Any]:
    """Take the first arguments by position or by name; None where they are missing."""
    return [args.pop(0) if args else kwargs.pop(name, None) for name in names]


def weighted(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Tensor:
    """Propagate through a convolution or a linear layer."""
    inputs, weight, bias = _arguments(args, kwargs, "input", "weight", "bias")
    if inputs.requires_grad is False or len(tracked) > 1:
        raise NoRuleError(
            f"relevance has no rule for a {function.__name__} whose weights depend on the image"
        )

    def operation(x: Tensor, w: Tensor | None) -> Tensor:
        outputs: Tensor = function(x, w, None, *args, **kwargs)
        return outputs

    if not tracker.biases:
        bias = None
    with torch.no_grad():
        outputs = function(inputs, weight, bias, *args, **kwargs)
    known, plain = tracker.known(inputs), inputs.detach()
    whole = function is not F.linear and (args[3] if len(args) > 3 else kwargs.get("groups", 1)) == 1
    if known.bounds is not None:
        low, high = known.bounds
        if tracker.definition == "released":
            low, high = low.amin().expand_as(low), high.amax().expand_as(high)
        propagation = Propagation(operation, box_terms(plain, low, high), weight, joined=whole)
    elif function is F.linear:
        # The bias stays in the denominator, so it absorbs relevance.
        offset = None if bias is None else bias.detach()
        propagation = Propagation(operation, [Term(plain, unchanged)], weight, offset=offset, keeps_bias=True)
    else:
        terms = positive_terms(plain, known.not_negative)
        propagation = Propagation(operation, terms, weight, never_zero, joined=whole)
    return tracker.note(propagate(inputs, outputs, propagation), propagation=propagation)


def batch_norm(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Tensor:
    """Merge a batch norm with the layer that it directly follows; elsewhere relevance passes through it."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    inputs, mean, variance, weight, bias, *_, eps = _arguments(list(args), dict(kwargs), *names)
    if variance is None:
        raise NoRuleError(
            "relevance has no rule for a batch norm that computes its statistics from the batch"
        )
    scale = (variance + (1e-5 if eps is None else eps)).rsqrt().detach()
    scale = scale if weight is None else scale * weight.detach()
    shift = (0 if bias is None else bias.detach()) - mean * scale
    propagation = tracker.known(inputs).propagation
    if propagation is not None:
        propagation.scale = scale
        if tracker.biases and propagation.keeps_bias:
            propagation.offset = shift + (0 if propagation.offset is None else propagation.offset * scale)
    if not tracker.biases:  # batch norm without what it adds
        return tracker.handed_on(_scaled, [inputs, scale], {}, inputs)
    return tracker.handed_on(function, args, kwargs, inputs)


def _scaled(inputs: Tensor, scale: Tensor) -> Tensor:
    return inputs * scale.reshape(-1, *[1] * (inputs.dim() - 2))


def activation(not_negative: bool | None = None, gate: bool = False) -> Rule:
    """Return the rule of an operation through which relevance passes, number by number.

    Args:
        not_negative: whether no result is negative; None: if no input is.
        gate: whether the results are factors, between 0 and 1 or −1 and 1.
    """

    def rule(
        tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
    ) -> Tensor:
        kept = tracker.known(tracked[0]).not_negative if not_negative is None else not_negative
        return tracker.handed_on(function, args, kwargs, tracked[0], not_negative=kept, gate=gate)

    return rule


def average(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Tensor:
    """Share relevance in proportion to the numbers that are averaged or added up."""
    inputs, known = tracked[0], tracker.known(tracked[0])

    def operation(x: Tensor, w: Tensor | None) -> Tensor:
        outputs: Tensor = function(x, *args[1:], **rest)
        return outputs

    rest = {key: value for key, value in kwargs.items() if key not in ("input", "self")}
    with torch.no_grad():
        outputs = operation(inputs, None)
    propagation = Propagation(operation, [Term(inputs.detach())], stabilise=away_from_zero)
    result = propagate(inputs, outputs, propagation)
    return tracker.through(operation, [inputs, None], {}, inputs, result, not_negative=known.not_negative)


def addition(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Any:
    """Share relevance between two results of the network; a constant takes none."""
    if len(tracked) == 1:
        return tracker.handed_on(function, args, kwargs, tracked[0])
    alpha = kwargs.get("alpha", 1)
    first, second = tracked
    if function.__name__.strip("_").endswith("sub"):
        alpha = -alpha
    if alpha != 1:
        raise NoRuleError("relevance has no rule for a difference of two results of the network")
    positive = tracker.known(first).not_negative and tracker.known(second).not_negative
    return tracker.note(shared_sum(first, second), not_negative=positive)


def product(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Any:
    """Hand relevance to the numbers that are scaled: constants and gates (Arras et al. 2017) take none."""
    if len(tracked) == 1:
        return tracker.handed_on(function, args, kwargs, tracked[0])
    signals = [t for t in tracked if not tracker.known(t).gate]
    if len(signals) != 1:
        signals = [t for t in tracked if t.numel() == max(t.numel() for t in tracked)]
    if len(signals) != 1:
        raise NoRuleError("relevance has no rule for a product of two results of the network")
    return tracker.handed_on(function, args, kwargs, signals[0])


def division(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Any:
    """Hand relevance to the dividend; what it is divided by counts as constant."""
    dividend, divisor = args[0], args[1]
    if not (isinstance(dividend, Tensor) and dividend.requires_grad):
        return constant(tracker, function, args, kwargs, tracked)
    if isinstance(divisor, Tensor):
        args = [dividend, divisor.detach(), *args[2:]]
    return tracker.handed_on(function, args, kwargs, dividend)


def constant(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Any:
    """Compute a number that relevance does not pass, such as the length that a vector is divided by."""
    with torch.no_grad():
        return function(*args, **kwargs)


def rearrangement(
    tracker: Tracker, function: Call, args: list[Any], kwargs: dict[str, Any], tracked: list[Tensor]
) -> Any:
    """Move numbers: the ordinary backward pass moves relevance back, and to the winner at a maximum."""
    result = function(*args, **kwargs)
    outputs = tensors(result)
    positive = all(tracker.known(t).not_negative for t in tracked)
    if len(tracked) > 1 or len(outputs) != 1 or not isinstance(result, Tensor):
        for output in outputs:
            tracker.note(output, not_negative=positive)
        return result
    known = tracker.known(tracked[0])
    return tracker.through(function, args, kwargs, tracked[0], result, not_negative=positive, gate=known.gate)


def _names(text: str) -> list[str]:
    return text.split()


# Activations that are never negative, those that are factors, and the others.
_NOT_NEGATIVE = _names("relu relu6 abs softplus threshold")
_GATES = _names("sigmoid hardsigmoid tanh softmax")
_SIGNED = _names("leaky_relu prelu elu selu celu gelu silu mish hardswish hardtanh clamp clamp_min clamp_max")
_NORMS = _names("layer_norm group_norm instance_norm normalize neg")
_AVERAGES = _names("avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d mean sum")
_CONSTANTS = _names(
    """
    square sqrt rsqrt pow norm vector_norm linalg_vector_norm var std exp log reciprocal rsub
    detach argmax floor long int bool eq ne lt le gt ge isnan isinf isfinite logical_not
    """
)
_REARRANGEMENTS = _names(
    """
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices adaptive_max_pool2d interpolate pad dropout dropout1d
    dropout2d feature_dropout alpha_dropout flatten unflatten ravel reshape view view_as permute transpose t movedim
    swapaxes squeeze unsqueeze contiguous clone cat concat stack split split_with_sizes tensor_split chunk unbind
    getitem get narrow select index_select unfold expand expand_as broadcast_to repeat flip roll pixel_shuffle
    pixel_unshuffle channel_shuffle float double half bfloat16 to type type_as boolean_dispatch
    """
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), weighted),
    "batch_norm": batch_norm,
    **dict.fromkeys(_NOT_NEGATIVE, activation(not_negative=True)),
    **dict.fromkeys(_GATES, activation(gate=True)),
    **dict.fromkeys(_SIGNED, activation()),
    **dict.fromkeys(_NORMS, activation(not_negative=False)),
    **dict.fromkeys(_AVERAGES, average),
    **dict.fromkeys(("add", "sub"), addition),
    "mul": product,
    **dict.fromkeys(("div", "truediv", "true_divide"), division),
    **dict.fromkeys(_CONSTANTS, constant),
    **dict.fromkeys(_REARRANGEMENTS, rearrangement),
}
