"""Copies of a model with other prototypes, and with a last layer that is trained again; the model stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch

RATE = 1e-3  # Adam's default


def with_vectors(model: PrototypeModel, vectors: Tensor) -> PrototypeModel:
    """Return a copy of a model with other prototype vectors (P, *shape), which shares all else.

    Args:
        model: stays as it is.
        vectors: of the shape of the model's own.
    """
    layer = copy.deepcopy(model.prototypes)
    with torch.no_grad():
        layer.vectors.copy_(vectors)
    return _with_modules(model, {"prototypes": layer})


def retunes(model: PrototypeModel) -> bool:
    """Check whether a model has a last layer that reads nothing but similarities."""
    return bool(model.traits.head_groups) and bool(_heads(model))


def retuned(models: Sequence[PrototypeModel], batches: Iterable[Batch]) -> list[PrototypeModel]:
    """Return copies of models whose last layers were trained on the batches, one step of Adam for each.

    Args:
        models: they share all but their prototypes, so that latents are computed once.
        batches: of images and labels.
    """
    copies = [_with_modules(model, copy.deepcopy(_heads(model))) for model in models]
    optimizers = []
    for model in copies:
        groups = model.parameter_groups()
        parameters = [parameter for name in model.traits.head_groups for parameter in groups[name]]
        optimizers.append(torch.optim.Adam([part.requires_grad_(True) for part in parameters], lr=RATE))
    for batch in batches:
        with torch.no_grad():
            latents = copies[0].latents(batch.images)
            outputs = [model.head(latents) for model in copies]
        for model, optimizer, output in zip(copies, optimizers, outputs, strict=True):
            parameters = optimizer.param_groups[0]["params"]
            with torch.enable_grad():
                loss = F.cross_entropy(model.rescore(output).scores, batch.labels)
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
    return copies


def _heads(model: PrototypeModel) -> dict[str, nn.Module]:
    """Return the parts of a model that have no parameters but those of its last layer, by name."""
    groups = model.parameter_groups()
    own = {id(parameter) for name in model.traits.head_groups for parameter in groups.get(name, [])}
    heads = {}
    for name, module in model.named_children():
        parameters = list(module.parameters())
        if parameters and all(id(parameter) in own for parameter in parameters):
            heads[name] = module
    return heads


def _with_modules(model: PrototypeModel, modules: dict[str, nn.Module]) -> PrototypeModel:
    copied = copy.copy(model)
    copied.__dict__["_modules"] = {**model._modules, **modules}
    return copied
