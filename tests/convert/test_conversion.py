"""Test conversion and its checks of the classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import resemblance
from cases import made
from frozen import counting_images
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.convert.class_order import read_classes
from resemblance.convert.counting import hidden_order, stratified_sample
from resemblance.data import ArraySource, DataSplits
from resemblance.data.sources.source import Subset
from resemblance.methods.registry import build
from tiny import digits


@pytest.fixture
def convert(tmp_path):
    """Return a function that converts into a new folder and returns the model."""
    count = iter(range(100))

    def model(original, splits, **options):
        return resemblance.convert(original, splits, tmp_path / f"run{next(count)}", **options).model

    return model


CLASSES = ("north", "east", "south", "west")


class Quadrants(nn.Module):
    """Predicts which quadrant is the brightest."""

    def __init__(self, order=(0, 1, 2, 3), channels=1):
        super().__init__()
        self.scale = nn.Conv2d(channels, 1, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.last = nn.Linear(4, len(order))
        with torch.no_grad():
            self.scale.weight.fill_(1 / channels)
            self.scale.bias.zero_()
            self.last.weight.zero_()
            self.last.bias.zero_()
            for output, quadrant in enumerate(order):
                self.last.weight[output, quadrant] = 1

    def forward(self, images):
        return self.last(self.pool(self.scale(images)).flatten(1))


class Scaled(Quadrants):
    """Reads images from 0 to 255: on images from 0 to 1, the last layer reads zeros."""

    def forward(self, images):
        pooled = self.pool(self.scale(images)).flatten(1)
        return self.last((pooled - 3).relu())


class Levels(nn.Module):
    """Predicts how bright an image is, in the scale in which it was trained."""

    def __init__(self, levels):
        super().__init__()
        self.scale = nn.Conv2d(1, 1, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(1, len(levels))
        with torch.no_grad():
            self.scale.weight.fill_(1)
            self.scale.bias.zero_()
            self.last.weight.copy_(torch.tensor(levels)[:, None])
            self.last.bias.copy_(-torch.tensor(levels).square() / 2)

    def forward(self, images):
        return self.last(self.pool(self.scale(images)).flatten(1))


def source_of(pixels, labels, classes):
    noise = np.random.default_rng(len(labels)).normal(0, 12, pixels.shape)
    return ArraySource(np.clip(pixels + noise, 0, 255).astype(np.uint8), labels, classes)


def quadrants(count, channels=1):
    labels = np.arange(count) % 4
    pixels = np.full((count, 16, 16, channels), 60.0)
    for i, c in enumerate(labels):
        pixels[i, 8 * (c // 2) : 8 * (c // 2) + 8, 8 * (c % 2) : 8 * (c % 2) + 8] = 130
    return source_of(pixels, labels, CLASSES)


def levels(count):
    labels = np.arange(count) % 3
    pixels = np.array([40.0, 128.0, 215.0])[labels][:, None, None, None] * np.ones((1, 16, 16, 1))
    return source_of(pixels, labels, ("dark", "grey", "bright"))


def splits_of(make, **options):
    train, val, test = (make(count, **options) for count in (90, 60, 40))
    return DataSplits(train, val, test, train.classes, "toy")


def test_a_network_becomes_a_model_that_explains_itself(convert, tmp_path):
    splits, network = splits_of(quadrants), Quadrants()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model = convert(network, splits, prototypes_per_class=2)
    assert model.facts["black_box"] == {"train sample": 1.0, "val": 1.0, "test": 1.0}
    assert model.facts["accuracy"] == {"val": 1.0, "test": 1.0}
    assert model.facts["agreement"] == {"val": 1.0, "test": 1.0}
    assert model.prototypes.owners.sum(0).tolist() == [2] * 4
    assert len(model.gallery) == 8
    assert model.explain(torch.rand(1, 16, 16)).breakdown.adds_up
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    model.save(tmp_path / "model")
    with pytest.raises(UserError, match="your own code"):
        resemblance.load(tmp_path / "model")
    images = torch.rand(3, 1, 16, 16)
    again = resemblance.load(tmp_path / "model", module=Quadrants())
    with torch.no_grad():
        assert torch.equal(again(images).scores, model(images).scores)
        assert torch.equal(again(images).extras["blackbox"], model(images).extras["blackbox"])


def test_outputs_in_another_order_are_detected_and_corrected(convert):
    splits, network = splits_of(quadrants), Quadrants((2, 0, 3, 1))
    with pytest.raises(UserError, match=r"100\.0 % with its classes in another order") as caught:
        convert(network, splits)
    order = str(caught.value).split("--classes ")[1].split(";")[0]
    assert order == "south,north,west,east"
    model = convert(network, splits, classes=order)
    assert model.facts["black_box"]["val"] == 1
    assert model.spec.classes == CLASSES
    forced = convert(network, splits, force=True)
    assert forced.facts["black_box"]["val"] == 0
    assert forced.facts["accuracy"]["val"] == 1
    assert forced.facts["agreement"]["val"] == 0
    assert "force" in forced.facts["notes"][-1]


def test_two_swapped_classes_are_detected(convert):
    with pytest.raises(UserError, match="--classes north,south,east,west"):
        convert(Quadrants((0, 2, 1, 3)), splits_of(quadrants))


def test_a_wrong_order_given_by_the_user_is_detected(convert):
    with pytest.raises(UserError, match="--classes north,east,south,west"):
        convert(Quadrants(), splits_of(quadrants), classes="east,north,south,west")


def test_images_on_another_scale_are_detected_and_corrected(convert):
    splits, network = splits_of(levels), Levels([40.0, 128.0, 215.0])
    with pytest.raises(UserError, match=r"values from 0 to 255; give --mean 0 --std 0\.00392157"):
        convert(network, splits)
    model = convert(network, splits, mean=(0.0,), std=(1 / 255,))
    assert model.facts["black_box"]["val"] == 1


def wide(count):
    """Put square images between two others, so that only the middle third shows the class."""
    middle, generator = quadrants(count), np.random.default_rng(1)
    left, right = (middle.array[generator.permutation(count)] for _ in range(2))
    return ArraySource(np.concatenate([left, middle.array, right], axis=2), middle.labels, CLASSES)


def test_a_classifier_of_centre_crops_is_recognized(convert, tmp_path):
    splits, side = splits_of(wide), 16
    options = {"image_size": side, "mean": (0.0,), "std": (1.0,)}
    with pytest.raises(UserError, match=r"the middle of the images cut out; give --resize crop;"):
        convert(Quadrants(), splits, **options)
    with pytest.raises(
        UserError, match=r"cut out and values from 0 to 255.*; give --mean 0 --std 0\.00392157 --resize"
    ):
        convert(Scaled(), splits, **options)
    model = convert(Quadrants(), splits, resize="crop", **options)
    assert model.facts["black_box"]["val"] == 1
    assert model.spec.image.resize == "crop"
    model.save(tmp_path / "saved")
    loaded = resemblance.load(tmp_path / "saved", module=Quadrants())
    assert loaded.spec == model.spec
    explanation = loaded.explain(Image.fromarray(splits.val.array[0][:, :, 0]))
    np.testing.assert_array_equal(explanation.image[..., 0], splits.val.array[0][:, side : 2 * side, 0])
    assert explanation.preparation.to_original([0, 0, side, side]).tolist() == [side, 0, 2 * side, side]
    assert explanation.to_dict()["preparation"]["shown"] == [side, 0, 2 * side, side]
    again = convert(loaded, splits)  # a converted model keeps its preparation
    assert again.spec.image.resize == "crop"
    for square in ("squash", "pad"):
        changed = convert(loaded, splits, resize=square, force=True)
        assert changed.spec.image.resize == square


def test_an_untrained_classifier_is_refused_unless_forced(convert):
    splits = splits_of(quadrants)
    torch.manual_seed(0)
    random = build("blackbox", {"encoder": "small"}, ModelSpec(CLASSES, ImageSpec(16, 16, 1, (0.3,), (0.2,))))
    nn.init.zeros_(random.encoder.classifier.weight)
    with pytest.raises(UserError, match=r"no better than chance .*--force"):
        convert(random, splits)
    assert convert(random, splits, force=True).facts["accuracy"]["val"] > 0.5


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_a_classifier_of_nan_is_refused_in_one_line(convert, own, force):
    spec = ModelSpec(CLASSES, ImageSpec(16, 16, 1, (0.3,), (0.2,)))
    network = Quadrants() if own else build("blackbox", {"encoder": "small"}, spec)
    with torch.no_grad():
        list(network.parameters())[-2].view(-1)[0] = torch.nan
    with pytest.raises(UserError, match="has outputs that are infinite or NaN; check its weights") as caught:
        convert(network, splits_of(quadrants), force=force)
    assert "\n" not in str(caught.value)


def test_grey_images_for_an_rgb_network_and_the_other_way_round(convert):
    model = convert(Quadrants(channels=3), splits_of(quadrants))
    assert model.spec.image.channels == 3
    assert "repeated in its three channels" in " ".join(model.facts["notes"])
    model = convert(Quadrants(channels=1), splits_of(quadrants, channels=3))
    assert model.spec.image.channels == 1
    assert "converted to grey" in " ".join(model.facts["notes"])


def test_a_wrong_number_of_outputs_is_reported(convert):
    with pytest.raises(UserError, match=r"3 classes.*4"):
        convert(Quadrants((0, 1, 2)), splits_of(quadrants))
    assert "blackbox" not in convert(Quadrants((0, 1, 2)), splits_of(quadrants), force=True).facts


def test_an_architecture_without_weights_is_refused(convert):
    with pytest.raises(UserError, match="without trained weights"):
        convert("small", splits_of(quadrants))


def test_saved_models_of_any_method_are_converted(convert, tmp_path):
    spec = ModelSpec(CLASSES, ImageSpec(16, 16, 1, (0.3,), (0.2,)))
    splits = splits_of(quadrants)
    for method in ("blackbox", "protopnet", "prototypedl"):
        torch.manual_seed(0)
        config = {} if method == "prototypedl" else {"encoder": "small"}
        original = build(method, config, spec).eval()
        original.save(tmp_path / method)
        model = convert(str(tmp_path / method), splits, force=True, patches=method == "protopnet")
        model.save(tmp_path / "kmex")
        images = torch.rand(2, 1, 16, 16)
        with torch.no_grad():
            expected = model(images)
            assert torch.allclose(expected.extras["blackbox"], original(images).scores, atol=1e-5)
            again = resemblance.load(tmp_path / "kmex")(images)
        assert torch.equal(again.scores, expected.scores)
        assert torch.equal(again.extras["blackbox"], expected.extras["blackbox"])
        twice = convert(str(tmp_path / "kmex"), splits, force=True, prototypes_per_class=1)
        assert len(twice.prototypes) == 4


def test_classes_are_matched_by_name(convert, tmp_path):
    image = ImageSpec(16, 16, 1, (0.3,), (0.2,))
    build("blackbox", {"encoder": "small"}, ModelSpec(CLASSES[::-1], image)).save(tmp_path / "model")
    model = convert(str(tmp_path / "model"), splits_of(quadrants), force=True)
    assert model.outputs.tolist() == [3, 2, 1, 0]
    build("blackbox", {"encoder": "small"}, ModelSpec(("up", *CLASSES[1:]), image)).save(tmp_path / "other")
    with pytest.raises(UserError, match="only the data has north, only other has up"):
        convert(str(tmp_path / "other"), splits_of(quadrants))


def test_hidden_orders():
    generator = np.random.default_rng(0)
    for size in (2, 5, 40):
        order = np.roll(np.arange(size), 1)
        confusion = np.ones((size, size), np.int64)
        confusion[np.arange(size), order] = 9 * size
        assert hidden_order(confusion).tolist() == order.tolist()
        assert hidden_order(generator.integers(0, 30, (size, size))) is None
        assert hidden_order(np.eye(size, dtype=np.int64) * 30) is None
    assert hidden_order(np.array([[0, 3], [3, 0]])) is None  # too few images to decide


def test_stratified_samples_are_even():
    source = ArraySource(np.zeros((100, 2, 2, 1), np.uint8), [0] * 90 + [1] * 10, ("a", "b"))
    assert np.bincount(stratified_sample(source, 30, 0).labels).tolist() == [20, 10]
    assert len(stratified_sample(source, 1000, 0)) == 100


def test_classes_from_a_file(tmp_path):
    (tmp_path / "classes.txt").write_text("north\n\n east \n", encoding="utf-8")
    assert read_classes(str(tmp_path / "classes.txt")) == ("north", "east")


def test_missing_folders_and_files_are_distinguished(convert, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(UserError, match="give the file to --weights"):
        convert(str(tmp_path / "w.pth"), splits_of(quadrants))
    with pytest.raises(UserError, match="no such folder"):
        convert("./nowhere", splits_of(quadrants))
    with pytest.raises(UserError, match="did you mean"):
        convert("resnet81", splits_of(quadrants))


def test_a_mistyped_run_folder_is_not_looked_up_on_the_hub(convert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="no such folder: runs/blackbx"):
        convert("runs/blackbx", splits_of(quadrants))


def test_weights_with_a_head_for_other_classes_are_refused(convert, tmp_path):
    image = ImageSpec(16, 16, 1, (0.3,), (0.2,))
    other = build("blackbox", {"encoder": "small"}, ModelSpec(("a", "b"), image))
    torch.save(other.encoder.state_dict(), tmp_path / "two.pth")
    with pytest.raises(UserError, match=r"2 classes.*no trained classifier for these 4"):
        convert("small", splits_of(quadrants), weights=str(tmp_path / "two.pth"))
    model = convert("small", splits_of(quadrants), weights=str(tmp_path / "two.pth"), force=True)
    model.save(tmp_path / "model")
    with torch.no_grad():
        assert "blackbox" not in resemblance.load(tmp_path / "model")(torch.rand(1, 1, 16, 16)).extras


def test_prefixes_of_weights_are_stripped(convert, tmp_path):
    image = ImageSpec(16, 16, 1, (0.3,), (0.2,))
    torch.manual_seed(0)
    trained = build("blackbox", {"encoder": "small"}, ModelSpec(CLASSES, image)).encoder
    state = {f"module.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.ckpt")
    model = convert("small", splits_of(quadrants), weights=str(tmp_path / "w.ckpt"), force=True)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor)


@pytest.mark.parametrize("images", [(300, 60, 40), (90, 60, 0)])
def test_classifier_and_prototypes_share_the_pass_over_all_images(images, tmp_path, monkeypatch):
    """Images that the encoder reads two at a time only serve to recognise it."""
    monkeypatch.setenv("RESEMBLANCE_CACHE", str(tmp_path / "cache"))
    train, val, test = images
    splits = digits(train + test, val)
    splits.test = Subset(splits.train, range(train, train + test)) if test else None
    splits.train = Subset(splits.train, range(train))
    original = made("blackbox", encoder="small").eval()
    options = {"force": True, "report": False, "progress": False}
    with counting_images() as counts:
        kept = resemblance.convert(original, splits, tmp_path / "kept", **options)
    assert sum(count for count in counts if count > 2) == sum(images)
    read = resemblance.convert(original, splits, tmp_path / "read", latent_cache=0.0, **options)
    assert kept.model.facts["black_box"] == read.model.facts["black_box"]
    assert kept.model.facts["accuracy"] == read.model.facts["accuracy"]
    assert kept.model.facts["agreement"] == read.model.facts["agreement"]
    assert torch.allclose(kept.model.prototypes.vectors, read.model.prototypes.vectors, atol=1e-5)
    assert torch.equal(kept.model.prototypes.activations, read.model.prototypes.activations)
    assert torch.allclose(kept.model.prototypes.mean_similarity, read.model.prototypes.mean_similarity)
