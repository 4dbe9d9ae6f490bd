"""The case of protovae, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case(
    {"latent": 6, "prototypes_per_class": 2},
    epochs=4,
    alike={"sample": False, "terms": "means"},
    command="--epochs 1 --latent 32",
    page=("Prototypes, decoded", "their reconstructions", "nearest prototypes", "through training"),
)

VARIANTS = {
    "protovae": {"prototypes_per_class": 2, "latent": 16},
    "protovae released": {
        "prototypes_per_class": 2,
        "latent": 16,
        "variant": "released",
        "architecture": "quickdraw",
    },
    "protovae encoder": {"prototypes_per_class": 1, "latent": 8, "encoder": "small", "architecture": "svhn"},
}
