"""Small models that the tests of SENN share, and a plain re-implementation."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F

import models

MEAN, STD = 0.1307, 0.3081
make = partial(models.make, "senn", mean=MEAN, std=STD)
batch = partial(models.batch, seed=1)


def plain_networks(model, x):
    """Compute h (B, K), θ (B, K, C) and the decoder's output for standardised images, in evaluation mode."""
    w = dict(model.named_parameters())

    def of(module, number):
        return w[f"{module}.{number}.weight"], w[f"{module}.{number}.bias"]

    maps = F.relu(F.max_pool2d(F.conv2d(x, *of("conceptizer.encoder", 0)), 2))
    maps = F.relu(F.max_pool2d(F.conv2d(maps, *of("conceptizer.encoder", 3)), 2))
    weight, bias = of("conceptizer.encoder", 7)
    h = torch.stack([(maps[:, i].flatten(1) @ weight[0]) + bias for i in range(maps.shape[1])], 1)
    code = torch.stack([h[:, i : i + 1] * w["conceptizer.spread.weight"].T for i in range(h.shape[1])], 1)
    code = (code + w["conceptizer.spread.bias"]).view_as(maps)
    decoded = F.relu(F.conv_transpose2d(code, *of("conceptizer.decoder", 0), stride=2))
    decoded = F.relu(F.conv_transpose2d(decoded, *of("conceptizer.decoder", 2)))
    decoded = torch.tanh(F.conv_transpose2d(decoded, *of("conceptizer.decoder", 4), stride=2, padding=1))
    y = F.relu(F.max_pool2d(F.conv2d(x, *of("parametrizer", 0)), 2))
    y = F.relu(F.max_pool2d(F.conv2d(y, *of("parametrizer", 3)), 2))
    theta = torch.tanh(F.linear(y.flatten(1), *of("parametrizer", 8)))
    return h, theta.view(len(x), h.shape[1], -1), decoded
