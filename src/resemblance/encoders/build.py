"""Build encoders from their configuration."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from resemblance.config.encoder import TORCHVISION, TRANSFORMERS, EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.base import Encoder
from resemblance.encoders.stem import has_large_stem

__all__ = ["Encoder", "build_encoder", "build_map_encoder", "check_map", "check_part"]

MINIMUM_MAP = 4


def build_encoder(
    config: EncoderConfig,
    image: ImageSpec,
    num_classes: int | None,
    load_weights: bool = True,
    module: nn.Module | None = None,
) -> Encoder:
    """Build an encoder, with the weights that the configuration names.

    Args:
        config: name, weights, stem, cut.
        image: size and channels of the images that it will read.
        num_classes: K of its classifier; None for no classifier.
        load_weights: False keeps the initial weights, for a model whose weights are loaded from its folder.
        module: the user's own network, used instead of the one that ``config.encoder`` names; it is copied with its
            weights.

    Raises:
        UserError: if the name is unknown, the weights do not fit or cannot be loaded, or the network cannot read the
            images.

    Example:
        >>> image = ImageSpec(28, 28, 1, (0.13,), (0.31,))
        >>> encoder = build_encoder(EncoderConfig(encoder="small"), image, num_classes=10)
        >>> encoder.channels, encoder.grid, encoder.num_classes
        (128, (7, 7), 10)
    """
    name = config.encoder
    if module is not None or ":" in name:
        from resemblance.encoders.from_module import ModuleEncoder, import_module_function

        module = import_module_function(name) if module is None else module
        return ModuleEncoder.from_user(module, config, image, num_classes, load_weights)
    if name == "small":
        from resemblance.encoders.small import SmallEncoder

        return SmallEncoder(config, image, num_classes, load_weights)
    if name.startswith(TORCHVISION):
        from resemblance.encoders.from_torchvision import torchvision_encoder

        return torchvision_encoder(config, image, num_classes, load_weights)
    if name.startswith(TRANSFORMERS):
        from resemblance.encoders.user.from_transformers import transformers_encoder

        return transformers_encoder(config, image, num_classes, load_weights)
    from resemblance.encoders.from_timm import TimmEncoder

    return TimmEncoder(config, image, num_classes, load_weights)


def build_map_encoder(
    config: EncoderConfig,
    image: ImageSpec,
    module: nn.Module | None = None,
    load_weights: bool = True,
    parts: bool = True,
) -> Encoder:
    """Build an encoder with only the latent map, for methods that read nothing else.

    Args:
        config: name, weights, stem, cut.
        image: size and channels of the images.
        module: the user's own network, if there is one.
        load_weights: see `build_encoder`.
        parts: whether prototypes represent parts, for which the map must not be too small.

    Raises:
        UserError: as in `build_encoder` and `check_map`.
    """
    encoder = build_encoder(config, image, None, load_weights=load_weights, module=module)
    encoder.keep_map_only()
    if parts:
        check_map(encoder, image)
    return encoder


def check_map(encoder: Encoder, image: ImageSpec, fixed: bool = False, otherwise: str = "") -> None:
    """Check that the map is fine enough for part prototypes.

    Args:
        encoder: the encoder.
        image: size and channels of the images.
        fixed: whether the size of the images cannot be chosen.
        otherwise: another remedy, for the message.

    Raises:
        UserError: if it has fewer than 4×4 cells; the message says what to do. Another stem or encoder is only named if
            nothing has trained this one yet.

    Example:
        >>> image = ImageSpec(28, 28, 1, (0.13,), (0.31,))
        >>> check_map(build_encoder(EncoderConfig(encoder="small"), image, None), image)
    """
    rows, columns = encoder.map_size(image)
    if min(rows, columns) >= MINIMUM_MAP:
        return
    remedies = []
    if not encoder.is_trained and encoder.name != "small":
        if has_large_stem(encoder):
            remedies.append("--stem small (3x3, stride 1, no max-pool)")
        remedies.append("--encoder small")
    if not fixed:
        size = _sufficient_size(encoder, image)
        remedies.append("a larger --image-size" + (f", {size} or more" if size else ""))
    remedies += [otherwise] if otherwise else []
    raise UserError(
        f"encoder {encoder.name} turns {image.height}x{image.width} images into a map of {rows}x{columns} "
        f"cells; part prototypes need {MINIMUM_MAP}x{MINIMUM_MAP}: use {' or '.join(remedies)}"
    )


def _sufficient_size(encoder: Encoder, image: ImageSpec) -> int | None:
    """Return the first multiple of 32 pixels per side whose map has enough cells; None if the encoder cannot say."""
    for side in range(32 * (max(image.size) // 32 + 1), 513, 32):
        try:
            cells = encoder.map_size(replace(image, height=side, width=side))
        except Exception:  # of a network that reads one size only
            return None
        if min(cells) >= MINIMUM_MAP:
            return side
    return None


def check_part(encoder: Encoder, image: ImageSpec, part: tuple[int, int]) -> None:
    """Check that prototypes do not span more rows or columns of cells than the map has.

    Raises:
        UserError: if they do; the message says what to do.

    Example:
        >>> image = ImageSpec(28, 28, 1, (0.13,), (0.31,))
        >>> check_part(build_encoder(EncoderConfig(encoder="small"), image, None), image, (7, 1))
    """
    rows, columns = encoder.map_size(image)
    if part[0] > rows or part[1] > columns:
        raise UserError(
            f"prototypes of {part[0]}x{part[1]} cells do not fit on the map of {rows}x{columns} cells: use a smaller "
            "--prototype-height and --prototype-width, or a larger --image-size"
        )
