"""Stages behind a frozen encoder train on kept latents: with the same result, however the run was interrupted."""

from __future__ import annotations

import shutil

import pytest
import torch

from cases import digits
from frozen import SETTINGS, counting_images, made_with_weights
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.printing.lines import FolderWarning
from resemblance.training.cached import latent_cache
from resemblance.training.engine.fit import fit
from resemblance.writing import CannotWriteError
from stopping import Stop, stopping
from tiny import same

METHODS = list(SETTINGS)
OPTIONS = {"seed": 3, "accelerator": "cpu", "batch_size": 32, "epochs": 6, "progress": False}
FROZEN = ["protopnet", "tesnet", "deformable", "protopool", "prototree"]  # methods with a frozen stage


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEMBLANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "latents"


def train(model, run, **options):
    return fit(model, digits(96, 40), run, TrainConfig(**{**OPTIONS, **options}))


def close(first, second, atol=1e-4):
    a, b = first.state_dict(), second.state_dict()
    return all(torch.allclose(a[k].double(), b[k].double(), atol=atol, equal_nan=True) for k in a)


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_encoder_reads_each_image_once(method, tmp_path):
    model = made_with_weights(method, tmp_path, freeze_encoder=True)
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    with counting_images() as counts:
        train(model, tmp_path / "run")
    extra = (
        2 + 2 + 1 + (40 if method == "kmex" else 0)
    )  # test images for each set, the size, the final validation
    assert sum(counts) <= 96 + 40 + extra
    kept = {name: tensor for name, tensor in model.encoder.state_dict().items() if "classifier" not in name}
    assert kept
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.items())


@pytest.mark.parametrize("method", FROZEN)
def test_the_result_is_that_of_training_on_images(method, tmp_path):
    """To float rounding: batches of another size, and matrix products with gradients, are rounded differently."""
    with_cache, without = (made_with_weights(method, tmp_path, freeze_encoder=True) for _ in range(2))
    result = train(with_cache, tmp_path / "a")
    expected = train(without, tmp_path / "b", latent_cache=0.0)
    rows = [row for row in result.history if "train/loss" in row]
    others = [row for row in expected.history if "train/loss" in row]
    assert len(rows) == len(others) > 6
    for row, other in zip(rows[:3], others[:3], strict=True):
        assert row["train/loss"] == pytest.approx(other["train/loss"], rel=1e-4)
    assert result.validation_accuracy == pytest.approx(expected.validation_accuracy, abs=0.06)


def test_the_probe_is_that_of_images(tmp_path):
    with_cache, without = (made_with_weights("blackbox", tmp_path, freeze_encoder=True) for _ in range(2))
    train(with_cache, tmp_path / "a")
    train(without, tmp_path / "b", latent_cache=0.0)
    assert close(with_cache, without)
    assert not close(with_cache, made_with_weights("blackbox", tmp_path))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("blackbox", {}),
        ("kmex", {"refit_on_all": True}),
        ("protopnet", {"refit_on_all": True}),
        ("protopnet", {"augment": "crop", "stored_views": 2}),
    ],
)
def test_every_checkpoint_resumes_to_the_same_bits(method, options, tmp_path, own_cache):
    """Also if the kept latents are gone: they are computed again."""
    config = {"checkpoint_every_steps": 3, "epochs": 3, **options}
    whole = made_with_weights(method, tmp_path)
    with stopping() as written:
        expected = train(whole, tmp_path / "whole", **config)
    for stop in range(1, len(written), max(len(written) // 6, 1)):
        run = tmp_path / str(stop)
        with stopping(stop), pytest.raises(Stop):
            train(made_with_weights(method, tmp_path), run, **config)
        if stop % 2:
            shutil.rmtree(own_cache)
        resumed = made_with_weights(method, tmp_path, seed=1)
        result = train(resumed, run, **config, resume=True)
        assert same(resumed, whole), stop
        assert result.notes == expected.notes
        assert result.validation_accuracy == expected.validation_accuracy


def test_a_disk_that_fills_up_changes_no_bit(tmp_path, monkeypatch):
    whole, other = (made_with_weights("protopnet", tmp_path) for _ in range(2))
    train(whole, tmp_path / "a")
    monkeypatch.setenv("RESEMBLANCE_CACHE", str(tmp_path / "other"))

    def full(path, *_):
        raise CannotWriteError(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(latent_cache, "write_latents", full)
    with pytest.warns(FolderWarning, match="stay in memory"):
        train(other, tmp_path / "b")
    assert same(whole, other)


def test_latents_beyond_the_budget_are_computed_in_each_step(tmp_path, own_cache):
    model = made_with_weights("protopnet", tmp_path, freeze_encoder=True)
    with pytest.warns(FolderWarning, match="need 0.0 GB, more than --latent-cache 1e-06"):
        train(model, tmp_path / "run", latent_cache=1e-6)
    assert not own_cache.exists()


def test_augmented_images_are_not_kept_unless_asked_for(tmp_path):
    with counting_images() as counts:
        train(made_with_weights("prototree", tmp_path, freeze_encoder=True), tmp_path / "a", augment="crop")
    assert sum(counts) > 6 * 96
    with counting_images() as counts:
        options = {"augment": "crop", "stored_views": 3}
        train(made_with_weights("prototree", tmp_path, freeze_encoder=True), tmp_path / "b", **options)
    assert sum(counts) <= (1 + 3) * 96 + 40 + 10


def test_a_frozen_stage_makes_enough_steps_and_says_so(tmp_path):
    result = train(made_with_weights("protopnet", tmp_path), tmp_path / "run")
    warm = [row for row in result.history if row["stage"] == "warm"]
    assert len(warm) == 67  # of three steps
    assert "stage 'warm' has 67 epochs instead of 1, to make at least 200 steps" in result.notes


def test_random_weights_are_not_frozen(tmp_path):
    model = made_with_weights("protopnet", tmp_path, freeze_encoder=True)
    model.config.weights = "none"
    with pytest.raises(UserError, match="random weights: add --weights"):
        train(model, tmp_path / "run")


def test_an_encoder_that_is_no_part_of_its_own_is_not_frozen(tmp_path):
    from cases import made

    model = made("protovae", encoder="small", freeze_encoder=True)
    with pytest.raises(UserError, match="protovae trains its encoder together with the rest"):
        train(model, tmp_path / "run")
