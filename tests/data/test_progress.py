"""The progress bar: silent without a terminal, with an estimate for long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from resemblance.data import progress
from resemblance.data.progress import track


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def terminal(is_terminal=True):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=100)


def work(clock, seconds, count, **options):
    console = options.pop("console", None) or terminal()
    for _ in track(range(count), "projecting", console=console, **options):
        clock[0] += seconds
    return console.file.getvalue()


def test_long_work_is_estimated_and_shown(clock):
    shown = work(clock, 2.5, 100)
    assert "about 4 minutes" in shown
    assert "100" in shown


def test_short_work_is_silent(clock):
    assert work(clock, 0.1, 10) == ""


def test_work_under_a_minute_has_no_estimate(clock):
    shown = work(clock, 3.0, 3)
    assert "about" not in shown
    assert "projecting" in shown


def test_silent_without_a_terminal_or_when_switched_off(clock):
    assert work(clock, 60, 3, console=terminal(False)) == ""
    assert work(clock, 60, 3, show=False) == ""


def test_stopping_early_closes_the_bar(clock):
    console = terminal()
    items = track(range(5), "projecting", console=console)
    next(items)
    clock[0] += 3
    next(items)
    items.close()
    assert list(track(iter([1, 2]), "anything", console=terminal())) == [1, 2]
