"""Fuzz what the commands read: some hundred inputs, and in the night twenty thousand."""

from __future__ import annotations

import sys

import pytest

from robustness.fuzz import KINDS, fuzz

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured by Linux")


@pytest.mark.slow
def test_some_inputs() -> None:
    check(600)


@pytest.mark.nightly
def test_many_inputs() -> None:
    check(20_000)


def check(inputs: int) -> None:
    results = fuzz(inputs)
    assert sum(map(len, results.values())) >= inputs - len(KINDS)
    assert [one.cause for judged in results.values() for one in judged if one.verdict == "bad"] == []
    for name, judged in results.items():
        verdicts = {one.verdict for one in judged}
        assert verdicts == {"accepted", "refused"}, f"{name}: damage of one kind only shows little"
