"""What relevance maps cost beside plain gradients, with zennit's rules beside ours."""

from __future__ import annotations

from functools import partial

import torch
from bare_encoder import BATCH, SIZE, pair, photo_spec
from timing import Measurement, device, print_table, rounds

from resemblance.methods.registry import build


def relevance(quick: bool, prototypes: int) -> tuple[float, float]:
    """PRP maps of a few prototypes against one forward pass and as many plain backward passes to the images."""
    from resemblance.relevance.lrp import prp_maps

    ours = pair()[1].eval().requires_grad_(False)
    images, which = (
        torch.rand(BATCH, 3, SIZE, SIZE, device=device()),
        torch.arange(prototypes, device=device()),
    )

    def gradients() -> None:
        x = images.clone().requires_grad_()
        latents = ours.latents(x)
        for _ in range(prototypes):
            torch.autograd.grad(latents, x, latents.detach(), retain_graph=True)

    return rounds(gradients, lambda: prp_maps(ours, images, which), 2 if quick else 7)


def zennit_relevance(quick: bool, prototypes: int) -> tuple[float, float]:
    """The same passes with zennit's rules, on torchvision's layout of the network, where zennit is installed."""
    from zennit.composites import SpecialFirstLayerMapComposite
    from zennit.layer import Sum
    from zennit.rules import Norm, Pass, ZBox, ZPlus
    from zennit.torchvision import ResNetCanonizer
    from zennit.types import Activation, AvgPool, BatchNorm, Convolution

    bare = build("blackbox", {"encoder": "torchvision/resnet18"}, photo_spec()).to(device()).eval()
    network, images = bare.encoder, torch.rand(BATCH, 3, SIZE, SIZE, device=device())
    bounds = (
        torch.full((1, 3, 1, 1), value, device=device()).expand(1, 3, SIZE, SIZE) for value in (0.0, 1.0)
    )
    composite = SpecialFirstLayerMapComposite(
        layer_map=[
            (Activation, Pass()),
            (Sum, Norm()),
            (AvgPool, Norm()),
            (BatchNorm, Pass()),
            (Convolution, ZPlus(zero_params=["bias"])),
        ],
        first_map=[(Convolution, ZBox(*bounds, zero_params=["bias"]))],
        canonizers=[ResNetCanonizer()],
    )

    def gradients() -> None:
        x = images.clone().requires_grad_()
        latents = network.map(network.features(x))
        for _ in range(prototypes):
            torch.autograd.grad(latents, x, latents.detach(), retain_graph=True)

    def theirs() -> None:
        with composite.context(network) as modified:
            x = images.clone().requires_grad_()
            latents = modified.map(modified.features(x))
            for _ in range(prototypes):
                torch.autograd.grad(latents, x, latents.detach(), retain_graph=True)

    return rounds(gradients, theirs, 2 if quick else 7)


MEASUREMENTS = {
    **{
        f"prp-{count}": Measurement(
            f"PRP maps of {count} / forward and backward passes",
            partial(relevance, prototypes=count),
            goal,
            "resnet18, 224 px, batch 16",
        )
        for count, goal in ((1, 2.0), (5, 1.6))
    },
    **{
        f"zennit-{count}": Measurement(
            f"zennit's rules for {count} / forward and backward passes",
            partial(zennit_relevance, prototypes=count),
            None,
            "torchvision's resnet18, 224 px, batch 16",
        )
        for count in (1, 5)
    },
}


if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
