"""Models are saved as folders and loaded."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.protopnet.model import ProtoPNet
from resemblance.methods.registry import build
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.projection import project
from resemblance.training.ends.usage import count_usage


@pytest.fixture(scope="module")
def trained():
    """Make a projected ProtoPNet with pictures."""
    torch.manual_seed(0)
    spec = ModelSpec(("cat", "dog"), ImageSpec(28, 28, 1, (0.5,), (0.5,)))
    model = build(
        "protopnet", {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 8}, spec
    ).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), dtype=np.uint8)
    source = ArraySource(pixels, [0, 1] * 3, spec.classes, "photo")
    batches = loader(ImageDataset(source, spec.image), 3)
    project(model, batches)
    count_usage(model, batches)
    model.gallery = build_gallery(model, source)
    model.facts["accuracy"] = {"test": 0.9}
    return model


@pytest.fixture
def folder(trained, tmp_path):
    trained.save(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder, tensors=None, **changes):
    """Change a folder so that its checksums are still correct."""
    from resemblance.store import load_folder, save_folder

    stored = load_folder(folder)
    save_folder(folder, {**stored.config, **changes}, tensors or stored.tensors, stored.files)


def test_everything_is_loaded(trained, folder):
    loaded = resemblance.load(folder)
    assert not loaded.training
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(loaded(images).scores, trained(images).scores)
    state, loaded_state = trained.state_dict(), loaded.state_dict()
    assert state.keys() == loaded_state.keys()
    assert all(torch.equal(state[name], loaded_state[name]) for name in state)
    assert loaded.spec == trained.spec
    assert loaded.config == trained.config
    assert loaded.facts == trained.facts
    assert loaded.gallery == trained.gallery


def test_the_origin_of_the_weights_is_saved(trained, tmp_path):
    before = trained.encoder.description
    trained.encoder.description = "small CNN, weights from mine.pth"
    trained.save(tmp_path / "model")
    trained.encoder.description = before
    assert resemblance.load(tmp_path / "model").encoder.description == "small CNN, weights from mine.pth"


def test_a_run_folder_can_be_loaded(folder):
    assert resemblance.load(folder.parent).name == "protopnet"


EXPLAIN = """
import sys, torch, resemblance
model = resemblance.load(sys.argv[1])
explanation = model.explain(torch.rand(1, 28, 28))
assert all(reason.prototype.source_name.startswith("photo") for reason in explanation.reasons)
assert explanation._repr_html_()
print(explanation)
"""


def test_a_moved_folder_explains_in_a_new_process_without_the_training_images(folder, tmp_path):
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, moved)
    shutil.rmtree(folder)
    done = subprocess.run(
        [sys.executable, "-c", EXPLAIN, str(moved)], capture_output=True, text=True, check=True
    )
    assert "photo" in done.stdout


def test_a_hub_id_is_fetched(folder, monkeypatch):
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options["allow_patterns"]))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resemblance.load("hf:owner/name").name == "protopnet"
    assert resemblance.open_run("hf:owner/name").name == "name"
    assert asked == 2 * [
        ("owner/name", ["config.json", "model.safetensors", "reference.json", "prototypes/*"])
    ]


def test_a_hub_that_has_no_such_model_gives_one_line(monkeypatch):
    def snapshot_download(name, **options):
        raise ConnectionError("no route to host\nretry later")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(UserError) as caught:
        resemblance.load("hf:owner/name")
    assert "\n" not in str(caught.value)
    assert "the Hugging Face Hub has no model owner/name, or cannot be reached (ConnectionError)" in str(
        caught.value
    )


@pytest.fixture
def no_network(monkeypatch):
    """Make every request to a hub, and every connection, a failure of the test."""

    def refuse(*args, **options):
        pytest.fail(f"a request was made: {args}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


MISTYPED = (
    "runs/kmexx",
    "kmexx",
    "runs/kmex/modl",
    "./kmexx",
    "../kmexx",
    "~/kmexx",
    "/kmexx",
    "hf:kmexx",
    "hf:a/b/c",
)


@pytest.mark.parametrize("name", MISTYPED)
@pytest.mark.parametrize("verb", ["load", "open_run", "explain", "evaluate", "audit", "report", "convert"])
def test_a_mistyped_folder_is_an_error_and_no_request(verb, name, no_network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "kmex").mkdir(parents=True)
    arguments = {"explain": [torch.zeros(1, 28, 28)], "convert": ["digits"]}
    with pytest.raises(UserError) as caught:
        getattr(resemblance, verb)(name, *arguments.get(verb, []))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "verb", ["explain", "evaluate", "audit", "report", "convert", "prototypes", "inspect"]
)
def test_the_commands_make_no_request_either(verb, no_network, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    more = {"explain": ["a.png"], "convert": ["--data", "digits"]}
    assert main([verb, "runs/kmexx", *more.get(verb, [])]) == 2
    [error] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "runs/kmexx" in error


def test_the_form_for_the_hub_is_named(no_network):
    for open_model in (resemblance.load, resemblance.open_run):
        with pytest.raises(UserError, match="for a model on the Hugging Face Hub write hf:owner/name"):
            open_model("owner/name")


def test_missing_buffers_are_named(trained, folder):
    tensors = trained.state_dict()
    del tensors["prototypes.source_index"]
    rewrite(folder, tensors)
    with pytest.raises(UserError, match=r"lacks 1 tensors.*source_index"):
        resemblance.load(folder)


def test_unknown_tensors_and_wrong_shapes_are_named(trained, folder):
    tensors = trained.state_dict()
    rewrite(folder, {**tensors, "backdoor": torch.zeros(1)})
    with pytest.raises(UserError, match="backdoor"):
        resemblance.load(folder)
    rewrite(folder, {**tensors, "prototypes.vectors": torch.zeros(4, 9, 1, 1)})
    with pytest.raises(UserError, match=r"prototypes\.vectors has shape"):
        resemblance.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "nonsense"},
        {"method": None},
        {"config": {"encoder": "small", "unheard_of": 1}},
        {"config": None},
        {"config": {"encoder": ["small"]}},
        {"spec": {}},
        {"spec": {"classes": ["a"], "image": {}}},
        {"facts": 3},
        {"facts": {"notes": 3}},
        {"facts": {"black_box": {"test": "good"}}},
        {"facts": {"accuracy": [0.9]}},
        {"encoder": 3},
        {"config": {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": "8x"}},
        {"config": {"encoder": "small", "prototypes_per_class": 10**9, "prototype_depth": -1}},
        {"config": {"encoder": "small", "cluster": float("nan")}},
        {"config": {"encoder": "small", "variant": None}},
    ],
)
def test_an_invalid_configuration_gives_one_line(folder, changes):
    rewrite(folder, **changes)
    with pytest.raises(UserError) as caught:
        resemblance.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": "cat"}, "at least two classes"),
        ({"classes": []}, "at least two classes"),
        ({"classes": ["cat", 3]}, "must be text, not 3"),
        ({"classes": ["cat", None]}, "must be text, not None"),
        ({"classes": ["cat", ""]}, "must be text, not ''"),
        ({"classes": ["cat", ["dog"]]}, "must be text"),
        ({"classes": ["cat", "cat"]}, "two classes have the same name, 'cat'"),
        ({"classes": None}, "spec: classes: expected"),
        ({"image": None}, "spec: image: expected"),
    ],
)
def test_invalid_classes_are_named(folder, changes, message):
    spec = json.loads((folder / "config.json").read_text())["spec"]
    rewrite(folder, spec={**spec, **changes})
    with pytest.raises(UserError, match=r"config\.json: spec") as caught:
        resemblance.load(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 10**9}, "image size"),
        ({"height": 0}, "image size"),
        ({"width": -28}, "image size"),
        ({"height": float("nan")}, "height: expected a whole number"),
        ({"height": "tall"}, "height: expected a whole number, not 'tall'"),
        ({"channels": 2}, "2 channels"),
        ({"channels": True}, "channels: expected a whole number, not True"),
        ({"mean": [float("nan")]}, "mean must lie in"),
        ({"std": [0]}, "std must be positive"),
        ({"mean": {}}, "mean: expected values"),
        ({"depth": 3}, "has no setting 'depth'"),
        ({"height": None}, "height: expected a whole number, not None"),
    ],
)
def test_impossible_images_are_named(folder, changes, message):
    spec = json.loads((folder / "config.json").read_text())["spec"]
    rewrite(folder, spec={**spec, "image": {**spec["image"], **changes}})
    with pytest.raises(UserError, match=r"config\.json: spec: image") as caught:
        resemblance.load(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", ["classes", "image", "height"])
def test_a_missing_entry_is_named(folder, missing):
    spec = json.loads((folder / "config.json").read_text())["spec"]
    (spec["image"] if missing == "height" else spec).pop(missing)
    rewrite(folder, spec=spec)
    with pytest.raises(UserError, match=rf"config\.json: spec.*'{missing}' is missing"):
        resemblance.load(folder)


@pytest.fixture
def small_memory():
    """Let this process allocate 2 GiB more than it has, as far as the system can limit that."""
    resource = pytest.importorskip("resource")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits the address space")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize(
    "changes",
    [{"prototype_depth": 10**9}, {"prototype_height": 7, "prototype_width": 7, "prototype_depth": 10**8}],
)
def test_nothing_is_allocated_for_shapes_that_the_folder_does_not_have(folder, changes):
    config = json.loads((folder / "config.json").read_text())["config"]
    rewrite(folder, config={**config, **changes})
    with pytest.raises(UserError, match=r"has shape .* was expected"):
        resemblance.load(folder)


@pytest.mark.usefixtures("small_memory")
def test_the_number_of_prototypes_is_that_of_the_folder(folder):
    """As after pruning, the configuration may ask for more; nothing is allocated for these."""
    config = json.loads((folder / "config.json").read_text())["config"]
    rewrite(folder, config={**config, "prototypes_per_class": 10**10})
    assert len(resemblance.load(folder).prototypes) == 4


def test_an_encoder_larger_than_the_folder_is_not_built(folder, monkeypatch):
    """The shapes are compared before the real network is made."""
    devices = []
    make = timm.create_model

    def create_model(*arguments, **options):
        devices.append(torch.get_default_device().type)
        return make(*arguments, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    config = json.loads((folder / "config.json").read_text())["config"]
    rewrite(folder, config={**config, "encoder": "resnet18"})
    with pytest.raises(UserError, match="lacks"):
        resemblance.load(folder)
    assert devices == ["meta"]


class ReadsValues(nn.Module):
    """A network of the user's that cannot be run on the meta device."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3)
        self.last = nn.Linear(8, 2)

    def forward(self, images):
        latents = self.convolution(images)
        return self.last(latents.mean((2, 3)) / max(1.0, latents.abs().max().item()))


