"""Run a network on images without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode inside the block; restore the mode of each module afterwards.

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3).eval())
        >>> with evaluating(network):
        ...     print([module.training for module in network])
        [False, False]
        >>> [module.training for module in network]
        [True, False]
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def without_gradients(network: nn.Module) -> Iterator[None]:
    """Let no parameter require a gradient inside the block.

    Example:
        >>> network = nn.Linear(2, 2)
        >>> with without_gradients(network):
        ...     print(network.weight.requires_grad)
        False
        >>> network.weight.requires_grad
        True
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def used_parameters(
    network: nn.Module, images: Tensor, compute: Callable[[Tensor], Tensor]
) -> set[nn.Parameter]:
    """Return the parameters that receive a gradient from ``compute(images)``.

    Args:
        network: the module with the parameters; its gradients stay unchanged.
        images: one batch.
        compute: computes a tensor from the batch.
    """
    parameters = list(network.parameters())
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        with evaluating(network), torch.enable_grad():
            gradients = torch.autograd.grad(compute(images).sum(), parameters, allow_unused=True)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    pairs = zip(parameters, gradients, strict=True)
    return {parameter for parameter, gradient in pairs if gradient is not None}
