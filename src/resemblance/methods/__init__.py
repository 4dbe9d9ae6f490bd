"""The methods, and all that the author of one needs, in one import.

Each name is imported when it is first used (PEP 562): a configuration can be written, and a method's options shown,
without importing torch. The methods of this library are here too, models and configurations:
``from resemblance.methods import ProtoPNet, ProtoPNetConfig``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resemblance.config.lazy import import_name

if TYPE_CHECKING:
    from resemblance.config.encoder import EncoderConfig
    from resemblance.config.errors import UserError
    from resemblance.config.image import ImageSpec
    from resemblance.config.method import MethodConfig
    from resemblance.config.model import ModelSpec
    from resemblance.config.options import option
    from resemblance.config.words import Words
    from resemblance.core.distributed import gather
    from resemblance.core.model import Model
    from resemblance.core.output import Evidence, Match, Output, Paths
    from resemblance.core.recipe import Group, Recipe, Schedule, Stage
    from resemblance.core.training_step import TrainingStep
    from resemblance.encoders.addon import AddOn
    from resemblance.encoders.base import Encoder
    from resemblance.encoders.build import build_encoder, check_map
    from resemblance.methods.paper_figures import FigureInputs, PaperFigure
    from resemblance.methods.registry import build, get_config, list_methods, register
    from resemblance.methods.weighted_parts.config import WeightedPartsConfig
    from resemblance.methods.weighted_parts.model import WeightedParts
    from resemblance.prototypes.layer import Prototypes
    from resemblance.prototypes.maps import cell_boxes, percentile_boxes, upsample
    from resemblance.prototypes.precision import full_precision
    from resemblance.prototypes.similarity import (
        linear_similarity,
        log_similarity,
        nearest_distances,
        nearest_patches,
        pairwise_distances,
        pairwise_squared,
        squared_distances,
    )
    from resemblance.training.ends.actions import ActionContext, action
    from resemblance.training.ends.gallery import build_gallery
    from resemblance.training.ends.passes import evaluating, latents_of, training_images

_HOMES = {
    "ActionContext": "training.ends.actions",
    "AddOn": "encoders.addon",
    "Encoder": "encoders.base",
    "EncoderConfig": "config.encoder",
    "Evidence": "core.output",
    "FigureInputs": "methods.paper_figures",
    "Group": "core.recipe",
    "ImageSpec": "config.image",
    "Match": "core.output",
    "MethodConfig": "config.method",
    "Model": "core.model",
    "ModelSpec": "config.model",
    "Output": "core.output",
    "PaperFigure": "methods.paper_figures",
    "Paths": "core.output",
    "Prototypes": "prototypes.layer",
    "Recipe": "core.recipe",
    "Schedule": "core.recipe",
    "Stage": "core.recipe",
    "TrainingStep": "core.training_step",
    "UserError": "config.errors",
    "WeightedParts": "methods.weighted_parts.model",
    "WeightedPartsConfig": "methods.weighted_parts.config",
    "Words": "config.words",
    "action": "training.ends.actions",
    "build": "methods.registry",
    "build_encoder": "encoders.build",
    "build_gallery": "training.ends.gallery",
    "cell_boxes": "prototypes.maps",
    "check_map": "encoders.build",
    "evaluating": "training.ends.passes",
    "full_precision": "prototypes.precision",
    "gather": "core.distributed",
    "get_config": "methods.registry",
    "latents_of": "training.ends.passes",
    "linear_similarity": "prototypes.similarity",
    "list_methods": "methods.registry",
    "log_similarity": "prototypes.similarity",
    "nearest_distances": "prototypes.similarity",
    "nearest_patches": "prototypes.similarity",
    "option": "config.options",
    "pairwise_distances": "prototypes.similarity",
    "pairwise_squared": "prototypes.similarity",
    "percentile_boxes": "prototypes.maps",
    "register": "methods.registry",
    "squared_distances": "prototypes.similarity",
    "training_images": "training.ends.passes",
    "upsample": "prototypes.maps",
}

__all__ = [
    "ActionContext",
    "AddOn",
    "Encoder",
    "EncoderConfig",
    "Evidence",
    "FigureInputs",
    "Group",
    "ImageSpec",
    "Match",
    "MethodConfig",
    "Model",
    "ModelSpec",
    "Output",
    "PaperFigure",
    "Paths",
    "Prototypes",
    "Recipe",
    "Schedule",
    "Stage",
    "TrainingStep",
    "UserError",
    "WeightedParts",
    "WeightedPartsConfig",
    "Words",
    "action",
    "build",
    "build_encoder",
    "build_gallery",
    "cell_boxes",
    "check_map",
    "evaluating",
    "full_precision",
    "gather",
    "get_config",
    "latents_of",
    "linear_similarity",
    "list_methods",
    "log_similarity",
    "nearest_distances",
    "nearest_patches",
    "option",
    "pairwise_distances",
    "pairwise_squared",
    "percentile_boxes",
    "register",
    "squared_distances",
    "training_images",
    "upsample",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name[:1].isupper():
        from resemblance.methods.registry import find_class

        if (value := find_class(name)) is not None:
            return value
    return import_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
