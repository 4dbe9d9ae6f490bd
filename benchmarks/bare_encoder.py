"""What prototypes cost beside the bare encoder: inference, a step of training, its memory, projection, conversion."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import Measurement, device, print_table, rounds

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.training_step import TrainingStep
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.protopshare.model import ProtoPShare
from resemblance.methods.registry import build

CLASSES, PER_CLASS, BATCH, SIZE = 200, 10, 16, 224


def photo_spec(classes: int = CLASSES) -> ModelSpec:
    """Classes at 224 pixels, by default 200, as CUB-200-2011."""
    return ModelSpec(
        tuple(f"{c:03d}" for c in range(classes)), ImageSpec(SIZE, SIZE, 3, (0.5,) * 3, (0.25,) * 3)
    )


def pair(method: str = "protopnet", classes: int = CLASSES) -> tuple[Classifier, Classifier]:
    """The bare classifier and a part method on the same encoder."""
    spec = photo_spec(classes)
    torch.manual_seed(0)
    bare = build("blackbox", {"encoder": "resnet18"}, spec).to(device())
    share = {"protopool": "slots", "prototree": None, "pipnet": None}.get(method, "prototypes_per_class")
    size = {} if share is None else {share: PER_CLASS}
    ours = build(method, {"encoder": "resnet18", **size}, spec).to(device())
    if isinstance(ours, ProtoPShare):  # merged: each class shares all its prototypes with one other
        ours.merge(torch.arange(classes * PER_CLASS) % (classes * PER_CLASS // 2))
    return bare, ours


def inference(quick: bool, method: str = "protopnet", classes: int = CLASSES) -> tuple[float, float]:
    """Scores of a batch of 16."""
    bare, ours = pair(method, classes)
    return rounds(answer(bare), answer(ours), 3 if quick else 15)


def answer(model: Classifier) -> Callable[[], None]:
    """The scores of a batch."""
    images = torch.rand(BATCH, 3, SIZE, SIZE, device=device())
    model.eval()

    def run() -> None:
        with torch.inference_mode():
            model(images)

    return run


def training_step(quick: bool, method: str = "protopnet", classes: int = CLASSES) -> tuple[float, float]:
    """A step of training on a batch of 16."""
    bare, ours = pair(method, classes)
    return rounds(step(bare), step(ours), 3 if quick else 9)


def step(model: Classifier) -> Callable[[], None]:
    """Forward, loss, what is learnt without gradients, backward, Adam, and what the method does after a step."""
    images = torch.rand(BATCH, 3, SIZE, SIZE, device=device())
    labels = torch.arange(BATCH, device=device())
    optimizer = torch.optim.Adam(model.train().parameters(), 1e-4)

    def run() -> None:
        optimizer.zero_grad()
        model.before_step(TrainingStep("all", epoch=0, epochs=1, before=0, step=0, steps=1))
        output = model(images)
        total = sum(model.loss(output, labels).values())
        with torch.no_grad():
            model.update_without_grad(output, labels)
        total.backward()
        optimizer.step()
        with torch.no_grad():
            model.after_step()

    return run


def training_memory(quick: bool, method: str = "protopnet", classes: int = CLASSES) -> tuple[float, float]:
    """The most memory that two steps take, each time in a process of its own, beyond what importing takes.

    What a process holds depends on luck by some per cent; hence the median of a few pairs.
    """
    ratios, bare = [], []
    for _ in range(1 if quick else 5):
        taken = {}
        for kind in ("bare", "ours"):
            command = [sys.executable, __file__, "--memory", method, kind, str(classes)]
            taken[kind] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ratios.append(taken["ours"] / taken["bare"])
        bare.append(taken["bare"] / 2**20)
    return statistics.median(ratios), statistics.median(bare)


def print_memory(method: str, kind: str, classes: str) -> None:
    """Bytes that two training steps take at most, printed: the accelerator's, else this process's."""
    before = most_memory()
    model = pair(method, int(classes))[kind == "ours"]
    run = step(model)
    run(), run()
    if torch.cuda.is_available():
        print(torch.cuda.max_memory_allocated())
    else:
        print(most_memory() - before)


def most_memory() -> int:
    """The most bytes that this process has held; on Linux, getrusage counts those of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    import resource  # where there is none (Windows), only the times are measured

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def projection(quick: bool) -> tuple[float, float]:
    """Projection with provenance and crops against one forward pass over the same loader."""
    from resemblance.training.ends.gallery import build_gallery
    from resemblance.training.ends.projection import project

    count = 64 if quick else 320
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    spec = photo_spec()
    source = ArraySource(images, np.arange(count) % CLASSES, spec.classes)
    ours = pair()[1].eval()
    batches = loader(ImageDataset(source, spec.image), BATCH)

    def forward() -> None:
        with torch.inference_mode():
            for batch in batches:
                ours(batch.images.to(device()))

    def push() -> None:
        project(ours, batches)
        ours.gallery = build_gallery(ours, source)

    return rounds(forward, push, 1 if quick else 3)


