"""The names of all measures, each with the question that it answers."""

from __future__ import annotations

# Name of each measure → the question that it answers.
MEASURES = {
    "accuracy": "how many images are classified correctly, and how many fewer than by the black box",
    "calibration": "whether the probabilities are as large as the accuracy",
    "ghosting": "how many prototypes are never the most similar one",
    "diversity": "how alike the prototypes of a class are",
    "average-drop": "how much a prototype's similarity drops without the less important half of the pixels",
    "relevance-ordering": "how fast the prediction returns when important pixels are shown first",
    "divergence": "how far the model's maps are from those of the black box",
    "attributes": "how many attributes the prototypes cover (--attributes)",
    "consistency": "whether a prototype points to the same object part in all images (--regions)",
    "stability": "whether a prototype points to the same object part when noise is added (--regions)",
    "purity": "whether the most similar patches of a prototype show the same object part (--regions)",
    "distinctiveness": "whether the prototypes of a class look at different places",
    "comprehensiveness": "how much of the object the maps of a class cover together (--regions)",
    "misalignment": "whether changes outside of the marked box change the similarity",
    "pointing-game": "whether the strongest pixel of a map lies on the object (--regions)",
    "relevance-mass": "how much of a map lies on the object (--regions)",
    "randomisation": "whether the maps change when the weights are replaced by random ones",
    "sensitivity": "how much the contributions change with a small change of the image",
    "robust-accuracy": "how many images are still classified correctly when they are attacked",
    "reconstruction": "how far decoded images are from the images, for methods that decode",
}
SETS = {
    "all": tuple(MEASURES),
    "paper": (
        *("accuracy", "ghosting", "diversity", "average-drop", "relevance-ordering", "divergence"),
        "attributes",
    ),
}
AGAINST_KMEX = ("accuracy", "ghosting", "diversity")
