"""A compact CNN for images of 28 to 64 pixels: 99.2 % on MNIST in a few minutes without a GPU."""

from __future__ import annotations

from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.base import UNTRAINED, Encoder
from resemblance.encoders.fitting import load_weights

WIDTHS = (16, 32, 64, 128)


class SmallEncoder(Encoder):
    """Blocks of convolution, batch norm and ReLU, then the mean over the map and one linear layer.

    Two of the convolutions halve the image: 28 pixels result in a 7×7 map and 32 pixels in an 8×8 map, fine enough for
    part prototypes.

    Args:
        config: weights; stem and cut cannot be chosen.
        image: size and channels of the images.
        num_classes: K, or None for no classifier.
        load: whether to load the weights that the configuration names.

    Raises:
        UserError: for pretrained weights, the small stem or a cut, which do not exist.
    """

    def __init__(
        self, config: EncoderConfig, image: ImageSpec, num_classes: int | None, load: bool = True
    ) -> None:
        super().__init__("small", f"small CNN, {UNTRAINED}")
        if config.weights == "pretrained":
            raise UserError("encoder small has no pretrained weights; use --weights none or --weights FILE")
        if config.cut is not None or config.stem not in ("auto", "standard"):
            raise UserError("encoder small has neither --cut nor --stem; its map is always fine enough")
        a, b, c, d = WIDTHS
        self.layers = nn.Sequential(
            *_block(image.channels, a, 1),
            *_block(a, b, 2),
            *_block(b, b, 1),
            *_block(b, c, 2),
            *_block(c, d, 1),
        )
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self._measure(image)
        if num_classes is not None:
            self.classifier = nn.Linear(d, num_classes)
        if load and config.weights != "none":
            loaded = load_weights(self, config.weights, "small", "classifier", num_classes is not None)
            self.trained_head, self.entries = loaded.head, loaded.entries
            self.description = f"small CNN, {loaded.note}"

    def _features(self, images: Tensor) -> Tensor:
        latents: Tensor = self.layers(images)
        return latents

    def _map(self, features: Tensor) -> Tensor:
        return features

    def _embed(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
