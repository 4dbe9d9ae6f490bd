"""Choose among several sets of weights in one file, such as averaged ones beside the last ones, by measuring each."""

from __future__ import annotations

import torch

from resemblance.config.errors import UserError
from resemblance.config.runs import ConvertOptions
from resemblance.convert.check import TRIAL, confusion
from resemblance.convert.counting import accuracy, hidden_order, stratified_sample
from resemblance.convert.original import Original
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import share
from resemblance.encoders.probe import evaluating

MOST = 6  # sets that are measured


def choose_weights(
    original: Original, splits: DataSplits, options: ConvertOptions, device: torch.device
) -> Original:
    """Return the classifier with those weights of its file that classify most validation images correctly.

    At most 500 images are used, training images if there are no validation images. Of equally good sets the first one
    is taken, the averaged one.

    Args:
        original: the classifier, on the device; one without a choice is returned as it is.
        splits: the images; the test images are not used.
        options: ``batch_size``, ``workers``, ``progress``, ``seed``.
        device: the device to compute on.
    """
    if len(original.entries) < 2 or original.reopen is None or original.encoder.num_classes is None:
        return original
    part, name = (splits.val, "validation") if len(splits.val) else (splits.train, "training")
    sample = stratified_sample(part, TRIAL, options.seed)
    best, best_share, texts = original, -1.0, []
    for entry in original.entries[:MOST]:
        try:
            other = original.reopen(entry)
            other.encoder.to(device)
            with evaluating(other.encoder), torch.no_grad():
                dataset = ImageDataset(sample, other.spec.image)
                batches = loader(dataset, options.batch_size, options.workers)
                counts = confusion(other, batches, options, device, f"measuring {entry}")
        except UserError as error:  # of weights that are not finite
            texts.append(f"{entry} cannot be used ({error})")
            continue
        order = hidden_order(counts)  # which is reported later, for the chosen weights
        right = accuracy(counts if order is None else counts[:, order])
        texts.append(f"{entry} classifies {share(right)} of {len(sample)} {name} images correctly")
        if right > best_share:
            best, best_share = other, right
    best.notes.append(
        f"the file has {len(original.entries)} sets of weights that fit: {'; '.join(texts)}: the best one is converted "
        "(--weights FILE::ENTRY takes another)"
    )
    return best
