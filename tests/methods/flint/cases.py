"""The case of flint, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case(
    # Two stages, the second with a new optimiser.
    {"encoder": "mnist", "setting": "cifar", "attributes": 6},
    epochs=4,
    command="--epochs 6 --image-size 12",
    measured={"accuracy of the predictor": 0.8, "fidelity": 0.1},  # six short epochs are few
    page=("Relevance of attributes to classes", "Local explanations", "Conciseness", "Fidelity, test"),
)

VARIANTS = {
    "flint": {"encoder": "mnist", "attributes": 7},
    "flint released": {"encoder": "mnist", "attributes": 7, "variant": "released"},
    "flint small": {"encoder": "small"},
}
