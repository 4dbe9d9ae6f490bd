"""Attacks and noise: within their bounds, exact where they can be computed by hand, the same in any batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resemblance.training.attacks.noise import ImageNoise, noisy_images
from resemblance.training.attacks.pgd import fgsm, pgd


def images(count=4, seed=0, channels=2):
    return torch.rand(
        count, channels, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 4 * 3, 1), nn.Flatten(0)
    return nn.Sequential(*layers).double()


def test_gradients_are_computed_where_they_are_switched_off():
    batch, model = images(), network()
    expected = pgd(model, batch, eps=0.1, step=0.05, steps=3)
    with torch.no_grad():
        attacked = pgd(model, batch, eps=0.1, step=0.05, steps=3)
    assert not attacked.blind.any()
    assert torch.equal(attacked.images, expected.images)


def plain_pgd(objective, image, eps, step, steps):
    """One image at a time; return the best of all steps."""
    best, largest, current = image, objective(image[None]).item(), image
    for _ in range(steps):
        current = current.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(current[None]).sum(), current)
        current = (current.detach() + step * gradient.sign()).clamp(image - eps, image + eps).clamp(0, 1)
        if (value := objective(current[None]).item()) > largest:
            best, largest = current, value
    return best


def test_pgd_is_the_plain_loop_image_by_image():
    model, batch = network(), images()
    attacked = pgd(model, batch, eps=0.1, step=0.03, steps=7)
    plain = torch.stack([plain_pgd(model, image, 0.1, 0.03, 7) for image in batch])
    torch.testing.assert_close(attacked.images, plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(attacked.after, model(attacked.images))
    assert (attacked.after > attacked.before).all()
    assert not attacked.blind.any()


def test_a_linear_objective_reaches_its_bound():
    weights = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    attacked = pgd(lambda x: (x * weights).sum(dim=(1, 2, 3)), images(), eps=0.05, step=0.02, steps=3)
    expected = (images() + 0.05 * weights.sign()).clamp(0, 1)
    torch.testing.assert_close(attacked.images, expected)


def test_only_the_mask_changes_and_the_image_stays_an_image():
    mask = torch.zeros(4, 1, 6, 5, dtype=torch.bool)
    mask[:, :, :2] = True
    attacked = pgd(network(), images(), eps=0.3, step=0.2, steps=4, mask=mask, start=ImageNoise(5))
    change = attacked.images - images()
    assert change[:, :, 2:].abs().max() == 0
    assert change[:, :, :2].abs().max() > 0.1
    assert change.abs().max() <= 0.3 + 1e-12
    assert attacked.images.min() >= 0
    assert attacked.images.max() <= 1


@pytest.mark.parametrize("start", [lambda _: None, lambda indices: ImageNoise(3, indices)])
def test_an_image_is_attacked_alike_in_any_batch(start):
    whole = pgd(network(), images(), steps=3, start=start([5, 6, 7, 8])).images
    part = pgd(network(), images()[2:], steps=3, start=start([7, 8])).images
    torch.testing.assert_close(whole[2:], part, rtol=0, atol=1e-12)


def test_each_step_is_one_forward_and_one_backward_pass():
    model, calls = network(), []
    model.register_forward_hook(lambda *_: calls.append("forward"))
    model.register_full_backward_hook(lambda *_: calls.append("backward"))
    pgd(model, images(), steps=5)
    assert (calls.count("forward"), calls.count("backward")) == (5 + 2, 5)


def test_a_loss_without_gradient_is_reported_and_changes_nothing():
    """The cross-entropy of a single logit is 0 for any image: so the attack of Sacha et al. has none."""
    model = network()

    def objective(x):
        return F.cross_entropy(model(x)[:, None], torch.zeros(len(x), dtype=torch.int64), reduction="none")

    attacked = pgd(objective, images())
    assert attacked.blind.all()
    torch.testing.assert_close(attacked.images, images(), rtol=0, atol=0)
    constant = pgd(lambda x: torch.zeros(len(x)), images())
    assert constant.blind.all()


def test_gradients_that_are_not_numbers_do_not_reach_the_image():
    attacked = pgd(lambda x: (x - x.detach()).abs().sqrt().sum(dim=(1, 2, 3)), images())
    assert attacked.images.isfinite().all()
    assert attacked.blind.all()


def test_parameters_receive_no_gradient():
    model = network()
    pgd(model, images(), steps=2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fgsm_is_one_full_step():
    batch, model = images(), network()
    x = batch.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    attacked = fgsm(model, batch, eps=1e-3)
    torch.testing.assert_close(attacked.images, (batch + 1e-3 * gradient.sign()).clamp(0, 1))


def test_an_objective_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="not one value for each"):
        pgd(lambda x: x.sum(), images())
    with pytest.raises(ValueError, match="negative"):
        pgd(network(), images(), eps=-1)


def test_noise_depends_on_seed_index_and_number_alone():
    whole, one = ImageNoise(2, [4, 9, 1, 0]).uniform(images(), 0.1), images()[1:2]
    torch.testing.assert_close(ImageNoise(2, [9]).uniform(one, 0.1), whole[1:2])
    torch.testing.assert_close(ImageNoise(2, torch.tensor([9])).uniform(one, 0.1), whole[1:2])
    for noise, number in ((ImageNoise(3, [9]), 0), (ImageNoise(2, [8]), 0), (ImageNoise(2, [9]), 1)):
        assert (noise.uniform(one, 0.1, number) - whole[1:2]).abs().max() > 0.01
    with pytest.raises(ValueError, match="indices"):
        ImageNoise(indices=[1]).uniform(images(), 0.1)


def test_noise_has_its_distribution():
    large = torch.zeros(1, 3, 200, 200, dtype=torch.float64)
    uniform, normal = ImageNoise().uniform(large, 0.4), ImageNoise().normal(large, 0.2, largest=0.25)
    assert abs(uniform.std().item() - 0.4 / 3**0.5) < 0.002
    assert uniform.abs().max() <= 0.4
    assert abs((normal.abs() == 0.25).double().mean().item() - 0.2113) < 0.005  # beyond 1.25 deviations
    assert abs(normal.mean().item()) < 0.003


def test_stability_noise_is_about_11_grey_levels():
    """Of ImageNet's deviations (F7)."""
    grey = torch.full((1, 3, 100, 100), 0.5, dtype=torch.float64)
    changed = noisy_images(grey, (0.229, 0.224, 0.225))
    assert 9 < 255 * (changed - grey).std().item() < 12
    black = torch.zeros(1, 3, 8, 8)
    assert noisy_images(black, (0.2,) * 3).min() == 0 > noisy_images(black, (0.2,) * 3, clip=False).min()
