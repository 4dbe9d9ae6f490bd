"""Activation maximisation: change an image to increase an attribute (Parekh et al. 2021, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from resemblance.data.progress import track


@dataclass(frozen=True)
class Ascent:
    """The objective and the optimiser by which images are changed; all means are over the pixels of an image.

    The objective is ``strength``·φ_j − ``variation``·TV − ``bound``·mean(|x| outside [low, high]) −
    ``sparsity``·mean|x|, where TV is the mean absolute difference of vertical neighbours plus that of horizontal
    neighbours. It is maximised in ``rounds``, each with ``steps`` steps of a new Adam; ``rate`` is its first learning
    rate, which is multiplied by ``decay`` after each round.

    Args:
        start: share of the image to start from ("partial initialisation").
        jitter: the most pixels by which the image is shifted at random in each step.

    Example:
        >>> GREY.rounds * GREY.steps, GREY.quick().rounds * GREY.quick().steps
        (600, 60)
    """

    strength: float = 2.0
    variation: float = 6.0
    bound: float = 10.0
    sparsity: float = 0.0
    low: float = 0.0
    high: float = 1.0
    start: float = 0.3
    rounds: int = 12
    steps: int = 50
    rate: float = 0.05
    decay: float = 0.5
    jitter: int = 0

    def quick(self, steps: int = 15) -> Ascent:
        """Return a faster version with four rounds of ``steps`` steps, for a preview."""
        return replace(self, rounds=4, steps=steps)


# The authors' constants for MNIST, Fashion-MNIST and QuickDraw; for CIFAR-10; for CUB (two phases).
GREY = Ascent()
COLOUR = Ascent(variation=20.0, bound=20.0, low=-2.5, high=2.5, start=0.4)
LARGE = (
    Ascent(4.0, 80.0, 20.0, 0.0, -2.5, 2.5, 0.5, steps=200, rate=0.01, decay=1 / 1.5, jitter=10),
    Ascent(4.0, 240.0, 20.0, 0.0, -2.5, 2.5, 1.0, steps=180, rate=0.01, decay=1 / 1.5, jitter=10),
)


def variation(images: Tensor) -> Tensor:
    """Compute TV of images (B, C, H, W), (B,): mean absolute difference of vertical plus of horizontal neighbours.

    Example:
        >>> variation(torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]]))
        tensor([3.])
    """
    return sum((images.diff(dim=axis).abs().flatten(1).mean(dim=1) for axis in (2, 3)), torch.zeros(()))


def maximise(
    function: Callable[[Tensor], Tensor],
    images: Tensor,
    columns: Sequence[int] | Tensor,
    ascent: Ascent = GREY,
    *,
    progress: bool = False,
) -> Tensor:
    """Increase an attribute in each image, starting from the darkened image.

    All images are changed at once, independently of each other. The result is deterministic: jitter has its own random
    generator with a fixed seed.

    Args:
        function: computes attributes (N, J) from images (N, C, H, W), such as `FLINT.phi` in evaluation mode.
        images: (N, C, H, W) in the function's own range.
        columns: (N,), the attribute to increase in each image.
        ascent: objective and optimiser.
        progress: whether to show a progress bar.

    Returns:
        (N, C, H, W); values may be slightly outside [low, high].

    Example:
        >>> bright = maximise(lambda x: x.flatten(1).mean(1, keepdim=True), torch.ones(1, 1, 4, 4), [0], GREY.quick())
        >>> bool(bright.mean() > 0.9)
        True
    """
    indices = torch.as_tensor(columns, device=images.device)[:, None]
    changed = (ascent.start * images.detach()).requires_grad_()
    generator = torch.Generator().manual_seed(0)
    rounds = track(range(ascent.rounds), "maximising attributes", progress)
    with torch.enable_grad():
        for number in rounds:
            optimizer = torch.optim.Adam([changed], lr=ascent.rate * ascent.decay**number)
            for _ in range(ascent.steps):
                attributes = function(_shifted(changed, ascent.jitter, generator))
                outside = changed.abs() * ((changed > ascent.high) | (changed < ascent.low))
                gain = (
                    ascent.strength * attributes.float().gather(1, indices)[:, 0]
                    - ascent.variation * variation(changed)
                    - ascent.bound * outside.flatten(1).mean(dim=1)
                    - ascent.sparsity * changed.abs().flatten(1).mean(dim=1)
                )
                # Only the images get gradients, not the parameters of the function.
                (changed.grad,) = torch.autograd.grad(-gain.sum(), [changed])
                optimizer.step()
    return changed.detach()


def _shifted(images: Tensor, jitter: int, generator: torch.Generator) -> Tensor:
    if not jitter:
        return images
    y, x = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
    return images.roll((y, x), dims=(2, 3))
