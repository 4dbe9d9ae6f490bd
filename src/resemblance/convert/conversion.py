"""Convert a trained classifier into a KMEx model, with the accuracy before the conversion."""

from __future__ import annotations

from dataclasses import dataclass, field

from resemblance.config.runs import ConvertOptions
from resemblance.convert.check import Check, check
from resemblance.convert.original import Original
from resemblance.convert.weight_choice import choose_weights
from resemblance.data.sources.source import DataSplits
from resemblance.encoders.build import check_map
from resemblance.methods.kmex.clustering import Clustering, cluster
from resemblance.methods.kmex.config import KMExConfig
from resemblance.methods.kmex.model import KMEx
from resemblance.training.cached.kept_latents import KeptLatents
from resemblance.training.cached.latent_cache import LatentCache
from resemblance.training.engine.devices import DistributedContext, find_accelerator


@dataclass
class Conversion:
    """A converted model and the results of the conversion.

    Args:
        model: the KMEx model in evaluation mode, on the CPU.
        check: the accuracy of the black box before the conversion; None if it has no classifier.
        clustering: the result of clustering.
        notes: notes for the user.
        kept: keeps the latents of the images.
    """

    model: KMEx
    check: Check | None
    clustering: Clustering
    notes: list[str] = field(default_factory=list)
    kept: KeptLatents | None = None


def convert_original(original: Original, splits: DataSplits, options: ConvertOptions) -> Conversion:
    """Check a classifier, then cluster its embeddings (KMEx).

    The classifier is measured first, on validation images and on a sample of training images; its accuracies are in
    ``facts["black_box"]`` of the model.

    Args:
        original: the classifier, as `open_original` returns it.
        splits: its images; the test images are not used.
        options: the options of the conversion.

    Raises:
        UserError: if the classifier is no better than chance; it says whether another order of the classes or another
            normalisation solves this.
    """
    if options.patches:
        check_map(original.encoder, original.spec.image, original.fixed, "leave out --patches")
    device = DistributedContext(find_accelerator(options.accelerator, options.devices)).device
    original.encoder.to(device)
    original = choose_weights(original, splits, options, device)
    config = KMExConfig(
        variant=options.variant,
        prototypes_per_class=options.prototypes_per_class,
        patches=options.patches,
        n_init=options.n_init,
        subset=options.subset,
        **original.settings,
    )
    model = KMEx(config, original.spec, original.encoder).to(device).eval()
    model.outputs.copy_(original.order)
    kept = KeptLatents(model, LatentCache.of_user(options.latent_cache), options.workers, options.progress)
    # Classifier and prototypes read the same embeddings, unless one of them needs more of the network.
    checked = check(original, splits, options, device, kept.of if model.trains_on_encoded else lambda _: None)
    images = kept.batches(splits.train, options.batch_size)
    clustering = cluster(model, images, seed=options.seed, progress=options.progress)
    model.cpu()
    model.facts["original"] = original.name
    if checked is not None:
        model.facts["black_box"] = {"train sample": checked.train}
        if checked.val is not None:
            model.facts["black_box"]["val"] = checked.val
    notes = [*original.notes, *clustering.lines()]
    if checked is not None and checked.problem:
        notes.append(f"converted by --force although {checked.problem}")
    return Conversion(model, checked, clustering, notes, kept)
