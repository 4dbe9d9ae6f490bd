"""The case of protopshare, and its variants."""

from __future__ import annotations

from case import Case
from methods.weighted_parts import LINEAR, PARTS, QUICK_PARTS

CASE = Case(
    {**PARTS, "joint_epochs": 1, "tune_epochs": 1, "rounds": 2, "keep": 0.4},
    alike=LINEAR,
    command=QUICK_PARTS + " --rounds 2",
    page=("Merged prototypes", "Classes that share prototypes"),
)

VARIANTS = {
    "protopshare": {
        "encoder": "small",
        "prototypes_per_class": 2,
        "prototype_depth": 16,
        "rounds": 2,
        "keep": 0.4,
    },
    "protopshare released": {
        "encoder": "small",
        "prototypes_per_class": 2,
        "prototype_depth": 8,
        "merge": 0.5,
        "variant": "released",
    },
    "protopshare vectors": {
        "encoder": "small",
        "prototypes_per_class": 2,
        "pool": "avg",
        "addon": "none",
        "merge_by": "vectors",
    },
}
