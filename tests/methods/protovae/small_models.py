"""The small model that the tests of ProtoVAE share."""

from __future__ import annotations

from functools import partial

import models

make = partial(models.make, "protovae", mean=0.1, std=0.3, latent=6, prototypes_per_class=2)
