"""One process at a time uses a run folder, and a dead one is no obstacle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.training.engine import lock
from resemblance.training.engine.fit import fit
from resemblance.training.engine.lock import NAME, lock_folder
from tiny import digits, make

SOURCE = Path(__file__).parents[3] / "src"
HOLD = """
import os, sys, time
from pathlib import Path
from resemblance.training.engine.lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    if "fork" not in sys.argv:
        print(0, flush=True)
    elif os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def hold(folder: Path, *options: str) -> tuple[subprocess.Popen[str], int]:
    """Start a process that holds the lock; return it and the id of the process that it forks, or 0."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", HOLD, str(folder), *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_second_process_is_refused_and_a_killed_one_is_no_obstacle(tmp_path):
    folder = tmp_path / "run"
    process, _ = hold(folder)
    try:
        for resume in (False, True):
            with pytest.raises(UserError, match=f"run is in use: process {process.pid} on .*--output"):
                fit(make(), digits(), folder, TrainConfig(progress=False, resume=resume))
        assert [path.name for path in folder.iterdir()] == [NAME]
    finally:
        process.kill()
        process.wait()
    assert (folder / NAME).exists()
    with lock_folder(folder):
        assert f"process {os.getpid()} " in (folder / NAME).read_text()
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_does_not_hold_it_longer(tmp_path):
    """Processes that read images outlive a killed training process by seconds."""
    process, worker = hold(tmp_path / "run", "fork")
    try:
        process.kill()
        process.wait()
        os.kill(worker, 0)  # it lives
        with lock_folder(tmp_path / "run"):
            pass
    finally:
        process.kill()
        os.kill(worker, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_that_ends_does_not_release_it(tmp_path):
    with lock_folder(tmp_path / "run"):
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(UserError, match="is in use"), lock_folder(tmp_path / "run"):
            pass
        assert (tmp_path / "run" / NAME).exists()


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with lock_folder(tmp_path / "runs" / "new"):
        assert (tmp_path / "runs" / "new" / NAME).exists()
    assert list(tmp_path.iterdir()) == []
    with lock_folder(tmp_path / "runs" / "new"):
        (tmp_path / "runs" / "new" / "config.yaml").write_text("seed: 0\n")
    assert [path.name for path in (tmp_path / "runs" / "new").iterdir()] == ["config.yaml"]


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def without(descriptor):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("resemblance.training.engine.lock._lock", without)
    with lock_folder(tmp_path / "run"), lock_folder(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), lock_folder(tmp_path / "file" / "run"):
        pass


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="follows links")
def test_a_link_to_another_file_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NAME).symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="cannot write"), lock_folder(tmp_path / "run"):
        pass
    assert (tmp_path / "other").read_text() == "kept"


def test_a_file_that_the_process_before_removes_is_not_taken(tmp_path, monkeypatch):
    """Two processes could hold a lock each: one of the removed file, one of the new one."""
    original, seen = lock._lock, []

    def remove_first(descriptor):
        seen.append(descriptor)
        if len(seen) == 1:
            (tmp_path / "run" / NAME).unlink()
            (tmp_path / "run").rmdir()
        original(descriptor)

    monkeypatch.setattr(lock, "_lock", remove_first)
    with lock_folder(tmp_path / "run"):
        assert len(seen) == 2
        assert (tmp_path / "run" / NAME).exists()
