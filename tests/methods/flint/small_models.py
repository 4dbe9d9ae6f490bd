"""The small model that the tests of FLINT share."""

from __future__ import annotations

from functools import partial

import models

make = partial(models.make, "flint")
