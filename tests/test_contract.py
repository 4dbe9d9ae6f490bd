"""The contract for every registered method: fresh, trained, projected and pruned, saved and loaded."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cases import VARIANTS
from contract_checks import assert_contract
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.registry import build, list_methods
from resemblance.training.ends import actions

EMPTY = 1  # the class without images


def make(variant: str, classes: int = 3, height: int = 29, width: int = 26, channels: int = 1) -> Classifier:
    method, config = VARIANTS[variant]
    image = ImageSpec(height, width, channels, (0.5,) * channels, (0.25,) * channels)
    torch.manual_seed(0)
    return build(method, config, ModelSpec(tuple(f"class {c}" for c in range(classes)), image))


def images_of(model: Classifier, count: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, model.spec.image.channels, *model.spec.image.size, generator=generator)


def source_of(model: Classifier, count: int = 24) -> ArraySource:
    """Labelled noise with a bright corner for each class; class 1 has no images."""
    generator = np.random.default_rng(0)
    image, classes = model.spec.image, model.spec.num_classes
    labels = np.array([c for c in range(classes) if c != EMPTY])[np.arange(count) % (classes - 1)]
    pixels = generator.integers(0, 120, (count, image.height, image.width, image.channels), dtype=np.uint8)
    pixels[np.arange(count), labels % image.height] += 120
    return ArraySource(pixels, labels, model.spec.classes)


def train(model: Classifier, steps: int = 20, **autocast: object) -> None:
    source = source_of(model)
    batches = list(loader(ImageDataset(source, model.spec.image), 8))
    parameters = [p for group in model.parameter_groups().values() for p in group if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    model.train()
    for step in range(steps):
        batch = batches[step % len(batches)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bool(autocast)):
            terms = model.loss(model(batch.images), batch.labels)
            total = sum(terms.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.isfinite()


def finish(model: Classifier) -> None:
    """The end actions of the recipe, in order."""
    model.eval()
    source = source_of(model)
    for stage in model.recipe().stages:
        for action in stage.end:
            actions.run(action, model, actions.ActionContext(train=source, batch_size=8))


@pytest.mark.parametrize("classes", [2, 10, 300])
@pytest.mark.parametrize("variant", VARIANTS)
def test_fresh(variant, classes):
    model = make(variant, classes)
    assert_contract(model, images_of(model))


def assert_double(model: Classifier, images: torch.Tensor) -> None:
    """The head of a double model computes in float64, and so does its evidence."""
    with torch.no_grad():
        single = model(images)
        output = model.double()(images.double())
    assert output.scores.dtype == torch.float64
    assert torch.allclose(output.scores, single.scores.double(), rtol=1e-3, atol=1e-3)
    if not isinstance(model, PrototypeModel):
        return
    assert output.similarities.dtype == torch.float64
    evidence = model.evidence(output, output.scores.argmax(1))
    assert evidence.contributions.dtype == torch.float64
    total = evidence.contributions.sum(1) + evidence.bias
    scale = evidence.contributions.abs().sum(1) + evidence.bias.abs()
    assert ((total - output.scores.amax(1)).abs() <= 1e-13 * scale + 1e-300).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 3), (33, 47, 1), (64, 64, 3)])
def test_image_sizes(variant, height, width, channels):
    model = make(variant, 3, height, width, channels)
    assert_contract(model, images_of(model, 2))


@pytest.mark.parametrize("variant", VARIANTS)
def test_trained_then_projected_then_pruned_then_in_double_precision(variant):
    model = make(variant)
    train(model)
    assert_contract(model, images_of(model))
    finish(model)
    assert_contract(model, images_of(model))
    assert_contract(model, images_of(model, 1))
    assert_double(model, images_of(model))


@pytest.mark.parametrize("variant", VARIANTS)
def test_trained_in_bfloat16(variant):
    model = make(variant)
    train(model, 6, bf16=True)
    assert_contract(model, images_of(model))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images_of(model))
        assert output.scores.dtype == torch.float32
        if isinstance(model, PrototypeModel):
            predicted = output.scores.argmax(1)
            evidence = model.evidence(output, predicted)
            total = evidence.contributions.sum(1) + evidence.bias
            assert torch.allclose(total, output.scores.amax(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", ["kmex", "kmex patches", "protopnet", "prototree", "tesnet"])
def test_many_classes_after_projection(variant):
    model = make(variant, 300)
    finish(model)
    assert_contract(model, images_of(model))


LOAD = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
import resemblance
root = Path(sys.argv[1])
for folder in sorted(root.glob("*/model")):
    model = resemblance.load(folder)
    with torch.no_grad():
        output = model(load_file(folder.parent / "images.safetensors")["images"])
    save_file({"scores": output.scores.contiguous()}, folder.parent / "loaded.safetensors")
"""


def test_saved_and_loaded_in_a_new_process(tmp_path):
    expected = {}
    for variant in VARIANTS:
        model = make(variant)
        finish(model)
        folder = tmp_path / variant.replace(" ", "-")
        folder.mkdir()
        images = images_of(model)
        save_file({"images": images}, folder / "images.safetensors")
        model.save(folder / "model")
        with torch.no_grad():
            expected[folder.name] = model.eval()(images).scores
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], check=True)
    assert len(expected) == len(VARIANTS)
    for name, scores in expected.items():
        loaded = load_file(tmp_path / name / "loaded.safetensors")["scores"]
        assert torch.allclose(loaded, scores, rtol=1e-5, atol=1e-6), name


def test_every_method_is_in_the_contract_test():
    assert {method for method, _ in VARIANTS.values()} == set(list_methods())
