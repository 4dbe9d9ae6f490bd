"""A method's terms for its prototypes, attributes or concepts, and for the numbers beside them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The terms that texts, figures and pages use for a method's reasons and the numbers beside them.

    Args:
        one: what a reason is about: "prototype", "attribute" or "concept".
        similarity: the number that an image has for it.
        weight: the factor between this number and the contribution.
        picture: the title above the picture that represents it.
        source: the words before the name of its training image.
        owned: whether it can belong to classes.
        rivals: whether an image uses only the one that it is most similar to, so that others can be unused. Otherwise
            an image has all of them, and it means little if the number of one is never the largest.
        counted: what the percentage beside each one means; by default, the images in which its number is the largest.
        about: a description that continues a sentence beginning with their name in the plural.
        similarity_says: a description that continues a sentence beginning with ``similarity``.
        weight_says: the same for ``weight``.
        box_says: the same for the yellow box on an image, if the method looks at parts.

    Example:
        >>> words = Words("attribute")
        >>> words.many, words.a
        ('attributes', 'an attribute')
    """

    one: str = "prototype"
    similarity: str = "similarity"
    weight: str = "weight"
    picture: str = "resembles this"
    source: str = "from"
    owned: bool = True
    rivals: bool = True
    counted: str = ""
    about: str = (
        "are training images, or parts of them, that the model keeps as examples of a class. It compares each image "
        "with them: what an image resembles decides what the model predicts."
    )
    similarity_says: str = "how much the image resembles the prototype in the model's own view"
    weight_says: str = "how much that counts for the class"
    box_says: str = (
        "surrounds the brightest place: the maximum of the map, and what is about as bright around it"
    )

    @property
    def many(self) -> str:
        """The plural."""
        return f"{self.one}s"

    @property
    def a(self) -> str:
        """The singular with its article."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"

    @property
    def share(self) -> str:
        """The meaning of the percentage beside each one, if they are not rivals.

        Example:
            >>> Words("concept", "value").share
            "training images in which a concept's value is the largest of all"
        """
        return self.counted or f"training images in which {self.a}'s {self.similarity} is the largest of all"

    def count(self, number: int) -> str:
        """Return a number of them in words.

        Example:
            >>> Words().count(1), Words("concept").count(0)
            ('1 prototype', '0 concepts')
        """
        return f"{number} {self.one if number == 1 else self.many}"


PROTOTYPES = Words()
