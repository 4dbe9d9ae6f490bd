"""Test image classifiers of transformers, with tiny random configurations."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import build_encoder
from resemblance.encoders.published import published_images

IMAGE = ImageSpec(32, 32, 3, (0.5,) * 3, (0.5,) * 3)


def saved(folder: Path, kind: str) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if kind == "resnet":
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3
        )
        model = transformers.ResNetForImageClassification(config)
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=3)
        model = transformers.ViTForImageClassification(config)
    model.eval().save_pretrained(folder)
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], resample=3
    )
    processor.save_pretrained(folder)
    return model


@pytest.mark.parametrize(("kind", "grid"), [("resnet", (4, 4)), ("vit", (4, 4))])
def test_a_classifier_in_a_folder(tmp_path: Path, kind: str, grid: tuple[int, int]) -> None:
    model, name = saved(tmp_path, kind), f"transformers/{tmp_path}"
    encoder = build_encoder(EncoderConfig(encoder=name, weights="pretrained"), IMAGE, 3).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), model(images).logits)
    assert (encoder.grid, encoder.channels, encoder.trained_head) == (grid, 16, True)
    other = build_encoder(EncoderConfig(encoder=name, weights="pretrained"), IMAGE, 5)
    assert (other.num_classes, other.trained_head) == (5, False)
    fresh = build_encoder(EncoderConfig(encoder=name), IMAGE, 3)
    assert not fresh.trained_head
    assert "no pretrained weights" in fresh.description
    fresh.load_state_dict(encoder.state_dict())  # as a model folder does
    with torch.no_grad():
        torch.testing.assert_close(fresh.eval()(images), model(images).logits)


def test_weights_from_a_file(tmp_path: Path) -> None:
    model = saved(tmp_path, "resnet")
    torch.save(model.state_dict(), tmp_path / "w.pth")
    config = EncoderConfig(encoder=f"transformers/{tmp_path}", weights=str(tmp_path / "w.pth"))
    encoder, images = build_encoder(config, IMAGE, 3).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), model(images).logits)
    assert encoder.trained_head


def test_images_follow_the_processor(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    images = published_images(f"transformers/{tmp_path}")
    assert images is not None
    assert (images.mean, images.std, images.size) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), (32, 32))
    assert (images.resize, images.crop_share, images.interpolation) == ("squash", 1.0, "bicubic")


def test_other_folders_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for weights in ("none", "pretrained"):
        with pytest.raises(UserError, match="cannot open an image classifier of this name") as caught:
            build_encoder(EncoderConfig(encoder=f"transformers/{tmp_path}", weights=weights), IMAGE, 3)
        assert "\n" not in str(caught.value)


def test_without_transformers_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"needs transformers: pip install 'resemblance\[transformers\]'"):
        build_encoder(EncoderConfig(encoder="transformers/a/b"), IMAGE, 3)


def test_names_that_are_not_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"is not in the cache, and .* does not respond; give transformers/FOLDER"
    ):
        build_encoder(EncoderConfig(encoder="transformers/nobody/nothing-at-all"), IMAGE, 3)
    with pytest.raises(UserError, match="no such folder, and no name on the hub"):
        build_encoder(EncoderConfig(encoder="transformers/./nothing"), IMAGE, 3)
