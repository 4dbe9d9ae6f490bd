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
    from resemblance.core.output import Evidence, Output, Paths
    from resemblance.core.recipe import Group, Recipe, Schedule, Stage
    from resemblance.core.training_step import TrainingStep
    from resemblance.core.traits import Traits
    from resemblance.encoders.addon import AddOn
    from resemblance.encoders.base import Encoder
    from resemblance.encoders.build import build_encoder, check_map
    from resemblance.methods.base import Method, PrototypeMethod
    from resemblance.methods.paper_figures import FigureInputs, PaperFigure
    from resemblance.methods.registry import build, get_config, list_methods, register
    from resemblance.methods.weighted_parts.config import WeightedPartsConfig
    from resemblance.methods.weighted_parts.model import WeightedParts
    from resemblance.prototypes.comparison import Comparison, Match, Places
    from resemblance.prototypes.geometry import Geometry, InnerProduct, SquaredDistance
    from resemblance.prototypes.layer import PrototypeLayer
    from resemblance.prototypes.maps import cell_boxes, peak_boxes, percentile_boxes, upsample
    from resemblance.prototypes.precision import full_precision, widened
    from resemblance.prototypes.scalars import ScalarPrototypes
    from resemblance.prototypes.similarity import (
        linear_similarity,
        log_similarity,
        nearest_patches,
        pairwise_distances,
        pairwise_squared,
        squared_distances,
    )
    from resemblance.prototypes.vectors import VectorPrototypes
    from resemblance.training.devices.pool import map_over_devices
    from resemblance.training.ends.actions import ActionContext, action
    from resemblance.training.ends.gallery import build_gallery
    from resemblance.training.ends.passes import latents_of, training_images

_HOMES = {
    "ActionContext": "training.ends.actions",
    "AddOn": "encoders.addon",
    "Comparison": "prototypes.comparison",
    "Encoder": "encoders.base",
    "EncoderConfig": "config.encoder",
    "Evidence": "core.output",
    "FigureInputs": "methods.paper_figures",
    "Geometry": "prototypes.geometry",
    "Group": "core.recipe",
    "ImageSpec": "config.image",
    "InnerProduct": "prototypes.geometry",
    "Match": "prototypes.comparison",
    "Method": "methods.base",
    "MethodConfig": "config.method",
    "ModelSpec": "config.model",
    "Output": "core.output",
    "PaperFigure": "methods.paper_figures",
    "Paths": "core.output",
    "Places": "prototypes.comparison",
    "PrototypeLayer": "prototypes.layer",
    "PrototypeMethod": "methods.base",
    "Recipe": "core.recipe",
    "ScalarPrototypes": "prototypes.scalars",
    "Schedule": "core.recipe",
    "SquaredDistance": "prototypes.geometry",
    "Stage": "core.recipe",
    "TrainingStep": "core.training_step",
    "Traits": "core.traits",
    "UserError": "config.errors",
    "VectorPrototypes": "prototypes.vectors",
    "WeightedParts": "methods.weighted_parts.model",
    "WeightedPartsConfig": "methods.weighted_parts.config",
    "Words": "config.words",
    "action": "training.ends.actions",
    "build": "methods.registry",
    "build_encoder": "encoders.build",
    "build_gallery": "training.ends.gallery",
    "cell_boxes": "prototypes.maps",
    "check_map": "encoders.build",
    "full_precision": "prototypes.precision",
    "gather": "core.distributed",
    "get_config": "methods.registry",
    "latents_of": "training.ends.passes",
    "linear_similarity": "prototypes.similarity",
    "list_methods": "methods.registry",
    "log_similarity": "prototypes.similarity",
    "map_over_devices": "training.devices.pool",
    "nearest_patches": "prototypes.similarity",
    "option": "config.options",
    "pairwise_distances": "prototypes.similarity",
    "pairwise_squared": "prototypes.similarity",
    "peak_boxes": "prototypes.maps",
    "percentile_boxes": "prototypes.maps",
    "register": "methods.registry",
    "squared_distances": "prototypes.similarity",
    "training_images": "training.ends.passes",
    "upsample": "prototypes.maps",
    "widened": "prototypes.precision",
}

__all__ = [
    "ActionContext",
    "AddOn",
    "Comparison",
    "Encoder",
    "EncoderConfig",
    "Evidence",
    "FigureInputs",
    "Geometry",
    "Group",
    "ImageSpec",
    "InnerProduct",
    "Match",
    "Method",
    "MethodConfig",
    "ModelSpec",
    "Output",
    "PaperFigure",
    "Paths",
    "Places",
    "PrototypeLayer",
    "PrototypeMethod",
    "Recipe",
    "ScalarPrototypes",
    "Schedule",
    "SquaredDistance",
    "Stage",
    "TrainingStep",
    "Traits",
    "UserError",
    "VectorPrototypes",
    "WeightedParts",
    "WeightedPartsConfig",
    "Words",
    "action",
    "build",
    "build_encoder",
    "build_gallery",
    "cell_boxes",
    "check_map",
    "full_precision",
    "gather",
    "get_config",
    "latents_of",
    "linear_similarity",
    "list_methods",
    "log_similarity",
    "map_over_devices",
    "nearest_patches",
    "option",
    "pairwise_distances",
    "pairwise_squared",
    "peak_boxes",
    "percentile_boxes",
    "register",
    "squared_distances",
    "training_images",
    "upsample",
    "widened",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name[:1].isupper():
        from resemblance.methods.registry import find_class

        if (value := find_class(name)) is not None:
            return value
    return import_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
