"""The case of autoencoder, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case({}, epochs=4, command="--epochs 4")

VARIANTS = {"autoencoder": {}, "autoencoder without decoder": {"decoder": False}}
