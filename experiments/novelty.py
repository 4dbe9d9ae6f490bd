"""Measure the deciding similarity as a detector of images that are like nothing the model knows.

    python experiments/novelty.py [--foreign NAME=DATA ...] [--images N] [--seed S] RUN ...

Each RUN is a run folder. The test images that it classifies correctly are told apart from uniform noise, and from the
test images of each DATA, by the similarity on which the prediction rests: AUROC is the probability that a known image
has the higher one. Beside it stands the same by the probability of the predicted class, which needs no prototypes, and
the percentage of images of which explanations say that they resemble nothing the model knows.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

import resemblance
from resemblance.audit.reasons.made_nonsense import nonsense_images
from resemblance.core.classifier import Classifier
from resemblance.core.deciding import deciding_similarity
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.dataset import ImageDataset
from resemblance.data.open import open_data
from resemblance.data.sources.source import Source, Subset
from resemblance.explain.familiarity.familiarity import familiarities
from resemblance.runs.run import choose_split

NOISE = "uniform noise"
LEAST = -1e30  # for classes without prototypes, since roc_auc_score refuses −inf
BATCH = 250


@dataclass(frozen=True)
class Answers:
    """The answers to N images.

    Args:
        classes: the predicted classes, (N,).
        probability: the probability of the predicted class, (N,).
        similarity: the deciding similarity, (N,); None for models that have none.
        unfamiliar: whether explanations say that the image resembles nothing the model knows, (N,); None if they
            cannot.
    """

    classes: NDArray[np.int64]
    probability: NDArray[np.float64]
    similarity: NDArray[np.float64] | None
    unfamiliar: NDArray[np.bool_] | None


def answers(model: Classifier, images: Tensor) -> Answers:
    """Classify images (N, C, H, W)."""
    columns: list[list[NDArray[np.generic]]] = [[], [], [], []]
    for batch in images.split(BATCH):
        with torch.no_grad():
            output = model(batch.to(model.device))
        probability, classes = model.probabilities(output.scores).max(dim=1)
        columns[0].append(classes.cpu().numpy())
        columns[1].append(probability.double().cpu().numpy())
        deciding = deciding_similarity(model, output)
        if deciding is not None and isinstance(model, PrototypeModel):
            columns[2].append(deciding[0].double().clamp_min(LEAST).cpu().numpy())
            if model.reference is not None:
                seen = familiarities(model, output)
                columns[3].append(np.array([familiarity.unfamiliar for familiarity in seen]))
    return Answers(*(np.concatenate(column) if column else None for column in columns))  # type: ignore[arg-type]


def pixels(source: Source, model: Classifier, images: int, seed: int) -> tuple[Tensor, NDArray[np.int64]]:
    """Return images of a source as the model reads them, at most so many, drawn by the seed, and their labels."""
    order = np.random.default_rng(seed).permutation(len(source))[:images]
    dataset = ImageDataset(Subset(source, np.sort(order)), model.spec.image)
    batch = dataset.__getitems__(range(len(dataset)))
    return batch.images, batch.labels.numpy()


def auroc(known: NDArray[np.float64] | None, strange: NDArray[np.float64] | None) -> str:
    """Return the probability that a known image has the larger value."""
    if known is None or strange is None:
        return "–"
    truth = np.repeat([1, 0], [len(known), len(strange)])
    return f"{roc_auc_score(truth, np.concatenate([known, strange])):.3f}"


def percent(values: NDArray[np.bool_] | None) -> str:
    """Return the percentage that is true."""
    return "–" if values is None else f"{100 * values.mean():.1f} %"


def rows(run: resemblance.Run, foreign: dict[str, Source], images: int, seed: int) -> list[str]:
    """Return a run's rows of the table."""
    model = run.model
    _, test = choose_split(run.images(), "auto")
    known, labels = pixels(test, model, images, seed)
    own = answers(model, known)
    correct = own.classes == labels
    similarity = None if own.similarity is None else own.similarity[correct]
    lines = [f"| {run.name} | its test images | – | – | {percent(own.unfamiliar)} | {len(labels)} |"]
    shape, colour = known.shape[1:], torch.zeros(known.shape[1])
    noise = nonsense_images(NOISE, range(len(known)), (shape[0], shape[1], shape[2]), colour, colour, seed)
    strange = {NOISE: noise}
    strange |= {name: pixels(source, model, images, seed)[0] for name, source in foreign.items()}
    for name, others in strange.items():
        there = answers(model, others)
        cells = [
            auroc(similarity, there.similarity),
            auroc(own.probability[correct], there.probability),
            percent(there.unfamiliar),
        ]
        lines.append(f"| {run.name} | {name} | {' | '.join(cells)} | {len(others)} |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--foreign", action="append", default=[], metavar="NAME=DATA")
    parser.add_argument("--images", type=int, default=2000, help="of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    foreign = {}
    for argument in options.foreign:
        name, _, data = argument.partition("=")
        _, foreign[name] = choose_split(open_data(data), "auto")
    print(
        "| run | images | AUROC of the deciding similarity | AUROC of the probability | resembles nothing known | "
        "number |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in options.runs:
        for line in rows(resemblance.open_run(folder), foreign, options.images, options.seed):
            print(line)


if __name__ == "__main__":
    main()
