"""Train a tiny model slowly in a process of its own, which says when it can be sent a signal.

Run as a script: FOLDER PLACE WORKERS DEVICES. It prints ``ready`` at the place (``step``, ``validation`` or ``pass``).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from resemblance.config.training import TrainConfig
from resemblance.training.ends import actions
from resemblance.training.ends.passes import evaluating, latents_of, training_images
from resemblance.training.engine.fit import fit
from resemblance.training.engine.interrupts import Interrupted
from tiny import Recipe, Stage, Tiny, TinyConfig, both, digits

STAGES = (Stage("joint", 4, both(), end=("linger",)), Stage("last", 1, {"head": both()["head"]}))
PAUSE = 0.05


class Lingering(Tiny):
    """A tiny model that can be slow, and prints where training is.

    Args:
        place: where to print ``ready``; by default nowhere, and training is fast.
    """

    def __init__(self, place: str = "") -> None:
        super().__init__(TinyConfig(), Recipe(STAGES, batch_size=64))
        self.place, self.calls = place, 0

    def loss(self, output, labels):
        self.linger("step" if self.training else "validation")
        return super().loss(output, labels)

    def linger(self, place: str) -> None:
        """Wait, and print ``ready`` at the eighth call of the place."""
        if place == self.place:
            self.calls += 1
            if self.calls == 8:
                print("ready", flush=True)
            time.sleep(PAUSE)


@actions.action("linger")
def linger(model: Lingering, context: actions.ActionContext) -> None:
    """Stands for projection: ten passes over the training images."""
    total = 0.0
    with evaluating(model):
        for _ in range(10):
            for latents, _, _ in latents_of(model, training_images(model, context), "lingering"):
                total += float(latents.mean())
                model.linger("pass")
        model.prototypes.vectors += 1e-3 * total


def train(folder: Path, place: str = "", **options):
    """Train the model; return it with the weights."""
    torch.manual_seed(0)
    model = Lingering(place)
    fit(model, digits(), folder, TrainConfig(seed=3, accelerator="cpu", progress=False, **options))
    return model


if __name__ == "__main__":
    folder, place, workers, devices = sys.argv[1:]
    try:
        train(Path(folder), place, workers=int(workers), devices=int(devices))
    except Interrupted as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
