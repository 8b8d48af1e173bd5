"""Classifiers, as everything else sees them: images in [0, 1] to logits, by way of a map of features."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.classifiers.checks import check_answer, noise
from rather.classifiers.inputs import PerChannel, PreprocessLike, ShapeLike, inputs_of, net_input
from rather.classifiers.names import Names, names_of, normal
from rather.classifiers.questions import Kind, Question, question_of
from rather.classifiers.wrap import Wrapped, wrap
from rather.config.errors import RatherError, did_you_mean
from rather.config.output import LABELS, VALUES, Output
from rather.core.faults import Overtime, named_faults
from rather.types import Features, Images, Logits, Resource, Target


@final
class Classifier(Resource, nn.Module):
    """A net or a function as a classifier of images in [0, 1]: `head(body((x - mean) / std))` are its logits.

    The net is copied, frozen and kept in evaluation mode; yours stays as it is. It runs on a few images of noise,
    which shows what it returns: one logit becomes two, probabilities become their logarithms, and of a dictionary
    the logits are taken. It is cut into a body, which gives a map of features (b, d, u, v), and a head.

    Args:
        net: images (b, c, h, w), normalised, to one number for each class, or to one for the second of two.
        head: to take two parts as they are, without a copy and a look: `net` is the body then.
        shape: (c, h, w) of its images, in any sequence; not needed with `preprocess`.
        classes: a name for each class, no two alike; or a file of them, or "imagenet", see
            `rather.classifiers.names`; by default its number.
        mean: a number, or one for each channel, subtracted from images; what `preprocess` subtracts, or 0, by default.
        std: likewise, divides them; what `preprocess` divides by, or 1, by default.
        scale: what white is where `mean` and `std` come from: 255 for a net that takes pixels from 0 to 255. Images are
            in [0, 1] whatever it is.
        preprocess: how a picture becomes the net's input: your transform for evaluation, or a library's, from a PIL
            image to a tensor. Its resizing and cropping are used for pictures from files, its last steps become mean,
            std and the order of the channels; see `rather.io.preprocessing`.
        output: what its numbers are. Of labels that do not exclude each other ("multi-label") and of values
            ("value"), `classes` are the names; ask for one with `ask`, or with a target.
        layer: where to cut it into body and head, as `named_modules` calls it; by default where the features
            are a map for the last time.
        name: its name in reports.
        members: the classifiers of an ensemble, if it is one.
        notes: what whoever uses it should know of how it was loaded; `explain` prints them.

    Raises:
        RatherError: MODEL-INPUT, -OUTPUT-TYPE, -OUTPUT-SHAPE, -ONE-OUTPUT, -PROBABILITIES,
            -NOT-PROBABILITIES, -NONFINITE, -WEIGHTS-NONFINITE, -TRAIN-MODE, -BATCH-DEPENDENT, -LAYER,
            -CLASSES, -COPY or -PREPROCESS.
    """

    mean: Tensor
    std: Tensor
    _sees_grey = False
    #: The net in another library, from which this one was converted: `preflight` compares their answers.
    reference: tuple[Classifier, ...] = ()

    def __init__(
        self,
        net: nn.Module | Callable[[Tensor], object],
        head: nn.Module | None = None,
        *,
        shape: ShapeLike | None = None,
        classes: Names | None = None,
        mean: PerChannel = None,
        std: PerChannel = None,
        scale: float = 1.0,
        preprocess: PreprocessLike | None = None,
        output: Output = "logits",
        layer: str | None = None,
        name: str = "classifier",
        members: Sequence[Classifier] = (),
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        inputs = inputs_of(name, shape=shape, mean=mean, std=std, scale=scale, given=preprocess)
        if classes is not None:
            classes = names_of(classes)
        if head is None:
            parts = wrap(net, inputs=inputs, classes=classes, output=output, layer=layer, name=name)
        elif isinstance(net, nn.Module) and classes is not None:
            parts = Wrapped(net, head, tuple(classes), None)
        else:
            raise RatherError("MODEL-CLASSES", where=name, why="a head needs a module before it and names of classes")
        self.body, self.head, self.classes, device = parts
        self.shape, self.preprocess = inputs.shape, inputs.preprocess
        self.name, self.output, self.notes = name, output, tuple(notes)
        self._asked: tuple[Question, Classifier] | None = None  # a tuple, so that it is not registered
        self._members = tuple(members)  # a tuple, so that they are not registered twice
        twice = [one for one, count in Counter(self.classes).items() if count > 1]
        if twice:
            raise RatherError("MODEL-CLASSES", where=twice[0], why="two classes have this name")
        self.register_buffer("mean", inputs.mean)
        self.register_buffer("std", inputs.std)
        self.eval().requires_grad_(requires_grad=False)
        if device is not None:
            self.to(device)

    @classmethod
    def from_torchvision(cls, model: str, *, weights: str | None = None, layer: str | None = None) -> Classifier:
        """A model of torchvision, such as "resnet50", with its published weights, or with those of a file.

        Raises:
            RatherError: what `load_classifier` raises.
        """
        return _loaded("torchvision", model, weights, layer)

    @classmethod
    def from_timm(cls, model: str, *, weights: str | None = None, layer: str | None = None) -> Classifier:
        """A model of timm, likewise; needs `pip install 'rather[timm]'`."""
        return _loaded("timm", model, weights, layer)

    @classmethod
    def from_hf(cls, folder: str, *, layer: str | None = None) -> Classifier:
        """A classifier of transformers from a folder or its hub; needs `pip install 'rather[hf]'`."""
        return _loaded("hf", folder, None, layer)

    @property
    def kind(self) -> Kind:
        """What its outputs are: classes, of which an image has one; labels, of which it may have several; values."""
        return "labels" if self.output in LABELS else "values" if self.output in VALUES else "classes"

    @property
    def question(self) -> Question | None:
        """What was asked of its labels or values, if it is the answer of `ask`."""
        return self._asked and self._asked[0]

    @property
    def source(self) -> Classifier:
        """The classifier of which `ask` made this one; of any other, itself."""
        return self._asked[1] if self._asked else self

    def ask(self, target: object, tolerance: float | None = None) -> Classifier:
        """Of labels or values, a classifier of two classes: without what is asked, and with it.

        Args:
            target: `Smiling=no`, `Smiling=yes`, or `Smiling` for the other way round; `60`, `+5`, `-5`, `<30`, `>70`.
            tolerance: how far from the number a value may be; by default 5 % of it.

        Raises:
            RatherError: CFG-CLASS for a target that is none of these, CFG-SETTING for the tolerance.
        """
        return self._answering(question_of(target, self.kind, self.classes, self.name, tolerance))

    def asked_for(self, target: Target, tolerance: float | None = None) -> tuple[Classifier, Target]:
        """The classifier that a search takes, and its target: of labels or values, what `ask` makes of the target."""
        if self.kind != "classes":
            asked = self.ask(target, tolerance)
            return asked, asked.question.target if asked.question else target
        if tolerance is not None:
            raise RatherError("CFG-OPTIONS", where=f"tolerance {tolerance:g}", why=f"{self.name} gives no values")
        return self, target

    def at(self, image: Images) -> Classifier:
        """Where each image has a question of its own, such as `+5`: the classifier for this one, (1, c, h, w)."""
        if self.question is None or not self.question.relative or not len(image):
            return self
        value = float(self.source.outputs(image)[0, self.question.column])
        return self.source._answering(self.question.at(value))  # noqa: SLF001 - of this class

    def _answering(self, question: Question) -> Classifier:
        layers = [*self.head] if type(self.head) is nn.Sequential else [self.head]
        centre = self.get_buffer("mean")
        asked = Classifier(
            self.body,
            nn.Sequential(*layers, question.layer(len(self.classes)).to(centre)),
            shape=self.shape,
            classes=question.classes,
            mean=centre.flatten(),
            std=self.get_buffer("std").flatten(),
            name=self.name,
        )
        asked._asked, asked.preprocess, asked.notes = (question, self), self.preprocess, self.notes
        return asked.to(centre)

    def numbers(self, x: Images) -> Float[Tensor, "b k"]:
        """What its head gives before anything was asked: a logit of each class or label, or values."""
        head = self.head if self._asked is None else self.head[:-1]  # type: ignore[index] # a Sequential, see `ask`
        features = self.features(x)
        with named_faults():
            given: object = head(features)
        return check_answer(given, len(x), len(self.source.classes))

    @torch.no_grad()
    def outputs(self, x: Images, batch_size: int = 256) -> Float[Tensor, "b k"]:
        """The probabilities of labels, or values, without gradients: of what was asked, see `source`."""
        numbers = torch.cat([self.numbers(part) for part in x.split(batch_size)])
        return numbers.sigmoid() if self.source.kind == "labels" else numbers

    def forward(self, x: Images) -> Logits:
        """The logits of images; of labels their logits, and values.

        Raises:
            RatherError: MODEL-FAILS for whatever the net raises; MODEL-OUTPUT-TYPE, MODEL-OUTPUT-SHAPE or
                MODEL-CLASSES where its answer is no row of numbers for each image and class.
        """
        features = self.features(x)
        with named_faults():
            given: object = self.head(features)
        return check_answer(given, len(x), len(self.classes))

    def features(self, x: Images) -> Features:
        """The map that the head sees."""
        seen = x.mean(1, keepdim=True) if self._sees_grey else x
        with named_faults():
            given: Tensor = self.body(net_input(seen, self.mean, self.std, self.preprocess))
        return given

    @cached_property
    def in_grey(self) -> Classifier:
        """The same net for colour images, of which it sees the mean of the channels, as grey."""
        same = copy(self)
        vars(same).update(_sees_grey=True, _members=tuple(member.in_grey for member in self._members))
        return same

    @cached_property
    def differentiable(self) -> bool:
        """Whether a gradient passes from its answer back to the image, tried once, with an image of noise.

        It does not where the answer is computed outside torch (ONNX, numpy, an address), or is detached.
        """
        x = noise(1, self.shape).to(self.mean).requires_grad_()
        with torch.inference_mode(mode=False), torch.enable_grad():
            try:
                answer = self(x).sum()
            except (Exception, Overtime):  # noqa: BLE001 - what cannot take such an image may say so in any way
                return not self._answers(x.detach())
            try:
                return answer.requires_grad and torch.autograd.grad(answer, x, allow_unused=True)[0] is not None
            except (Exception, Overtime):  # noqa: BLE001 - a fault on the way back is the net's own
                return True

    def _answers(self, x: Images) -> bool:
        """Whether images have an answer at all: a net that fails on noise may have gradients elsewhere."""
        try:
            with torch.no_grad():
                self(x)
        except (Exception, Overtime):  # noqa: BLE001 - the same
            return False
        return True

    @torch.no_grad()
    def probabilities(self, x: Images, batch_size: int = 256) -> Float[Tensor, "b k"]:
        """Class probabilities of images, `batch_size` of them in memory at a time, without gradients.

        Raises:
            RatherError: MODEL-NO-CLASSES for labels or values, of which nothing was asked.
        """
        if self.kind != "classes":
            first = self.classes[0]
            do = f"Name one as the target: {first}=no" if self.kind == "labels" else "Name the target: 60, +5 or <30"
            do += "; where there is no such option, give the classifier .ask(TARGET)"
            raise RatherError("MODEL-NO-CLASSES", where=self.name, why=f"it gives {self.kind}", do=do)
        return torch.cat([self(part).softmax(1) for part in x.split(batch_size)])

    @property
    def members(self) -> tuple[Classifier, ...]:
        """The classifiers of an ensemble; of a single one, itself."""
        return self._members or (self,)

    def train(self, mode: bool = True) -> Classifier:
        """Stays in evaluation mode, whatever `mode` says: dropout would make every answer another."""
        del mode
        return super().train(mode=False)

    def fingerprint(self) -> str:
        """A sha256 of its classes, its preprocessing and all that `fingerprint` looks at."""
        told = self.classes if self.preprocess is None else (self.classes, self.preprocess.name)
        return fingerprint(self, self.shape, told, self.get_buffer("mean").device)

    def class_index(self, name: str) -> int:
        """The index of a class given by name or by number; a wrong one is answered with the nearest names."""
        if normal(name) not in self.classes and name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        return self.class_named(name)

    def class_named(self, name: str) -> int:
        """The index of a class by its name alone: what another classifier calls "7" is no number here."""
        if normal(name) in self.classes:
            return self.classes.index(normal(name))
        raise RatherError(
            "CFG-CLASS",
            where=name,
            why=f"{self.name} knows {len(self.classes)} classes",
            do=did_you_mean(name, self.classes),
        )


@torch.no_grad()
def fingerprint(net: nn.Module, shape: tuple[int, ...], told: object, device: torch.device) -> str:
    """A sha256 of what a net takes, its structure, its numbers and its answers, and of what else is given.

    The answers are to four inputs of noise, for code can differ where structure and numbers do not. Of each
    answer one weighted sum counts, to 3 decimals, which leaves room for the rounding errors of another
    processor or number of threads. A difference that no such sum shows stays unseen.

    Args:
        net: that takes (b, *shape) in [0, 1] and gives (b, k).
        shape: of one input.
        told: what else makes it what it is; its `repr` counts.
        device: where the net is.
    """
    digest = hashlib.sha256(repr((shape, told, net)).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    noise = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    answers = net(noise.to(device)).double().cpu()
    weights = torch.linspace(1, 2, answers.shape[1], dtype=torch.float64) / answers.shape[1] ** 0.5
    sums = (answers * weights).sum(1).round(decimals=3) + 0.0  # and not -0.0
    digest.update(repr(sums.tolist()).encode())
    return digest.hexdigest()


def _loaded(library: str, model: str, weights: str | None, layer: str | None) -> Classifier:
    from rather import load_classifier  # the public face knows every library, this module none

    return load_classifier(f"{library}:{model}" if weights is None else f"{library}:{model}={weights}", layer=layer)
