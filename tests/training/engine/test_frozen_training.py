"""Stages behind a frozen encoder train on kept latents: with the same result, however the run was interrupted."""

from __future__ import annotations

import shutil

import pytest
import torch

from cases import SPEC, digits, made
from frozen import SETTINGS, counting_images, made_with_weights
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.methods.registry import build
from resemblance.printing.lines import FolderWarning
from resemblance.training.cached import latent_cache
from resemblance.training.cached.frozen_encoder import bytes_per_image
from resemblance.training.cached.latent_cache import GIGABYTE
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


def train(model, run, images=(96, 40), **options):
    return fit(model, digits(*images), run, TrainConfig(**{**OPTIONS, **options}))


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
    assert len(rows) == len(others) >= 6
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
    for stop in range(1, len(written), max(len(written) // 3, 1)):
        run = tmp_path / str(stop)
        with stopping(stop), pytest.raises(Stop):
            train(made_with_weights(method, tmp_path), run, **config)
        if stop > 1:
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


def test_the_budget_counts_what_end_actions_read_in_full_precision(tmp_path, own_cache):
    model = made_with_weights("protopnet", tmp_path, freeze_encoder=True)
    each = bytes_per_image(model)
    needed = (96 + 40) * each / 2 + 96 * each
    with pytest.warns(FolderWarning, match="more than --latent-cache"):
        train(model, tmp_path / "a", precision="bf16-mixed", latent_cache=(needed - 1) / GIGABYTE)
    assert not own_cache.exists()
    train(model, tmp_path / "b", precision="bf16-mixed", latent_cache=(needed + 1) / GIGABYTE)
    assert 0 < sum(path.stat().st_size for path in own_cache.glob("*")) < 1.01 * needed


def test_augmented_images_are_not_kept_unless_asked_for(tmp_path):
    with counting_images() as counts:
        train(made_with_weights("prototree", tmp_path, freeze_encoder=True), tmp_path / "a", augment="crop")
    assert sum(counts) > 6 * 96
    with counting_images() as counts:
        options = {"augment": "crop", "stored_views": 3}
        train(made_with_weights("prototree", tmp_path, freeze_encoder=True), tmp_path / "b", **options)
    assert sum(counts) <= (1 + 3) * 96 + 40 + 10


def test_a_frozen_stage_makes_enough_steps_and_says_so(tmp_path):
    model = made_with_weights("protopnet", tmp_path, least=200, joint_epochs=1, last_epochs=1)
    result = train(model, tmp_path / "run")
    warm = [row for row in result.history if row["stage"] == "warm"]
    assert len(warm) == 67  # of three steps
    assert "stage 'warm' has 67 epochs instead of 5, to make at least 200 steps" in result.notes


def stages_of(result):
    return list(dict.fromkeys(row["stage"] for row in result.history if "train/loss" in row))


def test_after_the_probe_the_encoder_is_trained(tmp_path):
    model = made_with_weights("blackbox", tmp_path)
    result = train(model, tmp_path / "run")
    assert stages_of(result) == ["encoder and head"]
    rates = [row["rate/encoder"] / row["rate/head"] for row in result.history if "rate/head" in row]
    assert rates == pytest.approx([0.1] * 6)
    candidates = [row for row in result.history if row.get("candidate")]
    assert [row["stage"] for row in candidates] == ["probe", "encoder and head"]
    clear = (candidates[1]["val/accuracy"] - candidates[0]["val/accuracy"]) * 40
    chosen = "chosen on validation: the model after stage 'probe'" in result.notes
    assert chosen == (clear <= (40 * (2 - sum(row["val/accuracy"] for row in candidates))) ** 0.5)


def test_training_that_validation_could_not_judge_is_left_out(tmp_path):
    model = made_with_weights("blackbox", tmp_path)
    result = train(model, tmp_path / "run", images=(96, 1))
    assert stages_of(result) == []
    assert any(note.startswith("stage 'encoder and head' was left out") for note in result.notes)
    frozen = made_with_weights("blackbox", tmp_path, freeze_encoder=True)
    train(frozen, tmp_path / "frozen", images=(96, 1))
    assert same(model, frozen)


def test_without_validation_images_the_probe_is_the_model(tmp_path):
    model = made_with_weights("blackbox", tmp_path)
    result = train(model, tmp_path / "run", images=(96, 0))
    assert stages_of(result) == []
    frozen = made_with_weights("blackbox", tmp_path, freeze_encoder=True)
    train(frozen, tmp_path / "frozen", images=(96, 0))
    assert same(model, frozen)


def test_kmex_clusters_the_embeddings_of_the_chosen_encoder(tmp_path):
    model = made_with_weights("kmex", tmp_path)
    result = train(model, tmp_path / "run", images=(96, 1))
    frozen = made_with_weights("kmex", tmp_path, freeze_encoder=True)
    train(frozen, tmp_path / "frozen", images=(96, 1))
    assert any("left out" in note for note in result.notes)
    assert same(model.encoder, frozen.encoder)
    assert model.prototypes.owners.any(dim=0).all()
    assert model.prototypes.usage_counted


def test_the_classifier_beside_patches_is_fitted_on_embeddings(tmp_path):
    whole = made_with_weights("kmex", tmp_path, freeze_encoder=True)
    patches = made_with_weights("kmex", tmp_path, freeze_encoder=True, patches=True)
    train(whole, tmp_path / "whole")
    train(patches, tmp_path / "patches")
    assert close(whole.encoder, patches.encoder)
    assert patches.prototypes.vectors.shape[1:] == (patches.encoder.channels, 1, 1)


def test_a_classifier_that_comes_with_the_weights_is_not_fitted_again(tmp_path):
    path = tmp_path / "whole.pt"
    torch.manual_seed(1)
    torch.save(made("blackbox").encoder.state_dict(), path)
    model = build("blackbox", {"encoder": "small", "weights": str(path)}, SPEC)
    assert [stage.name for stage in model.recipe().stages] == ["encoder and head"]
    model.config.freeze_encoder = True
    assert [stage.name for stage in model.recipe().stages] == ["head"]


def test_random_weights_are_not_frozen(tmp_path):
    model = made_with_weights("protopnet", tmp_path, freeze_encoder=True)
    model.config.weights = "none"
    with pytest.raises(UserError, match="random weights: add --weights"):
        train(model, tmp_path / "run")


def test_an_encoder_that_is_no_part_of_its_own_is_not_frozen(tmp_path):
    model = made("protovae", encoder="small", freeze_encoder=True)
    with pytest.raises(UserError, match="protovae trains its encoder together with the rest"):
        train(model, tmp_path / "run")
