"""Conversion: from a trained classifier to a KMEx model, with what it was worth before and after."""

from __future__ import annotations

from dataclasses import dataclass, field

from resemblance.config.runs import ConvertOptions
from resemblance.convert.check import Check, check
from resemblance.convert.original import Original
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import DataSplits
from resemblance.encoders.build import check_map
from resemblance.methods.kmex.clustering import Clustering, cluster
from resemblance.methods.kmex.config import KMExConfig
from resemblance.methods.kmex.model import KMEx
from resemblance.training.engine.devices import DistributedContext, find_accelerator


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


def convert_original(original: Original, splits: DataSplits, options: ConvertOptions) -> Conversion:
    """Check a classifier, then cluster its embeddings (KMEx).

    The classifier is measured first, on validation images and on a sample of training images; its accuracy on these
    is in ``facts["black_box"]`` of the model.

    Args:
        original: the classifier; `open_original` opens it.
        splits: its images; those for testing are not looked at.
        options: of the conversion.

    Raises:
        UserError: if it answers by chance; says whether another order of the classes or another normalisation cures
            it.
    """
    config = KMExConfig(
        variant=options.variant,
        prototypes_per_class=options.prototypes_per_class,
        patches=options.patches,
        n_init=options.n_init,
        subset=options.subset,
        **original.settings,
    )
    if options.patches:
        check_map(original.encoder, original.spec.image)
    device = DistributedContext(find_accelerator(options.accelerator, 1)).device
    original.encoder.to(device)
    checked = check(original, splits, options, device)
    model = KMEx(config, original.spec, original.encoder).to(device).eval()
    model.outputs.copy_(original.order)
    images = loader(ImageDataset(splits.train, original.spec.image), options.batch_size, options.workers)
    clustering = cluster(model, images, seed=options.seed, progress=options.progress)
    model.cpu()
    model.facts["original"] = original.name
    if checked is not None:
        model.facts["black_box"] = {"train sample": checked.train}
        if checked.val is not None:
            model.facts["black_box"]["val"] = checked.val
    notes = [*original.notes, *clustering.lines()]
    if checked is not None and checked.doubt:
        notes.append(f"converted by force although {checked.doubt}")
    return Conversion(model, checked, clustering, notes)
