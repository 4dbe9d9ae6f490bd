"""The case of prototypedl, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case({}, epochs=4, command="--epochs 4", page=("through training", "their reconstructions"))

VARIANTS = {
    "prototypedl": {},
    "prototypedl released": {"variant": "released"},
    "prototypedl fixed": {"fixed_weights": True},
}
