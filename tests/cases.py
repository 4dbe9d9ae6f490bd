"""Every method as a case of the tests that every method must pass.

A method has its case and its variants in ``methods/NAME/cases.py``: ``CASE``, how it is trained, and
``VARIANTS``, its main switches by name, on which ``test_contract.py`` runs the contract.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from case import Case
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.methods.registry import build, get_config, list_methods, model_class
from resemblance.training.engine.fit import FitResult, fit
from tiny import CLASSES, digits

METHODS = list_methods()
OPTIONS = {"accumulate": 2, "checkpoint_every_steps": 4}
SPEC = ModelSpec(CLASSES, ImageSpec(16, 16, 1, (0.3,), (0.35,)))
# Imported by name, not by path: processes that are spawned must find what the models are made of.
GATHERED = {
    file.parent.name: import_module(f"methods.{file.parent.name}.cases")
    for file in sorted(Path(__file__).parent.glob("methods/*/cases.py"))
}
CASES: dict[str, Case] = {method: module.CASE for method, module in GATHERED.items()}
# By name: the method and its settings.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (method, settings)
    for method, module in GATHERED.items()
    for name, settings in module.VARIANTS.items()
}
# What tests of prototypes run on; the others are the black box and baselines.
PROTOTYPE_METHODS = [
    method for method in METHODS if issubclass(model_class(get_config(method)), PrototypeModel)
]
PROTOTYPE_VARIANTS = [name for name, (method, _) in VARIANTS.items() if method in PROTOTYPE_METHODS]


def case_of(method: str) -> Case:
    """Return the case of a method; a method without one fails with this line."""
    assert method in CASES, f"{method} is registered but has no case: write tests/methods/{method}/cases.py"
    return CASES[method]


def made(method: str, seed: int = 0, **settings: Any) -> Classifier:
    """Make an untrained model."""
    torch.manual_seed(seed)
    return build(method, {**case_of(method).settings, **settings}, SPEC)


def train(model: Classifier, run: Path, images: int = 96, **options: Any) -> FitResult:
    """Train the model of a case on some digits."""
    config = {"seed": 3, "accelerator": "cpu", "batch_size": 32, "epochs": case_of(model.name).epochs}
    return fit(model, digits(images, 40), run, TrainConfig(**{**config, "progress": False, **options}))


def alike(method: str, **settings: Any) -> Classifier:
    """Make a model that trains in two processes as in one: without batch norm, dropout and draws."""
    model = made(method, **case_of(method).alike, **settings)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.modules.dropout._DropoutNd):
                child.p = 0.0
    remove_draws = case_of(method).remove_draws
    if remove_draws is not None:
        remove_draws(model)
    return model
