"""Pretrained weights from the hubs: from the cache, over the network, or one clear error within seconds."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from resemblance.config.errors import UserError

TIMEOUT = 5.0


def pretrained_timm_source(name: str) -> dict[str, Any]:
    """What `timm.create_model` must be told to find the pretrained weights of ``name``.

    Weights in the cache are taken from there without a look at the network; otherwise the hub must
    answer within seconds, where huggingface_hub alone would retry for a minute.

    Raises:
        UserError: if there are none to be had.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise UserError(f"timm has no pretrained weights of {name}; use --weights FILE or --weights none")
    if not published.hf_hub_id:
        if published.url:
            require(published.url, name, "TORCH_HOME")
        return {}
    repository = str(published.hf_hub_id)
    for file in (published.hf_hub_filename, "model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(repository, file) if file else None
        if isinstance(cached, str):
            return {} if published.custom_load else {"pretrained_cfg_overlay": {"file": cached}}
    if constants.HF_HUB_OFFLINE:
        raise _unavailable(f"{name} ({repository})", "HF_HUB_OFFLINE is set", "HF_HOME")
    require(constants.ENDPOINT, f"{name} ({repository})", "HF_HOME")
    return {}


def require_torchvision(url: str, name: str) -> None:
    """Make sure that weights of torchvision are in torch's cache or can be fetched.

    Raises:
        UserError: if neither.
    """
    import torch

    cached = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(url).path)
    if not cached.exists():
        require(url, name, "TORCH_HOME")


def require(url: str, what: str, cache: str) -> None:
    """Ask a server for its headers.

    Args:
        url: where to ask; any answer will do, an error page too.
        what: the weights, for the message.
        cache: the environment variable that names the cache.

    Raises:
        UserError: if nothing answers within five seconds.
    """
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _unavailable(what, f"{urlparse(url).hostname} does not answer: {reason}", cache) from error


def _unavailable(what: str, why: str, cache: str) -> UserError:
    return UserError(
        f"pretrained weights of {what} are not in the cache and cannot be downloaded ({why}); go on "
        f"with --weights FILE (.safetensors or .pth), --weights none, or a cache that has them ({cache})"
    )
