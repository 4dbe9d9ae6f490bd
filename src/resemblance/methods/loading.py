"""Load models from folders: read them with the store, which does not know methods, and build them by the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.base import Encoder
from resemblance.methods.registry import REGISTRATION_HINT, build, get_config, known_configs, model_class
from resemblance.prototypes.gallery import INDEX, Gallery
from resemblance.store import load_folder


def load(
    path: Path | str, *, module: nn.Module | None = None, allow_import: str | None = None, device: str = "cpu"
) -> Classifier:
    """Load a model from a model folder, from a run folder, or from the Hugging Face Hub.

    Args:
        path: a model folder, a run folder (with ``model/``) or ``owner/name`` on the hub.
        module: your own network, if the model was made around one.
        allow_import: ``package.module:function`` that may be imported, for a model around your own network.
        device: the device of the model.

    Returns:
        The model in evaluation mode. It explains without its training images.

    Raises:
        UserError: if the folder cannot be trusted or does not fit this version, with the reason.
    """
    path = Path(path) if Path(path).exists() else path
    if isinstance(path, Path) and (path / "model").is_dir():
        path = path / "model"
    stored = load_folder(path)
    try:
        method, config = stored.config["method"], stored.config["config"]
        spec = ModelSpec.from_dict(stored.config["spec"])
        facts = dict(stored.config.get("facts", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} has a damaged config.json: {type(error).__name__} {error}") from None
    if method not in known_configs():
        raise UserError(f"{path} holds a model of the unknown method {method!r}: {REGISTRATION_HINT}")
    module = module or _own_module(config, allow_import)
    try:
        renamed = model_class(get_config(method)).renamed_tensors
        tensors = {renamed.get(name, name): tensor for name, tensor in stored.tensors.items()}
        model = build(method, config, spec, module=module, tensors=tensors, load_weights=False)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be rebuilt: {type(error).__name__} {error}") from None
    _load_strictly(model, tensors, path)
    if stored.files:
        gallery = Gallery.from_files(stored.files, f"{path}/{INDEX}")
        count = len(model.prototypes) if isinstance(model, PrototypeModel) else 0
        if len(gallery) != count:
            raise UserError(f"{path} has {count} prototypes, but pictures of {len(gallery)}")
        if isinstance(model, PrototypeModel):
            model.gallery = gallery
    model.facts = facts
    description = stored.config.get("encoder")
    encoder = getattr(model, "encoder", None)
    if isinstance(description, str) and isinstance(encoder, Encoder):
        encoder.description = description
    return model.to(device).eval()


def _own_module(config: Any, allow_import: str | None) -> nn.Module | None:
    """Import the user's own network, but only if the caller names it; a folder alone never imports code."""
    name = config.get("encoder") if isinstance(config, dict) else None
    if not isinstance(name, str) or ":" not in name:
        return None
    if allow_import != name:
        raise UserError(
            f"this model needs your own code, {name}; pass the network (module=...) "
            f"or allow the import (allow_import={name!r}, on the command line --allow-import {name})"
        )
    from resemblance.encoders.from_module import import_module_function

    return import_module_function(name)


def _load_strictly(model: Classifier, tensors: dict[str, Tensor], path: Path | str) -> None:
    expected = model.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    if missing:
        raise UserError(f"{path} lacks {len(missing)} tensors; the first is {missing[0]}")
    if unknown:
        raise UserError(
            f"{path} has {len(unknown)} tensors that the model does not have; the first is {unknown[0]}"
        )
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            raise UserError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, but {tuple(tensor.shape)} was expected"
            )
    _check_finite(model, tensors, path)
    with torch.no_grad():
        model.load_state_dict(tensors, strict=True)


def _check_finite(model: Classifier, tensors: dict[str, Tensor], path: Path | str) -> None:
    """Refuse infinite and NaN values, which make scores NaN or, where only a comparison reads them, wrong.

    A buffer that a newly built model does not fill with finite values may keep such values: NaN stands for what is
    unknown, for instance the distance to a source image, and masks are infinite.
    """
    parameters = {name for name, _ in model.named_parameters()}
    for name, new in model.state_dict().items():
        tensor = tensors[name]
        if not tensor.is_floating_point() or bool(tensor.isfinite().all()):
            continue
        if name in parameters or bool(new.isfinite().all()):
            broken = int((~tensor.isfinite()).sum())
            raise UserError(
                f"{path}: {broken} of {tensor.numel()} values of {name} are infinite or NaN; the model is damaged or "
                "its training has diverged"
            )
