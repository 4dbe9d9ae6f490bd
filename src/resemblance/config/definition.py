"""By whose definition something is computed, where paper and released code differ."""

from __future__ import annotations

from typing import Literal, get_args

Definition = Literal["default", "paper", "released"]
DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
