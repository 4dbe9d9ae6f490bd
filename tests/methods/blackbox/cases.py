"""The case of blackbox, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case({"encoder": "small"}, epochs=4, command="--encoder small --epochs 2")

VARIANTS = {
    "blackbox": {"encoder": "small"},
}
