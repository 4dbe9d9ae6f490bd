"""Names of encoders, and suggestions for unknown ones."""

from __future__ import annotations

import difflib
from typing import Any

from resemblance.config.encoder import TORCHVISION
from resemblance.config.errors import UserError

ALIASES = {
    "vit_small": "vit_small_patch16_224",
    "vit_tiny": "vit_tiny_patch16_224",
    "vit_base": "vit_base_patch16_224",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "mobilenetv3": "mobilenetv3_large_100",
}


def timm_name(name: str) -> str:
    """Return timm's name of an encoder; a few short names are defined here.

    Raises:
        UserError: if timm has no such model; the message suggests similar names.

    Example:
        >>> timm_name("vit_small"), timm_name("resnet34.tv_in1k")
        ('vit_small_patch16_224', 'resnet34.tv_in1k')
        >>> timm_name("resnet81")
        Traceback (most recent call last):
        ...
        resemblance.config.errors.UserError: no encoder named 'resnet81'; did you mean resnet18, ...?
    """
    import timm

    name = ALIASES.get(name, name)
    architecture, _, tag = name.partition(".")
    if ":" in name or not timm.is_model(architecture):
        known = [*timm.list_models(), *ALIASES, "small", *(TORCHVISION + short for short in _torchvision())]
        raise UserError(_unknown(name, known))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        raise UserError(
            f"{architecture} has no weights tagged {tag!r} in timm; it has {', '.join(tags) or 'none at all'}"
        )
    return name


def torchvision_name(name: str) -> str:
    """Return torchvision's name of an encoder, without ``torchvision/``.

    Raises:
        UserError: if torchvision has no such classifier; the message suggests similar names.
    """
    short = name.removeprefix(TORCHVISION)
    if short not in _torchvision():
        raise UserError(_unknown(name, [TORCHVISION + known for known in _torchvision()]))
    return short


def torchvision_weights(short: str) -> Any:
    """Return the ImageNet weights that the papers used: version 1 where torchvision has it."""
    from torchvision import models

    published = models.get_model_weights(short)
    return getattr(published, "IMAGENET1K_V1", None) or published.DEFAULT


def _torchvision() -> list[str]:
    from torchvision import models

    return list(models.list_models(module=models))


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"no encoder named {name!r}; did you mean {', '.join(near)}?"
    return (
        f"no encoder named {name!r}; use a timm name (resnet18), torchvision/NAME, small, "
        "or package.module:function"
    )
