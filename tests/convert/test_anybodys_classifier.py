"""Test the conversion of classifiers as other people train and save them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

import resemblance
from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.convert.normalisation import normalisation_source
from resemblance.data import ArraySource, DataSplits
from resemblance.encoders.small import SmallEncoder
from resemblance.runs.messages import Messages


class Lines(Messages):
    """What is said."""

    def __init__(self):
        self.lines = []

    def say(self, text=""):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


def halves(count, classes=("left", "right")):
    """Make images whose left or right half is brighter."""
    labels = np.arange(count) % 2
    pixels = np.random.default_rng(count).integers(40, 70, (count, 16, 16, 1)).astype(np.uint8)
    for i, c in enumerate(labels):
        pixels[i, :, 8 * c : 8 * c + 8] += 100
    return ArraySource(pixels, labels, classes)


def splits(**options):
    train, val, test = (halves(count, **options) for count in (60, 40, 20))
    return DataSplits(train, val, test, train.classes, "halves")


class Halves(nn.Module):
    """Returns one number, positive if the right half is brighter."""

    def __init__(self, sign=1.0, sigmoid=False):
        super().__init__()
        self.scale, self.pool, self.last = nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d((1, 2)), nn.Linear(2, 1)
        self.sigmoid = sigmoid
        with torch.no_grad():
            self.scale.weight.fill_(1)
            self.scale.bias.zero_()
            self.last.weight.copy_(sign * torch.tensor([[-1.0, 1.0]]))
            self.last.bias.zero_()

    def forward(self, images):
        z = self.last(self.pool(self.scale(images)).flatten(1)).squeeze(1)
        return z.sigmoid() if self.sigmoid else z


@pytest.mark.parametrize("sigmoid", [False, True])
def test_one_output_for_two_classes(tmp_path, sigmoid):
    run = resemblance.convert(Halves(sigmoid=sigmoid), splits(), tmp_path / "run", prototypes_per_class=1)
    assert run.model.facts["black_box"]["val"] == 1
    assert "its one output stands for right; --classes CLASS changes this" in run.notes
    with torch.no_grad():
        scores = run.model(torch.rand(3, 1, 16, 16)).extras["blackbox"]
    assert scores[:, 0].tolist() == [0, 0, 0]


def test_the_class_of_one_output_is_given_by_its_name(tmp_path):
    network = Halves(-1.0)
    with pytest.raises(
        UserError, match=r"100\.0 % with its classes in another order; give --classes right,left"
    ):
        resemblance.convert(network, splits(), tmp_path / "run")
    for number, classes in enumerate(("left", "right,left", ("left",))):
        run = resemblance.convert(network, splits(), tmp_path / f"run{number}", classes=classes)
        assert run.model.facts["black_box"]["val"] == 1
        assert run.model.spec.classes == ("left", "right")
    with pytest.raises(UserError, match="only --classes has up"):
        resemblance.convert(network, splits(), tmp_path / "run", classes="up")
    run.model.save(tmp_path / "saved")
    again = resemblance.load(tmp_path / "saved", module=Halves())
    images = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(images).extras["blackbox"], run.model(images).extras["blackbox"])


def trained(seed):
    """Train the small network for a moment; return its tensors."""
    from resemblance.config.encoder import EncoderConfig
    from resemblance.config.image import ImageSpec

    torch.manual_seed(seed)
    net = SmallEncoder(EncoderConfig(encoder="small"), ImageSpec(16, 16, 1, (0.5,), (0.5,)), 2)
    source = halves(60)
    images = (torch.tensor(source.array).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    optimizer = torch.optim.Adam(net.parameters(), 0.003)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net.train()(images), torch.tensor(source.labels)).backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(30):
            net(images)  # settles batch norm
    return {name: tensor.clone() for name, tensor in net.eval().state_dict().items()}


@pytest.fixture(scope="module")
def good():
    return trained(0)


OPTIONS = {"mean": (0.5,), "std": (0.5,), "prototypes_per_class": 1}


@pytest.mark.parametrize("worse", ["state_dict", "state_dict_ema"])
def test_the_better_of_two_sets_of_weights_is_taken(tmp_path, good, worse):
    bad = good | {"classifier.bias": torch.tensor([-100.0, 100.0])}
    sets = {"state_dict": good, "state_dict_ema": good, worse: bad}
    path = tmp_path / "w.pth"
    torch.save(sets, path)
    run = resemblance.convert("small", splits(), tmp_path / "run", weights=str(path), **OPTIONS)
    better = {"state_dict": "state_dict_ema", "state_dict_ema": "state_dict"}[worse]
    assert run.model.facts["black_box"]["val"] == 1
    assert run.model.config.weights == f"{path}::{better}"
    [note] = [note for note in run.notes if "2 sets of weights" in note]
    assert f"{better} classifies 100.00 % of 40 validation images correctly" in note
    assert f"{worse} classifies 50.00 %" in note
    with pytest.raises(UserError, match="no better than chance"):
        resemblance.convert("small", splits(), tmp_path / "other", weights=f"{path}::{worse}", **OPTIONS)


def test_weights_in_another_order_or_of_nan_do_not_mislead_the_choice(tmp_path, good):
    swapped = good | {name: good[name].flip(0) for name in ("classifier.weight", "classifier.bias")}
    constant = good | {"classifier.bias": torch.tensor([-100.0, 100.0])}
    nan = good | {next(iter(good)): good[next(iter(good))] * torch.nan}
    torch.save({"state_dict": swapped, "model": constant, "model_ema": nan}, tmp_path / "w.pth")
    weights = str(tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"100\.0 % with its classes in another order; give --classes right,left"
    ):
        resemblance.convert("small", splits(), tmp_path / "run", weights=weights, **OPTIONS)
    run = resemblance.convert(
        "small", splits(), tmp_path / "run", weights=weights, classes="right,left", **OPTIONS
    )
    assert run.model.config.weights.endswith("::state_dict")
    assert "model_ema cannot be used" in " ".join(run.notes)


def test_student_and_teacher_are_measured(tmp_path, good):
    bad = good | {"classifier.bias": torch.tensor([-100.0, 100.0])}
    torch.save({"student": bad, "teacher": good}, tmp_path / "w.pth")
    run = resemblance.convert("small", splits(), tmp_path / "run", weights=str(tmp_path / "w.pth"), **OPTIONS)
    assert run.model.config.weights.endswith("w.pth::teacher")


@pytest.mark.parametrize(
    ("head", "cure"),
    [
        (
            {"classifier.0.weight": torch.ones(4, 128), "classifier.2.weight": torch.ones(2, 4)},
            "hand over the network",
        ),
        ({"classifier.weight": torch.ones(5, 128)}, "give weights whose head has one output for each class"),
        ({}, "give weights whose head has one output for each class"),
    ],
)
def test_the_cure_for_a_missing_head_fits_its_cause(tmp_path, good, head, cure):
    body = {name: tensor for name, tensor in good.items() if not name.startswith("classifier")}
    torch.save(body | head, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"{cure}.*, or --force"):
        resemblance.convert("small", splits(), tmp_path / "run", weights=str(tmp_path / "w.pth"))


def test_the_normalisation_and_its_origin_are_said(tmp_path, good):
    torch.save(good, tmp_path / "w.pth")

    def said(**options):
        lines = Lines()
        options = {"weights": str(tmp_path / "w.pth"), "force": True, "messages": lines, **options}
        resemblance.convert("small", splits(), tmp_path / f"run{len(list(tmp_path.iterdir()))}", **options)
        [line] = [line for line in lines.lines if "normalised" in line]
        return line

    assert said(mean=(0.5,), std=(0.5,)).endswith("mean 0.5 and deviation 0.5, from --mean and --std")
    assert re.search(r"mean 0\.4\d* and deviation 0\.\d+, from the training images", said())
    assert said(mean=(0.5,)).endswith("from --mean and the training images")


def test_colour_images_are_told_of_the_usual_normalisation():
    """A classifier read with other values than its own can be nearly right, and nothing looks wrong."""
    colour = ImageSpec(8, 8, 3, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    line = normalisation_source(colour, ImageOptions(), EncoderConfig(encoder="resnet18"), None)
    assert line.endswith(
        "training images; if it was trained with ImageNet's, give --mean 0.485,0.456,0.406 "
        "--std 0.229,0.224,0.225"
    )
    grey = ImageSpec(8, 8, 1, (0.4,), (0.2,))
    assert "ImageNet" not in normalisation_source(grey, ImageOptions(), EncoderConfig(encoder="small"), None)


def test_one_mean_stands_for_all_channels_of_colour_images(tmp_path):
    """In training and in conversion alike."""
    part = halves(40)
    part = ArraySource(
        np.repeat(part.array, 3, axis=3) + np.arange(3, dtype=np.uint8), part.labels, part.classes
    )
    colour = DataSplits(part, part, None, part.classes, "colour")
    model = resemblance.train(
        "blackbox", colour, tmp_path / "train", encoder="small", epochs=1, mean=0.5, std=0.25
    ).model
    assert model.spec.image.mean == (0.5,) * 3
    torch.save(model.encoder.state_dict(), tmp_path / "w.pth")
    weights = str(tmp_path / "w.pth")
    model = resemblance.convert(
        "small", colour, tmp_path / "run", weights=weights, mean=0.5, std=0.25, force=True
    ).model
    assert model.spec.image.mean == (0.5,) * 3
    assert model.spec.image.std == (0.25,) * 3
    lines = Lines()
    options = {"force": True, "messages": lines}
    model = resemblance.convert(tmp_path / "train", colour, tmp_path / "again", mean=0.25, **options).model
    assert model.spec.image.mean == (0.25,) * 3
    assert (
        "images are normalised with mean 0.25,0.25,0.25 and deviation 0.25,0.25,0.25, as train was trained, except"
        in (" ".join(lines.lines))
    )
