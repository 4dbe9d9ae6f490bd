"""Configuration of the black box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.methods.base import MethodConfig
from resemblance.config.options import option


@dataclass
class BlackBoxConfig(EncoderConfig, MethodConfig):
    """An encoder with a linear classifier, the baseline of everything."""

    line: ClassVar[str] = "encoder, global pooling, linear classifier: the baseline; explains nothing"
    citation: ClassVar[str] = "baseline"

    rate: float = option(1e-3, "learning rate")
    weight_decay: float = option(1e-4, "weight decay (AdamW)")
