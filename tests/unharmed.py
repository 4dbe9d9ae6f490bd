"""Check that something leaves a model as it was: tensors, modes and gradients."""

from __future__ import annotations

import torch


def snapshot(model):
    """All tensors of a model, the modes of its modules, and its gradients."""
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return tensors, [module.training for module in model.modules()], gradients


def assert_unharmed(model, before):
    tensors, modes, gradients = before
    after, now, kept = snapshot(model)
    assert now == modes
    assert all(torch.equal(after[name].nan_to_num(7.0), tensors[name].nan_to_num(7.0)) for name in tensors)
    for old, new in zip(gradients, kept, strict=True):
        assert (old is None) == (new is None)
        assert old is None or torch.equal(old, new)
