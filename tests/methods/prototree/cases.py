"""The case of prototree, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case(
    {"encoder": "small", "depth": 3, "prototype_depth": 8},
    epochs=4,
    command="--encoder small --epochs 4 --prototype-depth 16 --depth 4",
    measured=dict.fromkeys(
        ("sample_max accuracy", "sample_max fidelity", "greedy accuracy", "greedy fidelity"), 0.0
    ),
    explained=("path 1: ", "has part"),
    page=("The tree", "Greedy fidelity"),
)

VARIANTS = {
    "prototree": {"encoder": "small", "prototype_depth": 16},
    "prototree log": {
        "encoder": "small",
        "prototype_depth": 16,
        "log_probabilities": True,
        "variant": "released",
    },
    "prototree 2x2 with trained leaves": {
        "encoder": "small",
        "prototype_depth": 8,
        "prototype_height": 2,
        "prototype_width": 2,
        "leaves": "trained",
        "depth": 3,
    },
    "prototree greedy": {"encoder": "small", "prototype_depth": 8, "inference": "greedy"},
    "prototree sample_max": {"encoder": "small", "prototype_depth": 8, "inference": "sample_max"},
}
