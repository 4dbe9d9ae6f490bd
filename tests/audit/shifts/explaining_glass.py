"""A model whose latents are the pixels, so that tests can choose its prototypes, and which gives evidence."""

from __future__ import annotations

import torch

from looking_glass import Whole
from resemblance.core.output import Evidence
from resemblance.prototypes.similarity import log_similarity


class ExplainingGlass(Whole):
    """Compare whole images with the prototypes; a class has the sum of the similarities of its prototypes."""

    activation = staticmethod(log_similarity)

    def evidence(self, output, classes):
        contributions = output.similarities * self.prototypes.owners.T[classes]
        return Evidence(contributions, torch.zeros(len(classes)), torch.arange(len(self.prototypes)))
