"""Maps by gradients, compared with what can be computed by hand, and with plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resemblance.config.errors import UserError
from resemblance.relevance.gradients import (
    gradients,
    input_times_gradient,
    integrated_gradients,
    noise_of,
    smooth_gradients,
    smooth_relevance,
)


def network(outputs=3, channels=2, seed=0):
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(channels, 5, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(5 * 36, outputs)
    )
    return body.double()


def images_of(count=4, channels=2, seed=1):
    return torch.rand(
        count, channels, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def plain_gradient(values, image, k):
    variable = image[None].clone().requires_grad_()
    values(variable)[0, k].backward()
    return variable.grad[0]


def test_gradients_are_those_of_single_images_and_values():
    values, images = network(), images_of()
    maps = gradients(values, images)
    for row, image in enumerate(images):
        for k in range(3):
            expected = plain_gradient(values, image, k)
            torch.testing.assert_close(maps[row, k], expected, rtol=1e-12, atol=1e-14)


def test_input_times_gradient_of_a_linear_function_is_its_weights_times_the_image():
    weights = images_of(3, seed=5)
    images = images_of()
    maps = input_times_gradient(lambda x: torch.einsum("bchw,kchw->bk", x, weights), images)
    torch.testing.assert_close(maps, (images[:, None] * weights).sum(dim=2))


def test_smoothgrad_is_the_mean_over_noisy_copies():
    values, images = network(), images_of()
    maps = smooth_gradients(values, images, seed=7, samples=4, noise=0.2)
    for row, image in enumerate(images):
        deviation = 0.2 * (image.max() - image.min())
        expected = 0
        for sample in range(4):
            noisy = image + deviation * noise_of(7, sample, image.shape).double()
            expected = expected + plain_gradient(values, noisy, 2) / 4
        torch.testing.assert_close(maps[row, 2], expected, rtol=1e-12, atol=1e-14)


def test_noise_is_a_function_of_seed_and_sample_alone():
    values, images = network(), images_of()
    torch.manual_seed(3)
    maps = smooth_gradients(values, images, seed=1, samples=3)
    state = torch.random.get_rng_state()
    torch.manual_seed(4)
    alone = torch.cat([smooth_gradients(values, images[i : i + 1], seed=1, samples=3) for i in (3, 1)])
    torch.testing.assert_close(maps[[3, 1]], alone, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(maps, smooth_gradients(values, images, seed=2, samples=3))
    torch.random.set_rng_state(state)
    before = torch.random.get_rng_state()
    smooth_gradients(values, images, samples=2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_smoothgrad_of_an_image_of_one_colour_is_its_gradient():
    values, images = network(), torch.full((1, 2, 6, 6), 0.4, dtype=torch.float64)
    torch.testing.assert_close(smooth_gradients(values, images, samples=3), gradients(values, images))


def test_the_relevance_of_smoothgrad_is_what_a_linear_function_loses_without_a_pixel():
    weights = images_of(3, seed=5)

    def values(x):
        return torch.einsum("bchw,kchw->bk", x, weights)

    images = images_of()
    maps = smooth_relevance(values, images, samples=2)
    changed = images.clone()
    changed[:, :, 2, 4] = images.mean(dim=(2, 3))
    torch.testing.assert_close(maps[:, :, 2, 4], values(images) - values(changed))


@pytest.mark.parametrize("baseline", [0.0, 0.5, None])
def test_integrated_gradients_are_complete(baseline):
    values, images = network(), images_of()
    maps = integrated_gradients(values, images, baseline=baseline, steps=32)
    mean = images.mean(dim=(2, 3), keepdim=True)
    start = torch.zeros_like(images) + (mean if baseline is None else baseline)
    difference = values(images) - values(start)
    torch.testing.assert_close(maps.sum(dim=(2, 3)), difference.detach(), rtol=1e-9, atol=1e-11)


def test_integrated_gradients_of_a_polynomial_are_exact():
    """v = x₀² x₁: ∫ 2αx₀αx₁ dα · x₀ = ⅔ x₀² x₁, and ∫ α² x₀² dα · x₁ = ⅓ x₀² x₁."""
    image = torch.tensor([[[[2.0, 3.0]]]], dtype=torch.float64)
    maps = integrated_gradients(lambda x: x[:, 0, 0, :1] ** 2 * x[:, 0, 0, 1:], image, baseline=0.0, steps=3)
    torch.testing.assert_close(maps.flatten(), torch.tensor([8.0, 4.0], dtype=torch.float64))


def test_a_value_that_ignores_the_image_has_an_empty_map_beside_others():
    images = images_of(2)
    free = nn.Parameter(torch.ones(2, 1, dtype=torch.float64))
    maps = gradients(lambda x: torch.cat([x.sum(dim=(1, 2, 3))[:, None], free * 2], dim=1), images)
    assert maps[:, 0].eq(1).all()
    assert maps[:, 1].eq(0).all()
    assert free.grad is None
    assert gradients(lambda x: free * 2, images).eq(0).all()


def test_values_without_gradient_are_refused():
    with pytest.raises(UserError, match="has no gradient"):
        gradients(lambda x: torch.ones(2, 1), images_of(2))
