"""A user's net or function as a classifier (`adapt`), and several classifiers as one (`ensemble`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.classifiers.outputs import Function, OneTensor, finish, key_of, to_logits
from rather.classifiers.preflight import brief, check_finite, check_steady, check_weights, noise, run
from rather.classifiers.split import split
from rather.config.errors import RatherError
from rather.config.output import Output
from rather.core import Classifier, Features, Images, Logits
from rather.io.images import Shape

_PROBES: Final = 3  # images of noise; one alone, or two, would hide what depends on the batch


def adapt(
    net: nn.Module | Callable[[Tensor], object],
    *,
    shape: Shape,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: Output = "logits",
    layer: str | None = None,
    name: str = "classifier",
) -> Classifier:
    """A copy of a net, in evaluation mode and frozen, that takes images in [0, 1]; the net itself stays as it is.

    The net runs on a few images of noise, which shows what it returns: one logit becomes two, probabilities
    become their logarithms, and of a dictionary the logits are taken.

    Args:
        net: images (b, c, h, w), normalised, to one number for each class, or to one for the second of two.
        shape: (c, h, w) of its images.
        classes: a name for each class; by default its number.
        mean: per channel, subtracted from images in [0, 1]; 0 by default.
        std: per channel, divides them; 1 by default.
        output: what its numbers are.
        layer: where to cut it into body and head; see `rather.classifiers.split.split`.
        name: its name in reports.

    Raises:
        RatherError: MODEL-INPUT, -OUTPUT-TYPE, -OUTPUT-SHAPE, -ONE-OUTPUT, -PROBABILITIES,
            -NOT-PROBABILITIES, -NONFINITE, -WEIGHTS-NONFINITE, -TRAIN-MODE, -BATCH-DEPENDENT, -LAYER,
            -CLASSES or -COPY.
    """
    centre, scale = _per_channel("mean", mean, 0.0, shape), _per_channel("std", std, 1.0, shape)
    if scale.min() <= 0:
        raise RatherError("MODEL-INPUT", where=f"std of {float(scale.min()):.3g}", why="it divides the images")
    net = _copy(net)
    check_weights(net)
    device = next((tensor.device for tensor in net.state_dict().values()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):  # a net that draws random numbers must not change the caller's
        x = ((noise(_PROBES, shape) - centre) / scale).to(device)
        returned = run(net, x)
        key = key_of(returned)
        root = OneTensor(net, key)
        numbers = returned if key is None else returned[key]
        check_finite(root, x, numbers)
        last = to_logits(numbers, output, len(x))
        check_steady(root, x, numbers)
        body, head = split(root, layer, example=x)
    count = 2 if output.startswith("binary") else numbers.shape[1]
    if classes is None:
        classes = [str(n) for n in range(count)]
    if len(classes) != count:
        raise RatherError("MODEL-CLASSES", where=f"{len(classes)} names", why=f"{name} knows {count} classes")
    head = finish(head, last)
    return Classifier(body, head, classes=classes, shape=shape, mean=mean, std=std, name=name).to(device)


def _copy(net: nn.Module | Callable[[Tensor], object]) -> nn.Module:
    if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        net = net.module
    if not isinstance(net, nn.Module):
        return Function(net)
    try:
        return deepcopy(net).float().eval().requires_grad_(requires_grad=False)
    except Exception as error:
        raise RatherError("MODEL-COPY", why=brief(error), do="Give a function that calls it") from error


def _per_channel(what: str, values: Sequence[float] | None, default: float, shape: Shape) -> Tensor:
    if values is not None and len(values) != shape[0]:
        raise RatherError("MODEL-INPUT", where=f"{what} of {len(values)} channels", why=f"its images have {shape[0]}")
    return torch.tensor(values or [default] * shape[0]).view(-1, 1, 1)


def ensemble(members: Sequence[Classifier], name: str = "ensemble") -> Classifier:
    """The classifier whose logits are the mean of its members' log-probabilities; members are shared, not copied.

    Its map is its members' maps, concatenated in channels, if they are of one size; else the image.

    Raises:
        RatherError: MODEL-MEMBERS if there are none, or if they differ in shape or classes.
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
    """The members' maps, concatenated in channels."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Images) -> Features:
        """Of images; each member normalises them itself."""
        return torch.cat([member.features(x) for member in self.members], 1)  # type: ignore[operator] # a ModuleList forgets what its modules are


@final
class _Heads(nn.Module):
    """The mean of the members' log-probabilities, from their maps."""

    def __init__(self, members: Sequence[Classifier], channels: Sequence[int]) -> None:
        super().__init__()
        self._members = tuple(members)  # a tuple, so that they are not registered twice
        self.channels = list(channels)

    def forward(self, features: Float[Tensor, "b d u v"]) -> Logits:
        """Each head gets its own channels."""
        parts = features.split(self.channels, 1)
        return _mean_log_probability([member.head(part) for member, part in zip(self._members, parts, strict=True)])


def _mean_log_probability(logits: Sequence[Logits]) -> Logits:
    return torch.stack([each.log_softmax(1) for each in logits]).mean(0)
