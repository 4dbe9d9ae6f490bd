"""The kinds of relevance maps, by name, and the notice that belongs to one of them."""

from __future__ import annotations

from typing import Literal, get_args

MapKind = Literal["similarity", "gradient", "smoothgrad", "integrated", "prp"]
MAP_KINDS: tuple[MapKind, ...] = get_args(MapKind)
LRP_NOTICE = (
    'The authors of LXT state of their code: "LRP is a patented technology that can only be used free of charge for '
    'personal and scientific purposes" (README of https://github.com/rachtibat/LRP-eXplains-Transformers).'
)
Definition = Literal["default", "paper", "released"]  # where the formulas of paper and released code differ
DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
MAP_NAMES: dict[MapKind, str] = {
    "similarity": "similarity map",
    "gradient": "input × gradient",
    "smoothgrad": "SmoothGrad",
    "integrated": "integrated gradients",
    "prp": "PRP, layer-wise relevance propagation",
}
SHOWN_MAPS = ("auto", "none", *MAP_KINDS)  # what explanations can show
MAPS_HELP = (
    "map over the image for each reason: similarity (exact, free), gradient (input x gradient), smoothgrad, integrated "
    "(integrated gradients) or prp (relevance propagation); none; auto is similarity, and smoothgrad for methods that "
    f"compare whole images. For prp: {LRP_NOTICE.removesuffix('.')}"
)
CHECK_HELP = "remove what each map marks and compare with random places: 30 forward passes per map"
NO_CHECK_HELP = "do not check maps by removing what they mark, which costs 30 forward passes per map"
