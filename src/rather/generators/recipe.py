"""What every kind of generator declares: its settings, its training net, its figures and its preview."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from rather.config.settings import NameList, Settings
from rather.core import Classifier, Images
from rather.generators.frozen import FrozenNet
from rather.io.images import Shape

#: Bounds keep a forged file, and a typing error, from asking for a giant net.
Latent = Annotated[int, Field(gt=0, le=4096, description="Numbers in a latent.")]
Cells = Annotated[
    int, Field(gt=0, le=64, description="Cells per side, at most, of a latent that is a map; 1: one vector per image.")
]
Names = Annotated[NameList, Field(max_length=4096)]
Steps = Annotated[PositiveInt, Field(description="Training steps.")]
Rate = Annotated[PositiveFloat, Field(description="Adam's learning rate at the start; it falls linearly to zero.")]
Batch = Annotated[PositiveInt, Field(description="Images per step, in each process.")]
#: What a batch can hold: images (b, c, h, w), their labels (b,), layouts (b, h, w) and attributes (b, a), the
#: explained classifier's probabilities (b, k), and, of data that can be drawn again, the same images with
#: the attributes of others (b, c, h, w), and these attributes (b, a).
Column = Literal["images", "labels", "layouts", "attributes", "probabilities", "edited", "edited_attributes"]
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
    """The nets of a generator in training; `forward` gives the losses that its phases lower."""

    def phases(self) -> Mapping[str, Phase]:
        """The phases by name, in the order in which they take turns in each step; by default one for all."""
        return {"all": Phase([*self.parameters()])}

    @abstractmethod
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        """The loss of each image in a phase; the batch holds the columns that the recipe reads."""

    @abstractmethod
    def product(self, name: str) -> FrozenNet:
        """The frozen net that the training is for."""


class GeneratorRecipe(Settings, ABC):
    """A kind of generator with its settings: how it is built, trained, measured and shown."""

    makes: ClassVar[type[FrozenNet]]
    reads: ClassVar[tuple[Column, ...]] = ("images",)

    width: Annotated[int, Field(gt=0, le=1024)] = 32
    """Channels of the layer next to the image; layers further in have up to four times as many."""
    steps: Steps = 4000
    lr: Rate = 0.002
    batch_size: Batch = 128

    @classmethod
    @override
    def name(cls) -> str:
        """What `rather train` calls it: the name of its file; in other packages its class, `MyKindRecipe`: my_kind."""
        return super().name().removesuffix("_recipe")

    @abstractmethod
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> GeneratorNet:
        """The nets, with random weights.

        Args:
            shape: (c, h, w) of the images.
            count: number of training images.
            classifier: the classifier to explain, for kinds that are trained for one; needed to train only.
        """

    @final
    def with_names(
        self, labels: Sequence[str], regions: Sequence[str], attributes: Sequence[str], classifier: Classifier | None
    ) -> GeneratorRecipe:
        """This recipe with the names that data and classifier decide: of labels, regions, attributes, classes."""
        known = {"labels": tuple(labels), "regions": tuple(regions), "attributes": tuple(attributes)}
        known |= {} if classifier is None else {"classes": classifier.classes}
        fields = type(self).model_fields
        return self.model_copy(update={name: names for name, names in known.items() if name in fields})

    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        """How good the trained net is on test pictures, with a classifier to judge it; nothing by default."""
        del product, test, classifier
        return {}

    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        """Rows of pictures to look at during the training; none by default."""
        del product, shown
        return []

    def settings(self) -> dict[str, Any]:
        """Its settings as plain data, its name among them."""
        return {"name": self.name()} | self.model_dump()
