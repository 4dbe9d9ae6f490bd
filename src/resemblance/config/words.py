"""What a method calls the things that its reasons are about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words of texts, figures and pages for a method's reasons and the numbers beside them.

    Args:
        one: what a reason is about: a prototype, an attribute, a concept.
        similarity: the number that an image has for it.
        weight: the factor between that number and the contribution.
        picture: above the picture that stands for it.
        source: before the name of the training image behind it.
        owned: it belongs to classes, or may.
        rivals: an image uses the one that it is most similar to, so that others may be unused. Else an image has
            all of them, and that one's number is never the largest of all says little of it.
        counted: what the per cent beside each says; by default where its number is the largest of all.
        about: what they are, in sentences that go on from their name.
        similarity_says: what ``similarity`` says, likewise.
        weight_says: and ``weight``.
        box_says: and the yellow box on an image, where the method looks at parts.

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
        "with them: what an image resembles decides what the model says."
    )
    similarity_says: str = "how much the image resembles the prototype in the model's own view"
    weight_says: str = "how much that counts for the class"
    box_says: str = "holds the brightest twentieth of the image; bright places far apart share one large box"

    @property
    def many(self) -> str:
        """More than one of them."""
        return f"{self.one}s"

    @property
    def a(self) -> str:
        """One of them, with its article."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"

    @property
    def share(self) -> str:
        """What the per cent beside each says, where they are no rivals.

        Example:
            >>> Words("concept", "value").share
            "training images in which a concept's value is the largest of all"
        """
        return self.counted or f"training images in which {self.a}'s {self.similarity} is the largest of all"

    def count(self, number: int) -> str:
        """So many of them.

        Example:
            >>> Words().count(1), Words("concept").count(0)
            ('1 prototype', '0 concepts')
        """
        return f"{number} {self.one if number == 1 else self.many}"


PROTOTYPES = Words()
