"""Norms and products with gradients of their own, against their plain forms."""

from __future__ import annotations

import torch

from resemblance.methods.weighted_parts.bases import inner_products
from resemblance.methods.weighted_parts.foreign import foreign_l1


def test_the_norm_of_foreign_weights_and_its_gradient_are_those_of_a_mask_product():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    weight[0, 1] = 0
    owners = torch.rand(7, 5, generator=generator) < 0.4  # prototypes of several classes, and of none
    cheap, plain = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    norm, expected = foreign_l1(cheap, owners.T), (plain * ~owners.T).abs().sum()
    assert torch.allclose(norm, expected, rtol=1e-12)
    (3 * norm).backward()
    (3 * expected).backward()
    assert torch.equal(cheap.grad, plain.grad)


def test_inner_products_have_the_gradient_of_both_sides():
    generator = torch.Generator().manual_seed(0)
    bases, share = (
        torch.rand(2, 3, size, generator=generator, dtype=torch.float64, requires_grad=size == 4)
        for size in (4, 3)
    )
    gradients = [
        torch.autograd.grad((share * products).sum(), bases)[0]
        for products in (inner_products(bases), bases @ bases.mT)
    ]
    assert torch.allclose(*gradients, rtol=1e-12)
