"""What people have, as classifiers: `adapt` takes a net or a function, `ensemble` several classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.classifiers.answers import Asked, Plain, finish, key_of, to_logits
from rather.classifiers.preflight import ask, brief, noise, refuse_nonfinite, refuse_nonfinite_weights, refuse_unsteady
from rather.classifiers.split import split
from rather.config.errors import RatherError
from rather.config.settings import Output
from rather.core import Classifier, Features, Images, Logits

_PROBES: Final = 3  # images of noise; one alone, or two, would hide what depends on the batch


def adapt(
    net: nn.Module | Callable[[Tensor], object],
    *,
    shape: tuple[int, int, int],
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: Output = "logits",
    layer: str | None = None,
    name: str = "classifier",
) -> Classifier:
    """Bring a net in: a copy of it, in evaluation mode and frozen, that takes images in [0, 1].

    The net itself stays as it is. It is asked about a few images of noise, so that what it answers is known:
    one logit becomes two, probabilities their logarithms, and of a dictionary its logits are taken.

    Args:
        net: images (b, c, h, w), normalised, to one number for each class, or to one for the second of two.
        shape: (c, h, w) of its images.
        classes: a name for each class; by default its number.
        mean: per channel, subtracted from images in [0, 1]; by default nothing is.
        std: per channel, divides them.
        output: what its numbers are.
        layer: where to cut it into body and head; see `rather.classifiers.split.split`.
        name: what to call it in a report.

    Raises:
        RatherError: MODEL-INPUT, -OUTPUT-TYPE, -OUTPUT-SHAPE, -ONE-OUTPUT, -PROBABILITIES,
            -NOT-PROBABILITIES, -NONFINITE, -WEIGHTS-NONFINITE, -TRAIN-MODE, -BATCH-DEPENDENT, -LAYER,
            -CLASSES or -COPY.
    """
    _refuse_wrong_normalisation(shape, mean, std)
    net = _copy(net)
    refuse_nonfinite_weights(net)
    device = next((tensor.device for tensor in net.state_dict().values()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):  # a net that draws random numbers must not move anybody's
        x = _normalised(noise(_PROBES, shape), mean, std).to(device)
        answer = ask(net, x)
        key = key_of(answer)
        root = Asked(net, key)
        answer = answer if key is None else answer[key]
        refuse_nonfinite(root, x, answer)
        last = to_logits(answer, output, len(x))
        refuse_unsteady(root, x, answer)
        body, head = split(root, layer, example=x)
    count = 2 if output.startswith("binary") else answer.shape[1]
    if classes is not None and len(classes) != count:
        raise RatherError("MODEL-CLASSES", where=f"{len(classes)} names", why=f"{name} knows {count} classes")
    return Classifier(
        body,
        finish(head, last),
        classes=classes if classes is not None else [str(n) for n in range(count)],
        shape=shape,
        mean=mean,
        std=std,
        name=name,
    ).to(device)


def _copy(net: nn.Module | Callable[[Tensor], object]) -> nn.Module:
    if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        net = net.module
    if not isinstance(net, nn.Module):
        return Plain(net)
    try:
        return deepcopy(net).float().eval().requires_grad_(requires_grad=False)
    except Exception as error:
        raise RatherError("MODEL-COPY", why=brief(error), do="Bring a function that asks it") from error


def _normalised(x: Images, mean: Sequence[float] | None, std: Sequence[float] | None) -> Images:
    centre = torch.tensor(mean or [0.0] * x.shape[1]).view(-1, 1, 1)
    scale = torch.tensor(std or [1.0] * x.shape[1]).view(-1, 1, 1)
    return (x - centre) / scale


def _refuse_wrong_normalisation(
    shape: tuple[int, int, int], mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    for what, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != shape[0]:
            raise RatherError(
                "MODEL-INPUT", where=f"{what} of {len(values)} channels", why=f"its images have {shape[0]}"
            )
    if std is not None and min(std) <= 0:
        raise RatherError("MODEL-INPUT", where=f"std of {min(std)}", why="it divides the images")


def ensemble(members: Sequence[Classifier], name: str = "ensemble") -> Classifier:
    """The classifier whose logits are the mean of its members' log-probabilities.

    Its map is its members' maps one after another in channels, if all of them are as large; else the image.

    Args:
        members: of the same classes and shape of images; shared, not copied.
        name: what to call it in a report.

    Raises:
        RatherError: MODEL-MEMBERS if there are none, or if they differ in what they take or know.
    """
    if not members:
        raise RatherError("MODEL-MEMBERS", where=name, why="it has none")
    first = members[0]
    for member in members:
        if member.classes != first.classes or member.shape != first.shape:
            raise RatherError(
                "MODEL-MEMBERS",
                where=f"{first.name} and {member.name}",
                why=f"{len(first.classes)} classes of images {first.shape}, "
                f"{len(member.classes)} classes of images {member.shape}",
                do="Give all of them the same classes, in one order, and one shape",
            )
    body, head = _parts(members)
    return Classifier(body, head, classes=first.classes, shape=first.shape, name=name, members=members)


def _parts(members: Sequence[Classifier]) -> tuple[nn.Module, nn.Module]:
    image = noise(1, members[0].shape).to(members[0].get_buffer("mean").device)
    with torch.no_grad():
        maps = [member.features(image) for member in members]
    grids = {tuple(part.shape[2:]) for part in maps}
    uncut = all(isinstance(member.body, nn.Identity) for member in members)
    if uncut or len(grids) > 1 or any(part.ndim != 4 for part in maps):  # noqa: PLR2004 - b, d, u, v
        return nn.Identity(), _Together(members)
    return _Maps(members), _Heads(members, [part.shape[1] for part in maps])


@final
class _Together(nn.Module):
    """The mean of the members' log-probabilities."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Images) -> Logits:
        """Of images."""
        return _mean_log_probability([member(x) for member in self.members])


@final
class _Maps(nn.Module):
    """The members' maps, one after another in channels."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Images) -> Features:
        """Of images; every member normalises for itself."""
        return torch.cat([member.features(x) for member in self.members], 1)  # type: ignore[operator] # a ModuleList forgets what its modules are


@final
class _Heads(nn.Module):
    """Of the members' maps, the mean of their log-probabilities."""

    def __init__(self, members: Sequence[Classifier], channels: Sequence[int]) -> None:
        super().__init__()
        self._members = tuple(members)  # a tuple, so that they are not registered twice
        self.channels = list(channels)

    def forward(self, features: Float[Tensor, "b d u v"]) -> Logits:
        """Each member sees its own channels."""
        parts = features.split(self.channels, 1)
        return _mean_log_probability([member.head(part) for member, part in zip(self._members, parts, strict=True)])


def _mean_log_probability(logits: Sequence[Logits]) -> Logits:
    return torch.stack([each.log_softmax(1) for each in logits]).mean(0)
