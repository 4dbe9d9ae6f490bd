"""Configurations made in Python are refused for what the command line refuses."""

from __future__ import annotations

from typing import Any

import pytest

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.methods.flint.config import FLINTConfig
from resemblance.methods.protopnet.config import ProtoPNetConfig
from resemblance.methods.protopshare.config import ProtoPShareConfig
from resemblance.methods.prototree.config import ProtoTreeConfig
from resemblance.methods.senn.config import SENNConfig


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        (TrainConfig, {"seed": -1}, "--seed must be at least 0, not -1"),
        (TrainConfig, {"precision": "8"}, "--precision: '8' is not one of 32-true, bf16-mixed, 16-mixed"),
        (ProtoPNetConfig, {"prototypes_per_class": 0}, "--prototypes-per-class must be at least 1, not 0"),
        (ProtoPNetConfig, {"joint_epochs": -1}, "--joint-epochs must be at least 0, not -1"),
        (ProtoPShareConfig, {"merge_by": "vector"}, "did you mean 'vectors'"),
        (ProtoTreeConfig, {"leaves": "learned"}, "--leaves: 'learned' is not one of counted, trained"),
        (SENNConfig, {"robustness": float("nan")}, "--robustness: not a number"),
        (FLINTConfig, {"sparsity": float("inf")}, "--sparsity: inf is too large"),
        (FLINTConfig, {"variant": "theirs"}, "variant 'theirs' is not offered here"),
    ],
)
def test_forbidden_values(config: type, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        config(**options)
    assert said in str(error.value)
