"""Logarithms near 1 keep their digits in ONNX: similarities to far prototypes stay different."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from resemblance.export.accurate_logarithms import accurate_operations

onnxruntime = pytest.importorskip("onnxruntime")
for name in ("onnx", "onnxscript"):
    pytest.importorskip(name)

SMALL = [0, 1e-30, 1e-10, 3e-8, 6e-8, 1e-7, 1e-4, 0.1, 0.5, 0.69, 0.7, 0.99]


class Both(nn.Module):
    def forward(self, x):
        return torch.log1p(x), torch.expm1(x)


def test_they_are_as_precise_as_numbers_of_float32_can_be():
    x = torch.tensor([*SMALL, *(-value for value in SMALL), 3.0, 80.0])
    program = torch.export.export(Both(), (x,))
    made = torch.onnx.export(
        program, dynamo=True, verbose=False, custom_translation_table=accurate_operations()
    )
    session = onnxruntime.InferenceSession(
        made.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    computed = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    for values, exact in zip(computed, (np.log1p, np.expm1), strict=True):
        expected = exact(x.numpy().astype(np.float64))
        assert (np.abs(values - expected) <= 3e-7 * np.abs(expected)).all()
