"""The images in which prototypes without vectors are strongest, against a plain re-implementation."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resemblance.prototypes.comparison import Match
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.strongest import Strongest


class Given(PrototypeLayer):
    """Latents (B, P, 2) hold the value and the cell of each match."""

    def match(self, latents):
        return Match(latents[..., 0], latents[..., 1].long())

    def grid(self, latents):
        return (2, 3)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 11), data=st.data())
def test_sources_agree_with_a_plain_re_implementation_whatever_the_batches(seed, size, data):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(3, (11, 5), generator=generator).float()
    values[values == 2] = torch.inf  # not there at all
    cells = torch.randint(6, (11, 5), generator=generator)
    allowed = torch.rand(11, 5, generator=generator) < 0.4
    order = torch.tensor(data.draw(st.permutations(range(11))))
    strongest = Strongest(prototypes := Given(PrototypeLayer.class_major(1, 5)))
    for part in order.split(size):
        strongest.update(torch.stack([values, cells.float()], dim=2)[part], allowed[part], part)
    prototypes.source_distance.fill_(3)
    strongest.record(torch.arange(20).reshape(5, 4) + 1)
    assert strongest.grid == (2, 3)
    for j in range(5):
        candidates = [i for i in range(11) if allowed[i, j] and values[i, j].isfinite()]
        best = min(candidates, key=lambda i, j=j: (values[i, j].item(), i), default=None)
        assert prototypes.source_index[j] == (-1 if best is None else best)
        assert prototypes.source_box[j].tolist() == (
            [0] * 4 if best is None else [4 * j + k + 1 for k in range(4)]
        )
        assert prototypes.source_distance[j].isnan()
        if best is not None:
            assert strongest.cells[j] == cells[best, j]
