"""ProtoPShare from a trained ProtoPNet."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import resemblance
from methods.protopshare.small_models import IMAGE, for_digits
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.config.model import ModelSpec
from resemblance.methods.protopshare.config import ProtoPShareConfig
from resemblance.methods.registry import build
from resemblance.training.ends import actions
from tiny import CLASSES, digits


@pytest.fixture
def start(tmp_path):
    model = for_digits("protopnet", similarity="linear").eval()
    model.prototypes.activations.fill_(3)
    model.save(tmp_path / "start" / "model")
    return model, str(tmp_path / "start")


def test_a_trained_protopnet_can_be_the_start(start):
    trained, folder = start
    torch.manual_seed(5)
    model = build("protopshare", {"start": folder}, ModelSpec(CLASSES, IMAGE)).eval()
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(model(images).scores, trained(images).scores)
    assert model.config.encoder == "small"
    assert model.config.similarity == "linear"
    assert not model.prototypes.usage_counted
    names = [stage.name for stage in model.recipe().stages]
    assert names == ["merge 1", "fine-tuning 1", "shared last layer 1"]
    assert model.recipe().stages[0].end == ("project", "merge")
    assert model.recipe().stages[1].groups["encoder"].lr == 1e-4


def test_a_shared_model_can_be_merged_further(start, tmp_path):
    spec = ModelSpec(CLASSES, IMAGE)
    model = build("protopshare", {"start": start[1]}, spec).eval()
    actions.run("merge", model, actions.ActionContext(digits().train))
    model.save(tmp_path / "shared")
    again = build("protopshare", {"start": str(tmp_path / "shared"), "keep": 0.5}, spec).eval()
    assert torch.equal(again.prototypes.owners, model.prototypes.owners)
    actions.run("merge", again, actions.ActionContext(digits().train))
    assert len(again.prototypes) == 5


def test_a_saved_model_does_not_need_its_start(start, tmp_path):
    model = build("protopshare", {"start": start[1]}, ModelSpec(CLASSES, IMAGE)).eval()
    model.save(tmp_path / "model")
    (tmp_path / "start").rename(tmp_path / "gone")
    # Of the start, a model folder has the name, not its place on this machine.
    assert resemblance.load(tmp_path / "model").config == replace(model.config, start="start")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"prototype_depth": 9}, "--prototype-depth 9 contradicts --start .*, which has 8; drop it"),
        ({"encoder": "resnet18"}, "--encoder resnet18 contradicts"),
        ({"similarity": "log"}, "--similarity log contradicts"),
        ({"warm_epochs": 3}, "--warm-epochs is for training a ProtoPNet first"),
        ({"prune": True}, "--prune is for training a ProtoPNet first"),
        ({"keep": 0.5, "merge": 2}, "give only one of them"),
        ({"keep": 0}, "--keep must be a share between 0 and 1 or a whole number, not 0"),
        ({"merge": 2.5}, "--merge must be a share"),
        ({"merge_by": "both"}, "'both' is not one of data, vectors"),
        ({"rounds": 0}, "--rounds must be at least 1"),
    ],
)
def test_contradicting_options_are_refused_in_one_line(start, config, words):
    with pytest.raises(UserError, match=words) as caught:
        ProtoPShareConfig(start=start[1], **config)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_protopnet_is_refused(start, tmp_path):
    spec = ModelSpec(CLASSES, IMAGE)
    with pytest.raises(UserError, match="no such folder"):
        ProtoPShareConfig(start=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="neither a run folder"):
        ProtoPShareConfig(start=str(tmp_path))
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="not finished"):
        ProtoPShareConfig(start=str(tmp_path / "half"))
    build("blackbox", {"encoder": "small"}, spec).save(tmp_path / "blackbox")
    with pytest.raises(UserError, match=r"needs a protopnet or protopshare, but .* holds a blackbox"):
        ProtoPShareConfig(start=str(tmp_path / "blackbox"))
    with pytest.raises(UserError, match="other classes or images"):
        build("protopshare", {"start": start[1]}, ModelSpec(CLASSES[::-1], IMAGE))
    options = dict(vars(ProtoPShareConfig(start=start[1])), prototype_depth=9)
    with pytest.raises(UserError, match="--prototype-depth 9 contradicts"):  # all are set, but one is wrong
        build("protopshare", options, spec)
    path = tmp_path / "start" / "model" / "config.json"
    document = json.loads(path.read_text())
    document["config"]["encoder"] = "somewhere:net"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"own code; .* add --encoder somewhere:net"):
        ProtoPShareConfig(start=start[1])


@pytest.mark.slow
def test_the_command_line_from_start_to_report(tmp_path, capsys):
    quick = ["--batch-size", "64", "--no-progress", "--data", "digits"]
    start, run = str(tmp_path / "protopnet"), str(tmp_path / "shared")
    small = ["--encoder", "small", "--prototypes-per-class", "4", "--last-epochs", "2", "--seed", "3"]
    assert (
        main(["train", "protopnet", *quick, *small, "--epochs", "3", "--no-report", "--output", start]) == 0
    )
    shared = ["train", "protopshare", *quick, "--start", start]
    assert main([*shared, "--epochs", "2", "--rounds", "2", "--last-epochs", "2", "--output", run]) == 0
    assert "merged" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "shared" / "metrics.json").read_text())
    assert metrics["val"]["accuracy"] > 0.3
    model = resemblance.load(run)
    assert len(model.prototypes) == 20
    config = (tmp_path / "shared" / "config.yaml").read_text()
    assert "split_seed: 3" in config  # the validation images are those of the start
    report = (tmp_path / "shared" / "report.html").read_text()
    for title in (
        "Merged prototypes",
        "Prototypes by the number of their classes",
        "Classes that share prototypes",
    ):
        assert title in report
    assert main(["prototypes", run]) == 0
    assert main(["evaluate", run]) == 0
    image = tmp_path / "image.png"
    from PIL import Image

    Image.fromarray(np.full((20, 20), 90, np.uint8)).save(image)
    assert main(["explain", run, str(image)]) == 0
    assert main([*shared, "--image-size", "64", "--output", str(tmp_path / "other")]) == 2
    assert main([*shared, "--addon", "none", "--output", str(tmp_path / "other")]) == 2
    errors = capsys.readouterr().err
    assert "--image-size (64, 64) contradicts --start" in errors
    assert "--addon none contradicts --start" in errors
    again = ["--config", str(tmp_path / "shared" / "config.yaml"), "--output", str(tmp_path / "again")]
    assert main(["train", "protopshare", *again, "--no-report"]) == 0
    assert "unknown option" not in capsys.readouterr().err
