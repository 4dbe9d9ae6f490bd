"""Files and folders are the old ones or the new ones, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from resemblance.config.errors import UserError
from resemblance.store import load_folder, save_folder
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint
from resemblance.writing import (
    CannotWriteError,
    beside,
    clean,
    leftovers,
    replacing,
    replacing_folder,
    write_text,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from resemblance.writing import replacing, replacing_folder
path = Path(sys.argv[2])
with {"file": replacing, "folder": replacing_folder}[sys.argv[1]](path) as new:
    (new / "part" if new.is_dir() else new).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
unix = pytest.mark.skipif(os.name == "nt", reason="kills by signals")


def killed(kind: str, path: Path) -> None:
    """Let another process be killed while it writes a file or folder."""
    done = subprocess.run([sys.executable, "-c", KILLED, kind, str(path)], check=False, timeout=60)
    assert done.returncode == -9


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@unix
@pytest.mark.parametrize("name", ["report.html", "a" * 250 + ".png", "[x]*.json"])
def test_a_killed_process_leaves_the_old_file_and_the_next_one_cleans(tmp_path, name):
    path = tmp_path / name
    write_text(path, "old")
    killed("file", path)
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    assert [left.name for left in leftovers(path)] == [other for other in names(tmp_path) if other != name]
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == [name]


@unix
def test_a_killed_process_leaves_the_old_folder_and_the_next_one_cleans(tmp_path):
    path = tmp_path / "model"
    with replacing_folder(path) as new:
        (new / "part").write_text("old")
    killed("folder", path)
    assert (path / "part").read_text() == "old"
    assert len(names(tmp_path)) == 2
    clean(tmp_path)
    assert names(tmp_path) == ["model"]
    with replacing_folder(path) as new:
        (new / "other").write_text("new")
    assert names(path) == ["other"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("write", [write_text, lambda path, text: atomic_save({"text": text}, path)])
def test_an_exception_leaves_the_old_file_and_nothing_beside_it(tmp_path, write, monkeypatch):
    path = tmp_path / "file"
    write(path, "old")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWriteError, match=r"^cannot write .*file: No space left on device$"):
        write(path, "new")
    assert path.read_bytes() == before
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_named_by_pytorch_too(tmp_path, monkeypatch):
    """PyTorch's writer raises a RuntimeError about positions in its archive."""
    path = tmp_path / "run.ckpt"
    atomic_save({"a": torch.zeros(2)}, path)
    real = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            if self.file.tell() + len(data) > 3000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

    monkeypatch.setattr(Path, "open", lambda self, *mode: Full(real(self, *mode)))
    with pytest.raises(CannotWriteError, match="No space left"):
        atomic_save({"a": torch.zeros(2000)}, path)
    monkeypatch.undo()
    assert load_checkpoint(path)["a"].tolist() == [0, 0]
    assert names(tmp_path) == ["run.ckpt"]


def test_a_model_folder_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "model"
    save_folder(path, {"method": "old"}, {"a": torch.zeros(1)}, {})
    real, count = Path.rename, []

    def rename(self, target):
        count.append(target)
        if len(count) == 2:  # the old folder has been moved away
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(CannotWriteError, match="Input/output error"):
        save_folder(path, {"method": "new"}, {"a": torch.ones(1)}, {})
    assert load_folder(path).config["method"] == "old"
    assert names(tmp_path) == ["model"]


def test_who_is_killed_between_the_renames_is_told_where_the_model_is(tmp_path):
    path = tmp_path / "model"
    save_folder(path, {"method": "old"}, {"a": torch.zeros(1)}, {})
    old = path.rename(beside(path, "old"))
    with pytest.raises(UserError, match=rf"rename {old.name} to model"):
        load_folder(path)
    clean(tmp_path)
    assert old.is_dir()  # it is all there is
    save_folder(path, {"method": "new"}, {"a": torch.zeros(1)}, {})
    save_folder(path, {"method": "newer"}, {"a": torch.zeros(1)}, {})
    assert names(tmp_path) == ["model"]


def test_what_others_write_and_other_files_are_not_cleaned(tmp_path):
    parent = beside(tmp_path / "a").name.replace(f"-{os.getpid()}.", f"-{os.getppid()}.")
    kept = [parent, ".a.another-1234.new", ".a.new", "a.1.new", ".vimrc", ".a.1.swp"]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / ".a.99999999.new").touch()
    write_text(tmp_path / "a", "")
    clean(tmp_path)
    assert names(tmp_path) == sorted([*kept, "a"])
    os.utime(tmp_path / ".a.another-1234.new", (0, 0))  # of a machine that has been gone for long
    clean(tmp_path)
    assert ".a.another-1234.new" not in names(tmp_path)


@unix
def test_links_pipes_and_permissions_stay(tmp_path):
    target, link, pipe = tmp_path / "there" / "target", tmp_path / "link", tmp_path / "pipe"
    write_text(target, "old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join(10)
    assert received == ["through"]
    assert pipe.is_fifo()


def test_an_error_of_the_writer_itself_is_not_renamed(tmp_path):
    def mistaken() -> None:
        with replacing(tmp_path / "file") as new:
            new.touch()
            raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        mistaken()
    assert names(tmp_path) == []


def test_names_that_are_not_utf8_are_written(tmp_path):
    write_text(tmp_path / "page.html", "earlier")
    write_text(tmp_path / "page.html", "<p>\udcff.png</p>")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == r"<p>\udcff.png</p>"
    document = {"name \udcff": ["\udc80", "猫"]}
    write_text(tmp_path / "a.json", json.dumps(document, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == document
