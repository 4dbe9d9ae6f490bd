"""A tiny model under the contract, and tiny data; training takes milliseconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.recipe import Group, Recipe, Schedule, Stage
from resemblance.methods.base import PrototypeMethod
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends import actions
from resemblance.training.engine.state import RunState

torch.set_num_threads(1)  # more threads than free cores make a model this small a hundred times slower

CLASSES = tuple("0123456789")
SPEC = ModelSpec(CLASSES, ImageSpec(8, 8, 1, (0.3,), (0.35,)))


@dataclass
class TinyConfig(MethodConfig):
    norm: bool = True
    dropout: float = 0.1
    nearest: float = 0.1


def both(rate: float = 1e-2) -> dict[str, Group]:
    return {"body": Group(rate), "head": Group(rate)}


def two_stages() -> tuple[Stage, ...]:
    step = Schedule("step", size=1, gamma=0.5)
    return (
        Stage("warm", 2, {"head": Group(1e-2, 1e-3)}),
        Stage("joint", 3, both(), schedule=step, select="best", end=("nudge",)),
    )


class Tiny(PrototypeMethod):
    """One hidden layer, prototypes on it, logits −d²; with dropout and, if wanted, batch norm."""

    name = "tiny"

    def __init__(self, config: TinyConfig, recipe: Recipe | None = None, per_class: int = 2) -> None:
        super().__init__(config, SPEC)
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 16),
            nn.BatchNorm1d(16) if config.norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.prototypes = PrototypeLayer(
            PrototypeLayer.class_major(per_class, 10), torch.rand(10 * per_class, 16)
        )
        self.last = nn.Linear(10 * per_class, 10)
        self._recipe = recipe or Recipe(two_stages(), batch_size=64, augment="none")

    def latents(self, images):
        return self.body(self.normalize(images))

    def head(self, latents):
        latents = latents.float()
        similarities = -((latents[:, None] - self.prototypes.vectors) ** 2).mean(2)
        return Output(self.last(similarities), similarities, latents)

    def evidence(self, output, classes):
        contributions = self.last.weight[classes] * output.similarities
        return Evidence(contributions, self.last.bias[classes], torch.arange(len(self.prototypes)))

    def loss(self, output, labels):
        # Each prototype's nearest image of the batch: over all processes, so that it has to gather.
        nearest = -gather(output.similarities).amax(dim=0).mean()
        return {
            "cross_entropy": self.cross_entropy(output.scores, labels),
            "nearest": self.config.nearest * nearest,
        }

    def recipe(self):
        return self._recipe

    def parameter_groups(self):
        return {
            "body": list(self.body.parameters()),
            "head": [self.prototypes.vectors, self.last.weight, self.last.bias],
        }

    def keep(self, indices):
        super().keep(indices)
        self.last.weight = nn.Parameter(self.last.weight.detach()[:, indices].clone())


class LateReader(Tiny):
    """In a second process, reads the states that the first one writes late."""

    def __setstate__(self, state):
        super().__setstate__(state)
        if dist.is_initialized() and dist.get_rank() > 0:
            read = RunState.load.__func__

            def late(cls, path):
                time.sleep(0.3)
                return read(cls, path)

            RunState.load = classmethod(late)


@actions.action("nudge")
def nudge(model: PrototypeModel, context: actions.ActionContext) -> None:
    """Stands for projection: prototypes move to values that depend on the data and the seed."""
    labels = torch.from_numpy(context.train.labels)
    with torch.no_grad():
        vectors = model.prototypes.vectors
        vectors += 1e-2 * torch.rand_like(vectors) + 1e-4 * labels.float().mean()
    model.facts["nudged"] = model.facts.get("nudged", 0) + 1


@actions.action("halve")
def halve(model: PrototypeModel, context: actions.ActionContext) -> None:
    """Stands for pruning."""
    context.kept = torch.arange(0, len(model.prototypes), 2)
    model.keep(context.kept)
    context.notes.append(f"{len(model.prototypes)} prototypes left")


def make(seed: int = 0, stages: tuple[Stage, ...] | None = None, batch: int = 64, **config) -> Tiny:
    torch.manual_seed(seed)
    recipe = None if stages is None else Recipe(stages, batch_size=batch)
    return Tiny(TinyConfig(**config), recipe)


def digits(train: int = 320, val: int = 100):
    """scikit-learn's digits at 8×8."""
    from resemblance.data.sources.source import DataSplits

    images, labels = load_digits(return_X_y=True)
    array = (images.reshape(-1, 8, 8, 1) * 15.9).astype(np.uint8)
    labels = labels.astype(np.int64)

    def part(chosen):
        return array_source(array[chosen], labels[chosen])

    return DataSplits(part(slice(0, train)), part(slice(train, train + val)), None, CLASSES, "digits")


def array_source(array, labels):
    from resemblance.data.sources.source import ArraySource

    return ArraySource(array, labels, CLASSES)


def same(first, second) -> bool:
    """Return whether two models have the same tensors, bit by bit."""
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k].nan_to_num(7.0), b[k].nan_to_num(7.0)) for k in a)
