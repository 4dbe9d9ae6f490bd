"""Fast adversarial training: the attack of Wong et al., without state, in each step of every method."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cases import METHODS, SPEC, made, train
from frozen import made_with_weights
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.output import Output
from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.methods.registry import build
from resemblance.training.attacks.adversarial_training import FastAttack
from resemblance.training.attacks.classification import adversarial_accuracy
from resemblance.training.attacks.noise import ImageNoise
from resemblance.training.engine.fit import apply_config, fit, with_remedies
from resemblance.training.engine.module import StageModule
from stopping import Stop, stopping
from tiny import SPEC as TINY_SPEC
from tiny import Stage, Tiny, TinyConfig, both, digits, same
from tiny import make as make_tiny
from unharmed import assert_unharmed, snapshot

LEVEL = 1 / 255
BOTH = {"adversarial": "fgsm", "jpeg_augment": 0.5}


def attack(**changes):
    return FastAttack(**{"eps": 8 * LEVEL, "step": 10 * LEVEL, "seed": 0, "stage": 0, **changes})


def batch_for(model, count=4, seed=0):
    image = model.spec.image
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, image.channels, *image.size, generator=generator)
    return Batch(images, torch.arange(count) % model.spec.num_classes, torch.arange(count) + 30)


class RedChannel(Tiny):
    """Scores that grow with each pixel, which is normalised as the red channel of ImageNet."""

    def __init__(self):
        super().__init__(TinyConfig())
        self.normalize.std.fill_(0.229)

    def forward(self, images):
        total = self.normalize(images).sum(dim=(1, 2, 3))
        return Output(torch.stack([-total, total], dim=1), total[:, None], total[:, None])


def test_the_step_and_the_ball_in_normalised_units(monkeypatch):
    """Fact sheet: ε 8/255 and α 10/255 are .1370 and .1712 of the normalised red channel."""
    model, grey = RedChannel().eval(), torch.full((1, 1, 8, 8), 0.5)
    batch = Batch(grey, torch.tensor([0]), torch.tensor([0]))

    def change(start):
        noise = torch.full_like(grey, start)
        monkeypatch.setattr(FastAttack, "random_start", lambda *_: noise)
        images = attack().attacked(model, batch, 0).images
        return (model.normalize(images) - model.normalize(grey)).unique().item()

    assert change(0.0) == pytest.approx(0.1370, abs=1e-4)
    assert change(-8 * LEVEL) == pytest.approx(-0.1370 + 0.1712, abs=2e-4)


def wongs_fgsm(network, mean, std, images, labels, noise, eps, step):
    """Compute the attack in normalised space with the deviations of the channels, as the authors' code does."""
    x, limit = (images - mean) / std, eps / std
    low, high = (0 - mean) / std, (1 - mean) / std
    delta = torch.max(torch.min(noise / std, high - x), low - x).requires_grad_()
    F.cross_entropy(network(x + delta), labels).backward()
    moved = torch.max(torch.min(delta.detach() + step / std * delta.grad.sign(), limit), -limit)
    moved = torch.max(torch.min(moved, high - x), low - x)
    return (x + moved) * std + mean


def test_it_is_the_attack_of_the_authors_in_pixels():
    torch.manual_seed(0)
    mean, std = torch.rand(3, 1, 1).double(), (0.1 + torch.rand(3, 1, 1)).double()
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 5)).double()

    class Normalised(Tiny):
        def forward(self, images):
            scores = network((images - mean) / std)
            return Output(scores, scores, scores)

    model = Normalised(TinyConfig())
    images, labels = torch.rand(6, 3, 8, 8).double(), torch.arange(6) % 5
    batch, chosen = Batch(images, labels, torch.arange(6)), attack(eps=0.05, step=0.06)
    noise = chosen.random_start(images, batch.indices, 2)
    expected = wongs_fgsm(network, mean, std, images, labels, noise, 0.05, 0.06)
    torch.testing.assert_close(chosen.attacked(model, batch, 2).images, expected, rtol=0, atol=1e-12)


def test_the_start_depends_on_seed_stage_epoch_and_index_alone():
    images, indices = torch.zeros(4, 1, 8, 8), torch.tensor([4, 9, 1, 0])
    whole = attack().random_start(images, indices, 3)
    assert torch.equal(attack().random_start(images[:2], indices[[1, 3]], 3), whole[[1, 3]])
    torch.manual_seed(5)
    assert torch.equal(attack().random_start(images, indices, 3), whole)
    for other in (attack(seed=1), attack(stage=1)):
        assert (other.random_start(images, indices, 3) - whole).abs().amax(dim=(1, 2, 3)).min() > LEVEL
    assert (attack().random_start(images, indices, 4) - whole).abs().amax(dim=(1, 2, 3)).min() > LEVEL
    assert whole.abs().max() <= 8 * LEVEL
    assert whole.std().item() == pytest.approx(8 * LEVEL / 3**0.5, rel=0.1)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_images_stay_within_reach_and_the_model_as_it_was(method, precision):
    model = made(method)
    batch = batch_for(model)
    sum(model.loss(model(batch.images), batch.labels).values()).backward()
    model.train()
    before, state = snapshot(model), torch.get_rng_state()
    with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
        attacked = attack().attacked(model, batch, 0)
    assert_unharmed(model, before)
    assert torch.equal(torch.get_rng_state(), state)
    change = attacked.images - batch.images
    assert LEVEL < change.abs().max() <= 8 * LEVEL + 1e-6
    assert 0 <= attacked.images.min() <= attacked.images.max() <= 1
    assert not attacked.images.requires_grad
    assert torch.equal(attacked.labels, batch.labels)


