"""The case of tesnet, and its variants."""

from __future__ import annotations

from case import Case
from methods.weighted_parts import PARTS, QUICK_PARTS

CASE = Case({**PARTS, "prune": True}, command=QUICK_PARTS + " --prune", page=("Subspaces",))

VARIANTS = {
    "tesnet": {"encoder": "small", "prototypes_per_class": 2, "prune": True},
    "tesnet released": {
        "encoder": "small",
        "prototypes_per_class": 2,
        "addon": "none",
        "variant": "released",
    },
}
