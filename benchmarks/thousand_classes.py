"""What a thousand classes cost beside the bare encoder: inference, a step of training, and its memory, of each method.

Ten prototypes (or slots) per class. Deformable ProtoPNet is measured beside the bare encoder and the one matrix product
of all parts with all windows that it cannot do without, PIP-Net beside the bare encoder with its finer map, for both
views in training. Methods with networks of their own are not here: their number of classes does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from bare_encoder import BATCH, SIZE, answer, inference, pair, step, training_memory, training_step
from timing import Measurement, device, print_table, rounds

from resemblance.core.classifier import Classifier
from resemblance.methods.pipnet.finer import make_finer

CLASSES = 1000
HOW = "1,000 classes, resnet18, 224 px, batch 16"


def work_of(model: Classifier, trains: bool) -> Callable[[], None]:
    """A step of training, or the scores of a batch."""
    return step(model) if trains else answer(model)


def beside_a_product(quick: bool, trains: bool) -> tuple[float, float]:
    """Deformable ProtoPNet beside the bare encoder and its one product."""
    bare, ours = pair("deformable", CLASSES)
    bare_work = work_of(bare, trains)
    length = ours.prototypes.channels * ours.prototypes.parts**2
    with torch.inference_mode():
        windows = ours.prototypes.grid(ours.latents(torch.rand(1, 3, SIZE, SIZE, device=device())))
    cells = torch.rand(BATCH * windows[0] * windows[1], length, device=device())
    parts = torch.rand(len(ours.prototypes), length, device=device())

    def base() -> None:
        bare_work()
        cells @ parts.T

    return rounds(base, work_of(ours, trains), 1 if quick else 5)


def beside_a_finer_map(quick: bool, trains: bool) -> tuple[float, float]:
    """PIP-Net beside the bare encoder with the same map, of both views."""
    bare, ours = pair("pipnet", CLASSES)
    make_finer(bare.encoder, bare.spec.image, ours.config.finer)
    bare_work = work_of(bare, trains)

    def base() -> None:
        for _ in range(2 if trains else 1):
            bare_work()

    return rounds(base, work_of(ours, trains), 1 if quick else 3)


# Of each method: its title, and how often the base inference and a step of training may take.
METHODS = {
    "protopnet": ("ProtoPNet, 10,000 prototypes", 1.05, 1.15),
    "tesnet": ("TesNet, 10,000 concepts", 2.0, 2.0),
    "protopool": ("ProtoPool, 10,000 slots", 2.0, 2.0),
    "prototree": ("ProtoTree, 1,023 nodes", 2.0, 2.0),
    "protopshare": ("ProtoPShare, 5,000 prototypes", 2.0, 2.0),
    "kmex": ("KMEx, 10,000 prototypes", 2.0, 2.0),
}
# The same for those with another base.
OTHERS = {
    "deformable": ("Deformable, 10,000 x 9 parts", beside_a_product, "bare + product", 1.2),
    "pipnet": ("PIP-Net, 512 channels", beside_a_finer_map, "finer bare", 2.0),
}

MEASUREMENTS = {
    **{
        f"thousand-{method}-{kind}": Measurement(
            f"{title}, {kind} / bare", partial(work, method=method, classes=CLASSES), goal, HOW
        )
        for method, (title, *goals) in METHODS.items()
        for kind, work, goal in (
            ("inference", inference, goals[0]),
            ("step", training_step, goals[1]),
            ("memory", training_memory, 1.2),
        )
    },
    **{
        f"thousand-{method}-{kind}": Measurement(
            f"{title}, {kind} / {base}", partial(work, trains=trains), goal, HOW
        )
        for method, (title, work, base, goal) in OTHERS.items()
        for kind, trains in (("inference", False), ("step", True))
    },
    "thousand-deformable-memory": Measurement(
        "Deformable, 10,000 x 9 parts, memory / bare",
        partial(training_memory, method="deformable", classes=CLASSES),
        None,
        HOW,
    ),
}


if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
