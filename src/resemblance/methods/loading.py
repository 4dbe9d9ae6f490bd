"""Load models from folders: read them with the store, which does not know methods, and build them by the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.files.typed import typed
from resemblance.config.model import DESCRIPTION, FACTS, OPTIONAL, ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.reference import Reference
from resemblance.encoders.base import Encoder
from resemblance.methods.registry import REGISTRATION_HINT, build, get_config, known_configs, model_class
from resemblance.methods.without_memory import built_without_memory
from resemblance.prototypes.gallery import INDEX, Gallery
from resemblance.store import CONFIG, REFERENCE, load_folder

OWN, WRAPPED = "encoder.module.", "encoder.module.module."  # the user's network, and one in DataParallel


def load(
    path: Path | str, *, module: nn.Module | None = None, allow_import: str | None = None, device: str = "cpu"
) -> Classifier:
    """Load a model from a model folder, from a run folder, or from the Hugging Face Hub.

    Args:
        path: a model folder, a run folder (with ``model/``) or ``hf:OWNER/NAME`` for one on the hub.
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
    with _described_by(f"{path}/{CONFIG}"):
        description = typed(stored.config, DESCRIPTION, "model", required=True)
        description = typed(description, OPTIONAL, "model")
        method, config = description["method"], description["config"]
        spec = ModelSpec.from_dict(description["spec"])
        facts = typed(description.get("facts", {}), FACTS, "facts")
    if method not in known_configs():
        raise UserError(f"{path} holds a model of the unknown method {method!r}: {REGISTRATION_HINT}")
    module = module or _own_module(config, allow_import)
    with _described_by(f"{path}/{CONFIG}"):
        kind = model_class(get_config(method))
        facts = typed(facts, kind.fact_types, "facts")
        tensors = {kind.renamed_tensors.get(name, name): tensor for name, tensor in stored.tensors.items()}

        def rebuilt(module: nn.Module | None) -> Classifier:
            return build(method, config, spec, module=module, tensors=tensors, load_weights=False)

        shapes = built_without_memory(rebuilt, module)
    if shapes is not None:
        _check_shapes(shapes, unwrapped_names(tensors, shapes), path)
    with _described_by(f"{path}/{CONFIG}"):
        model = rebuilt(module)
    tensors = unwrapped_names(tensors, model)
    _load_strictly(model, tensors, path)
    if isinstance(model, PrototypeModel) and model.prototypes.owners.shape[1:] != (spec.num_classes,):
        raise UserError(f"{path}: the owners of the prototypes are not for {spec.num_classes} classes")
    reference = stored.files.pop(REFERENCE, None)
    if reference is not None and isinstance(model, PrototypeModel):
        model.reference = Reference.from_file(reference, spec.num_classes, f"{path}/{REFERENCE}")
    if stored.files:
        gallery = Gallery.from_files(stored.files, f"{path}/{INDEX}")
        count = len(model.prototypes) if isinstance(model, PrototypeModel) else 0
        if len(gallery) != count:
            raise UserError(f"{path} has {count} prototypes, but pictures of {len(gallery)}")
        if isinstance(model, PrototypeModel):
            model.gallery = gallery
    model.facts = facts
    encoder = getattr(model, "encoder", None)
    if description.get("encoder") is not None and isinstance(encoder, Encoder):
        encoder.description = description["encoder"]
    return model.to(device).eval()


def unwrapped_names(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model around a DataParallel network, which earlier versions did not take out of it."""
    expected = model.state_dict().keys()
    if tensors.keys() == expected:
        return tensors
    renamed = {name.replace(WRAPPED, OWN, 1): tensor for name, tensor in tensors.items()}
    return renamed if renamed.keys() == expected else tensors


@contextmanager
def _described_by(file: str) -> Iterator[None]:
    """Name the file in an error about its content, whatever a model makes of values that nobody has written so."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: no model can be built from it: {type(error).__name__} {reason}") from error


def _own_module(config: dict[str, Any], allow_import: str | None) -> nn.Module | None:
    """Import the user's own network, but only if the caller names it; a folder alone never imports code."""
    name = config.get("encoder")
    if not isinstance(name, str) or ":" not in name:
        return None
    if allow_import != name:
        raise UserError(
            f"this model needs your own code, {name}; pass the network (module=...) "
            f"or allow the import (allow_import={name!r}, on the command line --allow-import {name})"
        )
    from resemblance.encoders.from_module import import_module_function

    return import_module_function(name)


def _check_shapes(model: Classifier, tensors: dict[str, Tensor], path: Path | str) -> None:
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


def _load_strictly(model: Classifier, tensors: dict[str, Tensor], path: Path | str) -> None:
    _check_shapes(model, tensors, path)
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
