"""A small model with data to project, and the work of one of two processes, which import this module."""

from __future__ import annotations

import torch
from torch import distributed as dist

from looking_glass import LookingGlass, batches
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.projection import project


def scene():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randint(4, (14, 3, 3, 3), generator=generator).float()
    labels = torch.randint(3, (14,), generator=generator)
    vectors = torch.randint(4, (8, 3, 1, 1), generator=generator).float()
    return LookingGlass(vectors, PrototypeLayer.class_major(2, 4), (12, 12)), latents, labels


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.set_num_threads(1)
    model, latents, labels = scene()
    share = torch.arange(14)[1 - rank :: 2]
    report = project(model, batches(latents, labels, 4, share), distributed=True)
    torch.save((model.state_dict(), report.images, report.unplaced), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
