"""The case of senn, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case(
    {"concepts": 4, "directions": 2},
    epochs=4,
    alike={"directions": 0, "dropout": 0.0},
    command="--epochs 1 --directions 2",
    page=("Concepts", "What concepts do for classes", "reconstructions", "Stability"),
)

VARIANTS = {
    "senn": {},
    "senn released": {"variant": "released"},
    "senn positive": {"concepts": 5, "positive": True, "robustness": 0.0, "directions": 2},
}
