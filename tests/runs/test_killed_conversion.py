"""A conversion that was killed can be run again; one that is complete, or another one, is not overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resemblance.cli.main import main


def digest(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_killed_conversion_can_be_run_again(tmp_path, capsys):
    black_box, run = str(tmp_path / "blackbox"), tmp_path / "kmex"
    train = ["train", "blackbox", "--data", "digits", "--encoder", "small", "--epochs", "1"]
    assert main([*train, "--output", black_box, "--no-report", "--no-progress"]) == 0
    convert = ["convert", black_box, "--output", str(run), "--no-progress", "--force"]  # hardly trained
    assert main(convert) == 0
    model = digest(run / "model")

    def refused(*options: str) -> bool:
        capsys.readouterr()
        code = main([*convert, *options])
        assert (code == 2) == ("already holds a run" in capsys.readouterr().err)
        return code == 2

    assert refused()
    (run / "report.html").unlink()
    assert refused("--prototypes-per-class", "2")  # another conversion
    assert not refused()
    for name in ("report.html", "metrics.json"):
        (run / name).unlink()
    assert not refused()
    for name in ("report.html", "metrics.json", "model/config.json"):  # killed while the model was written
        (run / name).unlink()
    (run / "model").rename(run / f".model.{2**22 + 1}.new")
    assert not refused()
    assert digest(run / "model") == model
    assert {path.name for path in run.iterdir()} == {"config.yaml", "metrics.json", "model", "report.html"}
    assert refused()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_behind_the_output_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "resemblance", "methods"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "resemblance: error: no space is left on the disk; make room, and repeat the command"
    ]
