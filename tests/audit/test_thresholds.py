"""Test thresholds: how they are read, and what they say about findings."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from resemblance.audit.finding import Finding
from resemblance.audit.verdicts import outcomes
from resemblance.config.audit.thresholds import Threshold, parse_threshold, read_thresholds
from resemblance.config.errors import UserError
from resemblance.metrics.suite.result import LeftOut, Value


def finding(**values: float) -> Finding:
    numbers = [Value(name, name, number, "lower", "", "") for name, number in values.items()]
    return Finding("shifts", "Shifts", "passed", "", "", tuple(numbers))


@pytest.mark.parametrize(
    ("text", "relation", "limit"),
    [
        ("head_on_stomach>0.5", ">", 0.5),
        (" head-on-stomach >= 50% ", ">=", 0.5),
        ("shift_jpeg_overlap<1e-1", "<", 0.1),
        ("triggers <= 0", "<=", 0.0),
    ],
)
def test_thresholds_are_read(text: str, relation: str, limit: float) -> None:
    threshold = parse_threshold(text)
    assert (threshold.relation, threshold.limit) == (relation, limit)
    assert threshold.name == text.strip().split("<")[0].split(">")[0].strip().replace("-", "_")


@pytest.mark.parametrize(
    ("number", "check"),
    [
        ("shifts", "shifts"),
        ("shift_jpeg_overlap", "shifts"),
        ("head_disappears_any", "head-disappears"),
        ("same_reasons_class_changed", "same-reasons"),
        ("triggers_disguised", "triggers"),
        ("prototype_swap_accuracy", "prototype-swap"),
        ("provenance_box", "provenance"),
    ],
)
def test_a_threshold_knows_the_check_of_its_number(number: str, check: str) -> None:
    assert parse_threshold(f"{number} > 0").check == check


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("head_on_stomach", "not a threshold; expected for instance"),
        ("head_on_stomach=0.5", "not a threshold"),
        ("head_on_stomach>half", "'half' in"),
        ("head_on_stomach>nan", "is not a number"),
        ("head_on_stomak>0.5", "did you mean"),
        ("accuracy>0.5", "no check yields a number 'accuracy'; the checks are provenance"),
        ("shiftjpeg<0.5", "no check yields a number 'shiftjpeg'"),
    ],
)
def test_a_threshold_that_cannot_be_read_is_named(text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        parse_threshold(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_adds_to_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("fail_if:\n  - nonsense > 0.1\n  - shifts < 0.5\n", encoding="utf-8")
    texts = [threshold.text for threshold in read_thresholds(["nonsense>0.1"], file)]
    assert texts == ["nonsense > 0.1", "shifts < 0.5"]


@pytest.mark.parametrize(
    "content",
    [
        "limits: [a]",
        "fail_if: nonsense>1",
        "fail_if: [1]",
        "fail_if: []",
        "fail_if: [nonsense>1]\nb: 1",
        "fail_if: [nonsense>1]\nfail-if: [provenance>0]",
        "fail_if:\n  - nonsense: 0.5",
    ],
)
def test_a_file_without_thresholds_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"expected the key fail_if alone"):
        read_thresholds([], file)


@pytest.mark.parametrize("content", ["", "- nonsense > 0.1"])
def test_a_file_of_another_kind_is_refused_with_an_example(tmp_path: Path, content: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"expected lines such as 'fail_if: \[head_on_stomach > 0\.5\]'"):
        read_thresholds([], file)


def test_either_spelling_of_the_key_is_read(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("fail-if: [nonsense > 0.1]", encoding="utf-8")
    assert [threshold.text for threshold in read_thresholds([], file)] == ["nonsense > 0.1"]


def test_a_number_fails_where_it_crosses_its_limit() -> None:
    thresholds = [Threshold("shifts", "<", 0.5), Threshold("shift_jpeg", "<", 0.2)]
    first, second = outcomes(thresholds, [finding(shifts=0.4, shift_jpeg=0.4)], [])
    assert (first.failed, first.says) == (True, "shifts < 0.5: failed, it is 0.400")
    assert (second.failed, second.value) == (False, 0.4)


def test_what_was_not_measured_fails() -> None:
    """A guard that cannot look must not let pass."""
    thresholds = [
        Threshold(name, ">", 0.5)
        for name in ("triggers", "shifts", "shift_qqqqqqqqqqqqqqq", "shift_jpg", "nonsense")
    ]
    left_out = [LeftOut("triggers", "no gradient")]
    measured = [finding(shifts=math.nan, shift_jpeg=0.0)]
    triggers, undefined, typo, near, other = outcomes(thresholds, measured, left_out)
    assert triggers.failed
    assert triggers.says.endswith("no gradient")
    assert undefined.failed
    assert "not defined" in undefined.says
    assert typo.failed
    assert "shifts yields no number 'shift_qqqqqqqqqqqqqqq'; there are shifts, shift_jpeg" in typo.says
    assert near.failed
    assert "did you mean 'shift_jpeg' or 'shifts'?" in near.says
    assert other.failed
    assert other.says.endswith("the check nonsense is not among --checks")
    assert undefined.to_dict()["value"] is None
