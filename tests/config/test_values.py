"""Test the values that fields accept and refuse, from the command line, YAML and Python."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from resemblance.config.commands import COMMANDS
from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.config.training import TrainConfig
from resemblance.config.values import convert
from resemblance.methods.blackbox.config import BlackBoxConfig
from resemblance.methods.flint.config import FLINTConfig
from resemblance.methods.kmex.config import KMExConfig
from resemblance.methods.pipnet.config import PIPNetConfig
from resemblance.methods.protopnet.config import ProtoPNetConfig
from resemblance.methods.protopool.config import ProtoPoolConfig
from resemblance.methods.protopshare.config import ProtoPShareConfig
from resemblance.methods.prototree.config import ProtoTreeConfig
from resemblance.methods.registry import known_configs
from resemblance.methods.senn.config import SENNConfig


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (TrainConfig, {"seed": -1}, "--seed must be at least 0, not -1"),
        (TrainConfig, {"precision": "8"}, "--precision: '8' is not one of 32-true, bf16-mixed, 16-mixed"),
        (ProtoPNetConfig, {"prototypes_per_class": 0}, "--prototypes-per-class must be at least 1, not 0"),
        (ProtoPNetConfig, {"joint_epochs": -1}, "--joint-epochs must be at least 0, not -1"),
        (ProtoPShareConfig, {"merge_by": "vector"}, "did you mean 'vectors'"),
        (ProtoTreeConfig, {"leaves": "learned"}, "--leaves: 'learned' is not one of counted, trained"),
        (SENNConfig, {"robustness": float("nan")}, "--robustness: not a number"),
        (SENNConfig, {"dropout": 1.0}, "--dropout must be below 1, not 1.0"),
        (KMExConfig, {"rate": -1.0}, "--rate must be above 0, not -1.0"),
        (BlackBoxConfig, {"weight_decay": -1e-4}, "--weight-decay must be at least 0, not -0.0001"),
        (BlackBoxConfig, {"label_smoothing": 1.0}, "--label-smoothing must be below 1, not 1.0"),
        (PIPNetConfig, {"rate": 0.0}, "--rate must be above 0, not 0.0"),
        (PIPNetConfig, {"view_strength": 1.5}, "--view-strength must be at most 1, not 1.5"),
        (ProtoPoolConfig, {"rate": 0.0}, "--rate must be above 0, not 0.0"),
        (ProtoTreeConfig, {"depth": 15}, "--depth must be at most 14, not 15"),
        (ProtoTreeConfig, {"prune_threshold": 1.0}, "--prune-threshold must be below 1, not 1.0"),
        (FLINTConfig, {"sparsity": float("inf")}, "--sparsity: inf is too large"),
        (
            FLINTConfig,
            {"variant": "theirs"},
            "--variant: this method has no variant 'theirs'; choose from paper, released",
        ),
    ],
)
def test_forbidden_values(config: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        config(**options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3", int, 3),
        (3.0, int, 3),
        ("1e-3", float, 1e-3),
        (1, float, 1.0),
        ("null", str | None, "null"),
        (None, str | None, None),
        ("28", int | tuple[int, int] | None, 28),
        ("28, 32", int | tuple[int, int] | None, (28, 32)),
        ([28, 32], int | tuple[int, int] | None, (28, 32)),
        ("(0.5, 0.25)", tuple[float, ...], (0.5, 0.25)),
        (0.5, tuple[float, ...] | None, (0.5,)),
        (["a, b", "c"], tuple[str, ...], ("a, b", "c")),
        (["a", "b"], list[str], ["a", "b"]),
        ("~/runs", Path | None, Path.home() / "runs"),
        ({"a": [1]}, dict[str, Any] | None, {"a": [1]}),
        (True, bool, True),
    ],
)
def test_values_of_each_type(value: Any, kind: Any, expected: Any) -> None:
    result = convert(value, kind)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("3.5", int | None, "expected a whole number or null, not '3.5'"),
        (3.5, int, "expected a whole number, not 3.5"),
        (float("inf"), int, "expected a whole number, not inf"),
        (True, int, "expected a whole number, not True"),
        (10**400, float, "expected a number, not 1000"),
        ("yes", bool, "expected true or false, not 'yes'"),
        (1, bool, "expected true or false, not 1"),
        (8, str, "expected text, not 8 (put it into quotes)"),
        (None, str, "expected text, not None"),
        ("", Path, "expected a path, not ''"),
        (
            [1, 2, 3],
            int | tuple[int, int],
            "expected a whole number or 2 values separated by commas (each a whole",
        ),
        ("a,0.5", tuple[float, ...], "expected a number, not 'a'"),
        ({"a": 3}, list[str], "expected values separated by commas (each text), not {'a': 3}"),
        ("x" * 1000, int, f"expected a whole number, not '{'x' * 96}..."),
    ],
)
def test_values_of_other_types(value: Any, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        convert(value, kind)
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 250


def test_a_switch_that_is_on_needs_a_help_text_for_turning_it_off() -> None:
    with pytest.raises(ValueError, match="say in `off` what --no-NAME does"):
        option(True, "show progress")


@pytest.mark.parametrize("config", [*COMMANDS.values(), *known_configs().values()])
def test_every_number_has_a_range(config: type) -> None:
    """Without one, a negative rate trains uphill and a negative number of epochs trains nothing."""
    hints = get_type_hints(config)
    numbers = [
        item for item in fields(config) if {int, float} & {hints[item.name], *get_args(hints[item.name])}
    ]
    checked_elsewhere = {"image_size"}
    for item in numbers:
        if item.name not in checked_elsewhere:
            assert item.metadata.keys() & {"least", "above", "choices"}, item.name
