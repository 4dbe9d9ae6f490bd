"""Replace and remove parts of a network."""

from __future__ import annotations

from torch import nn


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
    new.weight.data = old.weight.data.sum(1, keepdim=True)
    if old.bias is not None and new.bias is not None:
        new.bias.data = old.bias.data
    replace(network, path, new)