@pytest.mark.parametrize(
    ("encoder", "size", "network"),
    [
        ("torchvision/resnet18", 64, None),
        ("torchvision/swin_t", 64, None),
        ("test_vit", 160, None),
        ("mine:network", 28, ReadsValues),
    ],
)
def test_encoders_of_all_kinds_are_loaded(encoder, size, network, tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec(("cat", "dog"), ImageSpec(size, size, 1, (0.5,), (0.5,)))
    model = build("kmex", {"encoder": encoder}, spec, module=network and network()).eval()
    model.save(tmp_path / "model")
    loaded = resemblance.load(tmp_path / "model", module=network and network())
    images = torch.rand(2, 1, size, size)
    with torch.no_grad():
        assert torch.equal(loaded(images).scores, model(images).scores)


def test_a_method_that_reads_values_when_it_is_built_is_loaded(folder, monkeypatch):
    """Methods of other packages may do so; their shapes are compared afterwards."""
    make = ProtoPNet.make_prototypes
    monkeypatch.setattr(
        ProtoPNet,
        "make_prototypes",
        lambda model, vectors, owners: make(model, vectors * float(vectors.max() > 0), owners),
    )
    assert resemblance.load(folder).name == "protopnet"
    config = json.loads((folder / "config.json").read_text())["config"]
    rewrite(folder, config={**config, "prototype_depth": 9})
    with pytest.raises(UserError, match=r"has shape .* was expected"):
        resemblance.load(folder)


def test_files_that_are_none_are_named(folder):
    path = folder / "prototypes" / "index.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"index\.json is missing or unreadable"):
        resemblance.load(folder)


def test_a_folder_never_imports_code(folder, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    (tmp_path / "evil.py").write_text(f"open({str(trace)!r}, 'w')\ndef make(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = json.loads((folder / "config.json").read_text())["config"]
    rewrite(folder, config={**config, "encoder": "evil:make"})
    with pytest.raises(UserError, match="your own code, evil:make"):
        resemblance.load(folder)
    with pytest.raises(UserError, match="your own code"):
        resemblance.load(folder, allow_import="another:make")
    assert not trace.exists()


def test_an_encoders_weights_are_not_loaded_again(folder, tmp_path):
    weights = tmp_path / "gone.safetensors"
    config = json.loads((folder / "config.json").read_text())["config"]
    rewrite(folder, config={**config, "weights": str(weights)})
    assert resemblance.load(folder).name == "protopnet"


def test_loaded_tensors_are_the_files(folder):
    stored = load_file(folder / "model.safetensors")
    save_file(stored, folder.parent / "copy.safetensors")
    loaded = resemblance.load(folder).state_dict()
    assert all(torch.equal(stored[name].nan_to_num(), loaded[name].nan_to_num()) for name in stored)