def clustering(quick: bool, per_class: int = 5) -> tuple[float, float]:
    """KMEx clustering of 60,000 small grey images against one forward pass."""
    from resemblance.methods.kmex.clustering import cluster

    count = 6_000 if quick else 60_000
    generator = np.random.default_rng(0)
    means = generator.uniform(0, 1, (10, 28, 28, 1))
    labels = np.arange(count) % 10
    images = (255 * np.clip(means[labels] + generator.normal(0, 0.2, (count, 28, 28, 1)), 0, 1)).astype(
        np.uint8
    )
    spec = ModelSpec(tuple("0123456789"), ImageSpec(28, 28, 1, (0.5,), (0.25,)))
    source = ArraySource(images, labels, spec.classes)
    torch.manual_seed(0)
    config = {"encoder": "small", "prototypes_per_class": per_class}
    kmex = build("kmex", config, spec).to(device()).eval()
    batches = loader(ImageDataset(source, spec.image), 256)

    def forward() -> None:
        with torch.inference_mode():
            for batch in batches:
                kmex.latents(batch.images.to(device()))

    return rounds(forward, lambda: cluster(kmex, batches), 1 if quick else 3)


def help_seconds(quick: bool) -> tuple[float, float]:
    """Wall clock of ``resemblance --help``; seconds, not a ratio."""
    times = []
    for _ in range(3 if quick else 7):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "resemblance", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times), statistics.median(times)


def cabrnet_inference(quick: bool) -> tuple[float, float]:
    """Cabrnet's ProtoPNet at the same sizes, against its own bare encoder, where it is installed."""
    from cabrnet.archs.protopnet.decision import ProtoPNetClassifier  # type: ignore[import-not-found]

    bare = pair()[0].eval()
    images = torch.rand(BATCH, 3, SIZE, SIZE, device=device())
    head = ProtoPNetClassifier(
        similarity_config={"name": "ProtoPNetSimilarity"},
        num_classes=CLASSES,
        num_features=128,
        num_proto_per_class=PER_CLASS,
    ).to(device())
    addon = build("protopnet", {"encoder": "resnet18"}, photo_spec()).addon.to(device())

    def ours() -> None:
        with torch.inference_mode():
            head.eval()(addon(bare.encoder.map(bare.encoder.features(bare.normalize(images)))))

    def base() -> None:
        with torch.inference_mode():
            bare(images)

    return rounds(base, ours, 3 if quick else 15)


# Of each method: its title, its sizes, and how often a bare training step's time one of its steps may take.
STEPS = {
    "protopnet": ("ProtoPNet", "2000 prototypes", 1.10),
    "tesnet": ("TesNet", "200 subspaces of 10 concepts", 1.15),
    "deformable": (
        "Deformable ProtoPNet",
        "2000 prototypes of 3x3 parts of 512 channels on a 14x14 map",
        2.0,
    ),
    "protopool": ("ProtoPool", "202 prototypes, 10 slots a class", 1.15),
    "prototree": ("ProtoTree", "depth 9: 511 prototypes, 512 leaves", 1.15),
    "protopshare": ("ProtoPShare", "merged to 1000 prototypes of 2 classes each", 1.15),
}

MEASUREMENTS = {
    "inference": Measurement(
        "inference / bare classifier", inference, 1.05, "resnet18, 224 px, 2000 prototypes, batch 16"
    ),
    "cabrnet-inference": Measurement(
        "cabrnet ProtoPNet inference / bare classifier", cabrnet_inference, None, "as the first row"
    ),
    **{
        method: Measurement(f"{title} training step / bare", partial(training_step, method=method), goal, how)
        for method, (title, how, goal) in STEPS.items()
    },
    **{
        f"{method}-memory": Measurement(
            f"{title} memory of it / bare", partial(training_memory, method=method), goal, how
        )
        for method, (title, how, goal) in STEPS.items()
    },
    "projection": Measurement(
        "projection with crops / one forward pass", projection, 1.15, "320 images, loader in both"
    ),
    "clustering": Measurement(
        "KMEx clustering / one forward pass", clustering, 1.15, "60,000 images 28 px, small encoder"
    ),
    "help": Measurement("resemblance --help, seconds", help_seconds, 0.5, "wall clock"),
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print_memory(*sys.argv[2:])
    else:
        print_table(MEASUREMENTS, __doc__)
