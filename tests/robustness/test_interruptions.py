"""Kill commands, and fill the disk under them, at moments all over their run: nothing is lost, all can go on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the commands run in forked processes")


def drive(driver: str, *arguments: str) -> str:
    """Run a driver; return its last line, which has the counts."""
    words = [sys.executable, "-m", f"robustness.{driver}", *arguments]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    result = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()[-1]


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


@pytest.mark.slow
def test_commands_that_were_killed_can_go_on():
    chosen = ("train protopnet", "train kmex", "convert", "report", "evaluate", "evaluate measures")
    counts = drive("kills", "--trials", "18", *(word for name in chosen for word in ("--only", name)))
    assert number(r"^(\d+) kills", counts) >= 8
    assert number(r"bad (\d+)", counts) == 0


@pytest.mark.slow
def test_commands_can_go_on_after_a_full_disk():
    chosen = ("train kmex", "convert", "evaluate", "evaluate measures")
    counts = drive("full_disk", "--every", "40", *(word for name in chosen for word in ("--only", name)))
    assert number(r"^(\d+) ended by a full disk", counts) >= 6
    assert number(r"bad (\d+)", counts) == 0


@pytest.mark.nightly
def test_every_command_can_be_killed_at_any_time():
    counts = drive("kills", "--trials", "330")
    assert number(r"^(\d+) kills", counts) >= 300
    assert number(r"bad (\d+)", counts) == 0


@pytest.mark.nightly
@pytest.mark.parametrize(
    "options", [["--only", "train kmex"], ["--every", "10"]], ids=["every write", "every command"]
)
def test_the_disk_can_be_full_at_every_write(options):
    counts = drive("full_disk", *options)
    assert number(r"^(\d+) ended by a full disk", counts) >= 200
    assert number(r"bad (\d+)", counts) == 0
