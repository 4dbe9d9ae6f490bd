"""Conversion: from a trained classifier to a KMEx model, with what it was worth before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from resemblance.config.groups import ImageOptions
from resemblance.convert.check import Check, check
from resemblance.convert.original import Original, open_original
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.open import open_data
from resemblance.data.sources.source import DataSplits
from resemblance.encoders.build import check_map
from resemblance.methods.kmex.clustering import Clustering, cluster
from resemblance.methods.kmex.config import KMExConfig
from resemblance.methods.kmex.model import KMEx
from resemblance.metrics.evaluation import evaluate
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.engine.devices import DistributedContext, find_accelerator

__all__ = ["Conversion", "cluster", "convert", "convert_original"]


@dataclass
class Conversion:
    """A converted model and how it came about.

    Args:
        model: KMEx, in evaluation mode, on the CPU.
        check: what the black box achieved before; None if it has no classifier.
        clustering: what was clustered.
        notes: lines for the user.
    """

    model: KMEx
    check: Check | None
    clustering: Clustering
    notes: list[str] = field(default_factory=list)


def convert_original(
    original: Original,
    splits: DataSplits,
    *,
    prototypes_per_class: int = 5,
    patches: bool = False,
    n_init: int = 1,
    subset: int | None = None,
    variant: str = "paper",
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    accelerator: str = "auto",
    force: bool = False,
    progress: bool = False,
) -> Conversion:
    """Check a classifier, then cluster its embeddings; see `convert`."""
    config = KMExConfig(
        variant=variant,
        prototypes_per_class=prototypes_per_class,
        patches=patches,
        n_init=n_init,
        subset=subset,
        **original.settings,
    )
    if patches:
        check_map(original.encoder, original.spec.image)
    device = DistributedContext(find_accelerator(accelerator, 1)).device
    original.encoder.to(device)
    found = check(
        original,
        splits,
        device=device,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        force=force,
        progress=progress,
    )
    model = KMEx(config, original.spec, original.encoder).to(device).eval()
    model.outputs.copy_(original.order)
    images = loader(ImageDataset(splits.train, original.spec.image), batch_size, workers)
    clustering = cluster(model, images, seed=seed, progress=progress)
    model.cpu()
    model.facts["original"] = original.name
    if found is not None:
        model.facts["black_box"] = {"train sample": found.train}
        if found.val is not None:
            model.facts["black_box"]["val"] = found.val
    notes = [*original.notes, *clustering.lines()]
    if found is not None and found.doubt:
        notes.append(f"converted by force although {found.doubt}")
    return Conversion(model, found, clustering, notes)


def convert(
    model: str | Path | nn.Module,
    data: str | DataSplits,
    *,
    weights: str = "none",
    stem: str = "auto",
    cut: str | None = None,
    classes: str | Sequence[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    prototypes_per_class: int = 5,
    patches: bool = False,
    n_init: int = 1,
    subset: int | None = None,
    variant: str = "paper",
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    accelerator: str = "auto",
    allow_import: str | None = None,
    force: bool = False,
    progress: bool = False,
) -> KMEx:
    """Turn a trained classifier into one that explains itself, without training it (KMEx).

    The black box is measured first, on validation images. Its accuracy and that of the result, on validation
    and (once) on test images, are in ``facts["black_box"]`` and ``facts["accuracy"]``.

    Args:
        model: a run or model folder, a hub id, a timm name, ``torchvision/NAME``,
            ``package.module:function``, a network that ends in a linear layer, or a model of this library.
        data: a data set's name, as on the command line, or its splits.
        weights: ``none``, ``pretrained`` or a file, where ``model`` names an architecture.
        stem: of a ResNet that is named: auto, standard or small.
        cut: the layer whose output is the latent map, for own networks.
        classes: the classes in the order of the classifier's outputs, if that is not the data's.
        image_size: pixels, or (height, width); by default of the weights or the data.
        channels: 1 or 3; by default likewise.
        mean: of each channel, in [0, 1]; by default likewise.
        std: of each channel; by default likewise.
        prototypes_per_class: clusters a class.
        patches: cluster the embeddings of patches instead of whole images.
        n_init: restarts of k-means.
        subset: cluster at most this many embeddings a class.
        variant: ``paper``, or ``released`` for the similarity of the released code.
        seed: of k-means and samples.
        batch_size: images a batch.
        workers: loader processes.
        accelerator: auto, cpu, gpu or mps.
        allow_import: what a saved model around own code may import.
        force: convert even if the classifier does not fit the images.
        progress: whether to show bars.

    Returns:
        The model on the CPU, in evaluation mode, with pictures of its prototypes.

    Raises:
        UserError: if it cannot be had or answers by chance; says whether another order of the classes or
            another normalisation cures it.
    """
    splits = open_data(data, seed=seed) if isinstance(data, str) else data
    images = ImageOptions(image_size=image_size, channels=channels, mean=mean, std=std)
    original = open_original(
        model,
        splits,
        images,
        weights=weights,
        stem=stem,
        cut=cut,
        classes=classes,
        allow_import=allow_import,
        headless=force,
    )
    done = convert_original(
        original,
        splits,
        prototypes_per_class=prototypes_per_class,
        patches=patches,
        n_init=n_init,
        subset=subset,
        variant=variant,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        accelerator=accelerator,
        force=force,
        progress=progress,
    )
    found = done.model
    found.gallery = build_gallery(found, splits.train, progress=progress)
    facts = found.facts | {"data": splits.name, "accuracy": {}, "prototypes": len(found.prototypes)}
    for name, source in (("val", splits.val), ("test", splits.test)):
        if source is not None and len(source):
            measured = evaluate(found, source, batch_size=batch_size, workers=workers, progress=progress)
            facts["accuracy"][name] = measured.accuracy
            if measured.black_box is not None:
                facts.setdefault("black_box", {})[name] = measured.black_box
    found.facts = facts | ({"notes": done.notes} if done.notes else {})
    return found
