"""Projection over two processes, each with its share of the images."""

from __future__ import annotations

import torch
from torch import multiprocessing as mp

from looking_glass import batches
from projecting import scene, work
from resemblance.training.ends.projection import project


def test_two_processes_have_the_result_of_one(tmp_path):
    mp.spawn(work, (str(tmp_path),), nprocs=2)
    model, latents, labels = scene()
    report = project(model, batches(latents, labels, 5))
    for rank in range(2):
        state, images, unplaced = torch.load(tmp_path / f"{rank}.pt")
        assert images == 14
        assert unplaced == report.unplaced == (6, 7)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor.nan_to_num(-1), state[name].nan_to_num(-1))
