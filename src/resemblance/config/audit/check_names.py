"""The names of all checks of an audit, each with the question that it answers."""

from __future__ import annotations

# Name of each check → the question that it answers.
CHECKS = {
    "provenance": "whether each prototype is the training image, place and picture that the folder says",
    "nonsense": "how many images of noise, or of other things (--foreign), are answered without a warning",
    "certificate": "how far latents may move before the answer can change",
    "shifts": "whether the same prototypes are found after JPEG, blur, noise, brightness, rotation and resizing",
    "head-on-stomach": "whether an invisible change of other pixels moves a prototype's best place to them",
    "head-disappears": "whether an invisible change of its own place hides a prototype",
    "other-prototype": "whether an invisible change of the image makes another prototype the most similar one",
    "moved-map": "whether an invisible change of the image moves a relevance map while the answer stays",
    "same-reasons": "whether the class can change while the reasons shown stay",
    "prototype-swap": "how many prototypes could be replaced by patches of foreign images (--foreign)",
    "triggers": "whether a patch in a corner flips the class",
}
