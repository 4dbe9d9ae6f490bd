"""Recipe of SENN."""

from __future__ import annotations

import pytest

from methods.senn.small_models import make
from recipe_lines import recipe_lines


@pytest.mark.parametrize("robustness", [0.01, 0.0])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_recipe_is_the_papers(variant, robustness):
    """The authors' trainer omits the reconstruction if there is a penalty."""
    model = make(10, variant=variant, robustness=robustness)
    decoder = "" if variant == "released" and robustness else ", decoder 0.001"
    assert recipe_lines(model.recipe()) == [
        "batches of 128, augment none",
        f"train: 10 epochs of adam, conceptizer 0.001, parametrizer 0.001{decoder}, constant; "
        "then concepts, usage; best",
    ]
