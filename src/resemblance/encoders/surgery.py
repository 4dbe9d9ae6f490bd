"""Replace and remove parts of a network."""

from __future__ import annotations

from torch import Tensor, nn


def replace(network: nn.Module, path: str, part: nn.Module) -> nn.Module:
    """Replace the module at a dotted path by ``part``; return the old module.

    Example:
        >>> network = nn.Sequential(nn.ReLU(), nn.Linear(2, 3))
        >>> replace(network, "1", nn.Identity())
        Linear(in_features=2, out_features=3, bias=True)
    """
    parent, _, name = path.rpartition(".")
    owner = network.get_submodule(parent)
    old = owner.get_submodule(name)
    setattr(owner, name, part)
    return old


def drop_unused(network: nn.Module, used: set[nn.Parameter]) -> None:
    """Replace every part that has parameters, none of which are used, by an identity.

    Unused parameters of a used module get no gradient instead.
    """
    for name, child in network.named_children():
        parameters = list(child.parameters())
        if parameters and not used.intersection(parameters):
            setattr(network, name, nn.Identity())
        elif parameters:
            drop_unused(child, used)
    for parameter in network.parameters(recurse=False):
        if parameter not in used:
            parameter.requires_grad_(False)


def grey_weight(weight: Tensor) -> Tensor:
    """Sum a first convolution's weight (out, 3, h, w) over the colours, as timm does for its own weights.

    Example:
        >>> import torch
        >>> grey_weight(torch.ones(8, 3, 7, 7)).shape
        torch.Size([8, 1, 7, 7])
    """
    from timm.models import adapt_input_conv  # slow to import, and only needed for other weights

    grey: Tensor = adapt_input_conv(1, weight)
    return grey


def grey_first_convolution(network: nn.Module) -> None:
    """Let a network for RGB read grey images, by summing its first convolution over the three channels."""
    first = next((item for item in network.named_modules() if isinstance(item[1], nn.Conv2d)), None)
    if first is None:
        return
    path, old = first
    assert isinstance(old, nn.Conv2d)
    new = nn.Conv2d(
        1,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    new.weight.data = grey_weight(old.weight.data)
    if old.bias is not None and new.bias is not None:
        new.bias.data = old.bias.data
    replace(network, path, new)
