"""Model folders: written completely, read strictly, never executed."""

from __future__ import annotations

import json
import os
import pickle
import warnings

import pytest
import torch
from safetensors.torch import save_file

from resemblance.config.errors import UserError
from resemblance.printing.lines import FolderWarning
from resemblance.store import FORMAT, description_checksum, load_folder, save_folder

CONFIG = {"method": "toy", "facts": {"accuracy": 0.5}}
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor([1, 2])}
FILES = {"prototypes/index.json": b"{}", "prototypes/images/0.png": b"png"}


@pytest.fixture
def folder(tmp_path):
    save_folder(tmp_path / "model", CONFIG, TENSORS, FILES)
    return tmp_path / "model"


def test_saved_contents_are_read_back(folder):
    stored = load_folder(folder)
    assert stored.config == CONFIG
    assert stored.files == FILES
    assert stored.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(stored.tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_folder_moves(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "m")
    assert load_folder(moved).config == CONFIG


def test_saving_again_replaces_the_folder_and_leaves_nothing_behind(folder):
    save_folder(folder, {"method": "other"}, {}, {})
    assert load_folder(folder).config == {"method": "other"}
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["model"]
    assert not (folder / "prototypes").exists()


def test_a_foreign_folder_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(UserError, match="is not a model folder"):
        save_folder(tmp_path, CONFIG, TENSORS, FILES)
    assert (tmp_path / "thesis.txt").read_text() == "three years"


@pytest.mark.parametrize("name", ["model.safetensors", "prototypes/images/0.png"])
def test_tampering_and_truncation_are_noticed(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1])
    with pytest.raises(UserError, match="checksum"):
        load_folder(folder)
    (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="checksum"):
        load_folder(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match="missing"):
        load_folder(folder)


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_later_format_is_refused(folder):
    edit(folder, format=FORMAT + 1)
    with pytest.raises(UserError, match="upgrade resemblance"):
        load_folder(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "1"}', "\x00"])
def test_a_damaged_configuration_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError):
        load_folder(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "C:\\x", "..\\x"])
def test_files_outside_the_folder_are_refused(folder, name):
    config = json.loads((folder / "config.json").read_text())
    edit(folder, checksums={**config["checksums"], name: "0"})
    with pytest.raises(UserError, match="outside"):
        load_folder(folder)
    with pytest.raises(UserError, match="outside"):
        save_folder(folder.parent / "other", CONFIG, TENSORS, {name: b""})


class Bomb:
    """An object that writes a file when it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return open, (self.trace, "w")


def test_pickles_are_refused_and_not_opened(folder, tmp_path):
    trace = tmp_path / "trace"
    for name in ("model.pkl", "whole.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb(trace)))
        with pytest.raises(UserError, match="pickle"):
            load_folder(tmp_path / name)
    (folder / "config.json").unlink()
    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(UserError, match="pickles can run code"):
        load_folder(folder)
    assert not trace.exists()


def test_a_pickle_under_the_tensors_name_is_refused(folder, tmp_path):
    import hashlib

    data = pickle.dumps(Bomb(tmp_path / "trace"))
    (folder / "model.safetensors").write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    edit(folder, checksums={**config["checksums"], "model.safetensors": hashlib.sha256(data).hexdigest()})
    with pytest.raises(UserError, match="not a safetensors file"):
        load_folder(folder)
    assert not (tmp_path / "trace").exists()


def test_folders_of_other_programs_are_refused(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["ViT"]}')
    with pytest.raises(UserError, match="no format version"):
        load_folder(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="no such model folder"):
        load_folder(tmp_path / "nothing" / "here")


def test_a_description_edited_by_hand_is_refused(folder):
    path = folder / "config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(document.items()))))
    assert load_folder(folder).config == CONFIG  # order and spacing do not matter
    document["facts"]["accuracy"] = 0.9
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="was edited after it was saved"):
        load_folder(folder)


def forge(folder, config):
    """Replace the description of a model folder, with the right checksum."""
    document = json.loads((folder / "config.json").read_text())
    checksums = {**document["checksums"], "config.json": description_checksum(config)}
    (folder / "config.json").write_text(json.dumps({"format": FORMAT, **config, "checksums": checksums}))


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"spec": {"classes": ["cat", "dog\x1b[2J"]}}, r"spec\.classes\[1\] has .*'\\x1b': 'dog\\x1b\[2J'"),
        ({"facts": {"notes": ["fine\nresemblance: all is well"]}}, r"facts\.notes\[0\] has .*'\\n'"),
        ({"encoder": "small\x9b1m"}, r"encoder has .*'\\x9b'"),
        ({"config": {"a\x7f": 1}}, r"a key of config has .*'\\x7f'"),
        ({"facts": {"a": {"b": "\u2028"}}}, r"facts\.a\.b has .*'\\u2028'"),
    ],
)
def test_control_characters_are_refused_with_their_place(folder, config, place):
    forge(folder, config)
    with pytest.raises(UserError, match=rf"config\.json: {place}") as refusal:
        load_folder(folder)
    assert str(refusal.value).isprintable()


def test_what_is_saved_can_be_loaded(tmp_path):
    """A note with control characters is escaped; a path that is not UTF-8, and Persian, stay as they are."""
    facts = {"note": "two\nlines", "path": os.fsdecode(b"\xff.pt"), "name": "می\u200cخ \u202e"}
    save_folder(tmp_path / "m", {"facts": facts}, {}, {})
    assert load_folder(tmp_path / "m").config == {"facts": {**facts, "note": r"two\nlines"}}


def test_files_that_a_folder_does_not_list_are_named(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("README.md", ".gitattributes", ".git/config", ".cache/huggingface/x.lock"):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).touch()
        load_folder(folder)
    for name in ("model.pkl", "prototypes/images/1.png", "code/README.md", "a.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    with pytest.warns(
        FolderWarning, match=r"read: a\.json, model\.pkl, code/README\.md, prototypes/images/1\.png$"
    ):
        load_folder(folder)
    for number in range(4):
        (folder / f"b{number}").touch()
    with pytest.warns(FolderWarning, match=r"b0, b1, b2, b3 and 3 more$"):
        load_folder(folder)


def test_a_link_to_itself_is_a_broken_link(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("model.safetensors")
    with pytest.raises(UserError, match="is a broken link"):
        load_folder(folder)
