"""How alike two maps are: rank correlation and structural similarity; pure functions."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F

WINDOW = 7


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's correlation of the pixels of maps (B, H, W), on the CPU: (B,) float64.

    Equal values share their mean rank. NaN where a map is constant or has values that are not finite.

    Example:
        >>> round(rank_correlation(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[1.0, 4.0, 9.0]]])).item(), 9)
        1.0
    """
    finite = first.flatten(1).isfinite().all(dim=1) & second.flatten(1).isfinite().all(dim=1)
    ranks = []
    for maps in (first, second):
        values = rankdata(maps.detach().flatten(1).cpu().double().numpy(), axis=1)
        centred = torch.from_numpy(np.asarray(values, dtype=np.float64))
        ranks.append(centred - centred.mean(dim=1, keepdim=True))
    norms = ranks[0].norm(dim=1) * ranks[1].norm(dim=1)
    correlations: Tensor = (ranks[0] * ranks[1]).sum(dim=1) / norms
    return correlations.masked_fill((norms == 0) | ~finite.cpu(), torch.nan)


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Return the structural similarity of the magnitudes of maps (B, H, W): (B,) float64.

    Each map is divided by its largest magnitude; windows of 7×7 pixels (smaller for smaller maps) with equal weights.
    Source: Wang et al. 2004. NaN where a map is zero or has values that are not finite.

    Example:
        >>> maps = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> round(structural_similarity(maps, 3 * maps).item(), 9)
        1.0
    """
    scaled = []
    usable = torch.ones(len(first), dtype=torch.bool, device=first.device)
    for maps in (first, second):
        magnitudes = maps.detach().double().abs()
        largest = magnitudes.amax(dim=(1, 2), keepdim=True)
        usable &= (largest > 0)[:, 0, 0] & magnitudes.flatten(1).isfinite().all(dim=1)
        scaled.append((magnitudes / largest)[:, None])
    window = (min(WINDOW, first.shape[1]), min(WINDOW, first.shape[2]))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, window, stride=1)

    a, b = scaled
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance, contrast = 0.01**2, 0.03**2  # of maps between 0 and 1
    similarity = (2 * mean_a * mean_b + luminance) * (2 * covariance + contrast)
    similarity = similarity / ((mean_a**2 + mean_b**2 + luminance) * (variances + contrast))
    return similarity.mean(dim=(1, 2, 3)).masked_fill(~usable, torch.nan)
