"""What a generator is before it is trained, and what of it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from rather.config.settings import NameList, Settings
from rather.core import Classifier, Images
from rather.generators.frozen import FrozenNet

Shape = tuple[int, int, int]  # c, h, w
#: Bounds keep a forged file, and a slip of the finger, from asking for a giant net.
Latent = Annotated[int, Field(gt=0, le=4096)]
Cells = Annotated[int, Field(gt=0, le=64)]
Names = Annotated[NameList, Field(max_length=4096)]
#: What a batch can have of pictures: the images (b, c, h, w), their labels (b,), their layouts (b, h, w),
#: their attributes (b, a), what the classifier that is explained says of them (b, k), and the same images
#: with the attributes of others (b, c, h, w), and these (b, a).
Column = Literal["images", "labels", "layouts", "attributes", "probabilities", "edited", "asked"]
Columns = Mapping[Column, Tensor]
Figure = float | int | str | None


@final
@dataclass(frozen=True)
class Phase:
    """A part of each training step: one Adam optimiser, and the parameters that it moves."""

    parameters: Sequence[nn.Parameter]
    betas: tuple[float, float] = (0.9, 0.999)
    begin: float = 0.0  # as shares of all steps
    end: float = 1.0


class GeneratorNet(nn.Module, ABC):
    """The nets of a generator; `forward` gives what its phases lower."""

    @abstractmethod
    def phases(self) -> Mapping[str, Phase]:
        """By name, in the order in which they take turns in each step."""

    @abstractmethod
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        """The loss of each image in a phase, of the columns that the generator reads."""

    @abstractmethod
    def product(self, name: str) -> FrozenNet:
        """What it is good for once trained."""


class Generator(Settings, ABC):
    """A kind of generator with its settings: how it is built, trained, measured and shown."""

    reads: ClassVar[tuple[Column, ...]] = ("images",)

    width: Annotated[int, Field(gt=0, le=1024)] = 32
    """Channels of the layer next to the image; layers further in have up to four times as many."""
    steps: PositiveInt = 4000
    """Training steps."""
    lr: PositiveFloat = 0.002
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 128
    """Images a step, in each process."""

    @abstractmethod
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> GeneratorNet:
        """The nets, with random weights.

        Args:
            shape: of the images.
            count: how many there are to train on.
            classifier: whom the generator shall explain, for those that are trained for one; only a training
                needs it.
        """

    @final
    def suited(
        self, labels: Sequence[str], regions: Sequence[str], attributes: Sequence[str], classifier: Classifier | None
    ) -> Generator:
        """With the names that the pictures to train on, and the classifier, decide.

        They are for whoever has a setting of that name: `labels`, `regions`, `attributes`, `classes`.
        """
        known = {"labels": tuple(labels), "regions": tuple(regions), "attributes": tuple(attributes)}
        known |= {} if classifier is None else {"classes": classifier.classes}
        own = type(self).model_fields
        return self.model_copy(update={name: names for name, names in known.items() if name in own})

    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        """How good what was trained is, on pictures that it was not trained on; none by default.

        Args:
            product: that was trained.
            test: the pictures.
            judge: a classifier to measure with.
        """
        del product, test, judge
        return {}

    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        """Rows of pictures to look at while it trains; none by default."""
        del product, shown
        return []

    def settings(self) -> dict[str, Any]:
        """Its settings as plain data, its name among them."""
        return {"name": self.name()} | self.model_dump()