@pytest.mark.parametrize("method", METHODS)
def test_every_step_of_every_method_trains_on_attacked_images(method, tmp_path, monkeypatch):
    """In the stages too that would train on outputs or latents that were computed once."""
    attacked, steps = [], []
    original, step = FastAttack.attacked, StageModule.training_step

    def counting(self, model, batch, epoch):
        attacked.append((self.stage, epoch, *batch.indices.tolist()))
        return original(self, model, batch, epoch)

    def stepping(self, batch, index):
        steps.append(type(batch))
        return step(self, batch, index)

    monkeypatch.setattr(FastAttack, "attacked", counting)
    monkeypatch.setattr(StageModule, "training_step", stepping)
    model = made(method)
    train(model, tmp_path / "run", images=64, **BOTH)
    assert set(steps) == {Batch}
    assert len(attacked) == len(steps) > 0
    assert len(set(attacked)) == len(attacked)


def test_the_attack_is_the_only_difference_and_makes_the_model_robust(tmp_path):
    def trained(name, **options):
        model = make_tiny(stages=(Stage("all", 25, both()),), dropout=0.0, nearest=0.0)
        config = TrainConfig(seed=5, accelerator="cpu", progress=False, **options)
        fit(model, digits(), tmp_path / name, config)
        images, labels, indices = ImageDataset(digits().val, TINY_SPEC.image).__getitems__(range(100))
        settings = {"start": ImageNoise(indices=indices), "eps": 25 * LEVEL, "step": 6 * LEVEL}
        return model, adversarial_accuracy(model, images, labels, **settings).float().mean().item()

    plain, before = trained("plain")
    assert same(plain, trained("none", adversarial="none", adversarial_eps=25)[0])
    robust, after = trained("fgsm", adversarial="fgsm", adversarial_eps=25, adversarial_step=31)
    assert not same(plain, robust)
    assert after > before + 0.1


@pytest.mark.parametrize("method", ["tiny", "protopnet", "prototree"])
def test_every_checkpoint_resumes_to_the_same_bits(method, tmp_path):
    def fresh(seed=0):
        return make_tiny(seed) if method == "tiny" else made(method, seed)

    def run_to(model, name, **more):
        options = {"seed": 3, "checkpoint_every_steps": 2, "accumulate": 2, "epochs": 3, **BOTH, **more}
        config = TrainConfig(accelerator="cpu", progress=False, batch_size=32, **options)
        return fit(model, digits(64, 30), tmp_path / name, config)

    whole = fresh()
    with stopping() as written:
        run_to(whole, "whole")
    for stop in range(len(written) // 2, len(written), 3 if method == "tiny" else 100):
        with stopping(stop), pytest.raises(Stop):
            run_to(fresh(), str(stop))
        resumed = fresh(seed=1)
        assert run_to(resumed, str(stop), resume=True).resumed == "resumed"
        assert same(resumed, whole), stop


def test_a_run_with_another_attack_is_not_resumed(tmp_path):
    config = {"accelerator": "cpu", "progress": False, "adversarial": "fgsm"}
    with stopping(2), pytest.raises(Stop):
        fit(make_tiny(), digits(), tmp_path, TrainConfig(**config))
    with pytest.raises(UserError, match=r"adversarial_eps was 8\.0, now 4\.0"):
        fit(make_tiny(), digits(), tmp_path, TrainConfig(**config, adversarial_eps=4.0, resume=True))


def test_scores_without_a_gradient_are_refused(tmp_path):
    with pytest.raises(UserError, match="gradient of the scores"):
        train(made("prototree", inference="greedy"), tmp_path / "run", adversarial="fgsm")


@pytest.mark.parametrize("option", [{"adversarial": "fgsm"}, {"jpeg_augment": 0.5}])
def test_a_model_without_training_steps_is_refused(option, tmp_path):
    model = made_with_weights("blackbox", tmp_path, freeze_encoder=True)
    with pytest.raises(UserError, match="makes none"):
        fit(model, digits(64, 30), tmp_path / "run", TrainConfig(accelerator="cpu", **option))


def test_a_probe_that_was_never_attacked_is_no_candidate(tmp_path):
    """Else validation, on images as they are, would keep it."""
    model = made_with_weights("blackbox", tmp_path)
    plain, robust = TrainConfig(), TrainConfig(adversarial="fgsm")
    recipe = apply_config(model.recipe(), plain)
    assert [stage.candidate for stage in with_remedies(recipe, model, plain).stages] == [True, True]
    stages = with_remedies(recipe, model, robust).stages
    assert [(stage.candidate, stage.clearly) for stage in stages] == [(False, False), (True, False)]


@pytest.mark.parametrize("option", [{"adversarial": "fgsm"}, {"jpeg_augment": 0.1}])
def test_views_that_are_kept_are_refused(option):
    name = next(iter(option)).replace("_", "-")
    with pytest.raises(UserError, match=f"--stored-views .* --{name}"):
        TrainConfig(stored_views=2, **option)


def test_what_it_attacks_in_a_black_box_with_clusters_is_the_classifier():
    """A KMEx has no prototypes before it is clustered."""
    torch.manual_seed(0)
    model = build("kmex", {"encoder": "small"}, SPEC)
    batch = batch_for(model)
    attacked = attack().attacked(model, batch, 0)
    with torch.no_grad():
        before, after = (
            F.cross_entropy(model(images).extras["blackbox"], batch.labels)
            for images in (batch.images, attacked.images)
        )
    assert after > before
