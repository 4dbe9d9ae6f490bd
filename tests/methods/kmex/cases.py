"""The case of kmex, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case({"encoder": "small", "prototypes_per_class": 2}, epochs=4, command="--encoder small --epochs 2")

VARIANTS = {
    "kmex": {"encoder": "small", "prototypes_per_class": 3},
    "kmex released": {"encoder": "small", "prototypes_per_class": 3, "variant": "released"},
    "kmex patches": {"encoder": "small", "prototypes_per_class": 2, "patches": True},
}
