"""The case of deformable, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case(
    {
        **{"encoder": "small", "prototypes_per_class": 2, "offset_channels": 4, "last_epochs": 1},
        **{"warm_epochs": 1, "encoder_epochs": 1, "joint_epochs": 2},
    },
    # Next to a feature of zero, the root is so steep that rounding errors grow: with the add-on's sigmoid no feature
    # is zero, and a few steps are too few for Adam to do the same.
    alike={"addon": "regular", "prototype_depth": 8, "joint_epochs": 1, "encoder_epochs": 0},
    command="--encoder small --prototypes-per-class 2 --offset-channels 4 --upsample 1 --epochs 4",
    page=("Deformable prototypes",),
)

VARIANTS = {
    "deformable": {"encoder": "small", "prototypes_per_class": 2, "offset_channels": 8, "prune": True},
    "deformable released": {
        "encoder": "small",
        "prototypes_per_class": 2,
        "offset_channels": 8,
        "parts": 2,
        "variant": "released",
    },
    "deformable regular": {
        "encoder": "small",
        "prototypes_per_class": 1,
        "addon": "regular",
        "prototype_depth": 8,
        "offset_channels": 8,
        "upsample": 1,
    },
}
