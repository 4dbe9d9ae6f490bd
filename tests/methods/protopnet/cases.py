"""The case of protopnet, and its variants."""

from __future__ import annotations

from case import Case
from methods.weighted_parts import LINEAR, PARTS, QUICK_PARTS

CASE = Case({**PARTS, "prune": True}, alike=LINEAR, command=QUICK_PARTS + " --prune")

VARIANTS = {
    "protopnet": {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 16, "prune": True},
    "protopnet 2x2": {
        "encoder": "small",
        "prototypes_per_class": 1,
        "prototype_depth": 8,
        "prototype_height": 2,
        "prototype_width": 2,
    },
    "protopnet linear": {"encoder": "small", "prototypes_per_class": 2, "similarity": "linear"},
    "protopnet avg": {"encoder": "small", "prototypes_per_class": 2, "pool": "avg", "addon": "none"},
}
