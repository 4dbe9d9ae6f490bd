"""The report of a toy model, for tests of pages."""

from __future__ import annotations

import numpy as np
import torch

from resemblance.explain.explain import explain_batch
from resemblance.prototypes.gallery import Gallery, GalleryItem, Picture
from resemblance.report.collect import collect
from toy_model import Toy


def run(kind=Toy, name="run", **options):
    model = kind()
    rng = np.random.default_rng(0)
    count = len(model.prototypes)
    sources = [Picture.from_pixels(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(count)]
    model.gallery = Gallery(
        GalleryItem("training image", f"train/{i}.png", (2, 2, 9, 9) if model.traits.maps else None, source)
        for i, source in enumerate(sources)
    )
    model.prototypes.activations.copy_(torch.tensor([5, 0, 3, 2, 9, 1]))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    explanations = explain_batch(model, images, labels=[0, 1, 2, 0], top=3)
    confusion = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 10]])
    return collect(
        model,
        name,
        data="digits",
        confusions={"validation": confusion, "test": confusion},
        black_box={"test": 0.97},
        agreement={"test": 0.93},
        explanations=explanations,
        **options,
    )
