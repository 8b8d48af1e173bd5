"""Attributes of the images and their effect on the prediction: those that an oracle reads, and appearances.

An appearance needs no net: light, contrast, colour, sharpness, light at the borders. Unnamed cues are often of this
kind: the exposure, a colour cast, the background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.audit.findings import Attribute, Estimate, Share
from rather.audit.load import LoadedRun
from rather.core import Images
from rather.generators.oracle import Oracle

_BORDER: Final = 8  # a border is 1 / 8 of the shorter side wide
_HALF: Final = 0.5
_TWO_GROUPS: Final = 0.8  # of the variance that a cut explains; of even values it is 0.75, of normal ones 0.64
FEWEST: Final = 10  # images that must have an attribute, and that must not
_ERROR: Final = 0.05  # of all intervals together
_INFLATION: Final = 5.0  # of the variance by other attributes, above which one of them is left out


def light(x: Images) -> Float[Tensor, " b"]:
    """Mean of all pixels."""
    return x.flatten(1).mean(1)


def contrast(x: Images) -> Float[Tensor, " b"]:
    """Standard deviation of the grey pixels."""
    return x.mean(1).flatten(1).std(1)


def colour(x: Images) -> Float[Tensor, " b"]:
    """Mean difference of the largest and the smallest channel."""
    return (x.amax(1) - x.amin(1)).flatten(1).mean(1)


def sharpness(x: Images) -> Float[Tensor, " b"]:
    """Mean |difference| of neighbouring pixels."""
    return ((x.diff(dim=2).abs()).flatten(1).mean(1) + x.diff(dim=3).abs().flatten(1).mean(1)) / 2


def light_above(x: Images) -> Float[Tensor, " b"]:
    """Mean of the pixels along the upper border."""
    return x[:, :, : _edge(x)].flatten(1).mean(1)


def light_below(x: Images) -> Float[Tensor, " b"]:
    """Mean of the pixels along the lower border."""
    return x[:, :, -_edge(x) :].flatten(1).mean(1)


def _edge(x: Images) -> int:
    return max(1, min(x.shape[2:]) // _BORDER)


#: Named after a picture that has more of it than most.
APPEARANCES: Final[Mapping[str, Callable[[Images], Float[Tensor, " b"]]]] = MappingProxyType(
    {
        "light picture": light,
        "high contrast": contrast,
        "strong colours": colour,
        "sharp picture": sharpness,
        "light upper border": light_above,
        "light lower border": light_below,
    }
)


def appearances(x: Images) -> Float[Tensor, "b a"]:
    """The value of each of `APPEARANCES`, in their order."""
    return torch.stack([read(x) for read in APPEARANCES.values()], 1)


def attributes(run: LoadedRun, classes: Sequence[str], oracle: Oracle | None) -> list[Attribute]:
    """Each attribute's effect on the prediction, and how often it changed; the largest effects first.

    An image has an attribute of the oracle if its value is above a half, and an appearance if it is above its `cut`.
    """
    names = [*(oracle.attributes if oracle else ()), *APPEARANCES]
    before, after = (_values(x, oracle) for x in (run.images, run.counterfactuals))
    enough = torch.full((len(names),), _HALF)
    enough[-len(APPEARANCES) :] = torch.stack([cut(values) for values in before[:, -len(APPEARANCES) :].unbind(1)])
    has = before > enough
    flipped = (after > enough) != has[run.found]
    change = after - before[run.found]
    effects = _effects(run, has)
    found = []
    for n, name in enumerate(names):
        k, estimates = effects.get(n, (len(classes) - 1, []))
        answer, label, excess = (*estimates, None, None, None)[:3]
        found.append(
            Attribute(
                name=name,
                has=Share(count=int(has[:, n].sum()), of=len(has)),
                towards=classes[k],
                answer=answer,
                label=label,
                excess=excess,
                changed=Share(count=int(flipped[:, n].sum()), of=len(flipped)),
                amount=float(change[:, n].abs().mean()) if len(change) else 0.0,
                examples=run.examples(run.found, change[:, n].abs()),
            )
        )
    return sorted(found, key=lambda one: -abs(one.answer.value) if one.answer else 1.0)


def cut(values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The value above which an image has an appearance: between two groups, where there are two, or the median.

    A thing of constant size that most images have is the median itself. So if one cut explains most of the
    variance, it is taken: N. Otsu, "A threshold selection method from gray-level histograms", 1979. Each group
    must have enough images to tell an effect.
    """
    ordered, n = values.double().sort().values, len(values)
    if n < 2 * FEWEST:
        return values.median()
    below = torch.arange(FEWEST, n - FEWEST + 1, dtype=torch.float64)  # images below the cut
    sums = ordered.cumsum(0)
    low, high = sums[FEWEST - 1 : n - FEWEST] / below, (sums[-1] - sums[FEWEST - 1 : n - FEWEST]) / (n - below)
    explained = below * (n - below) / n**2 * (high - low).square() / ordered.var(correction=0).clamp(min=1e-12)
    best = int(explained.argmax())
    if explained[best] < _TWO_GROUPS:
        return values.median()
    return ordered[FEWEST - 1 + best : FEWEST + 1 + best].mean().to(values)


def _values(x: Images, oracle: Oracle | None) -> Float[Tensor, "n a"]:
    if not len(x):
        return torch.zeros(0, len(oracle.attributes if oracle else ()) + len(APPEARANCES))
    return torch.cat([*([oracle.values(x)] if oracle else []), appearances(x)], 1)


def _effects(run: LoadedRun, has: Bool[Tensor, "n a"]) -> dict[int, tuple[int, list[Estimate]]]:
    """Of each attribute the class that it moves most; its effects on prediction and label, and their difference.

    They are estimated on the images that have a label; on all images, without a label's effect, if too few have one.
    """
    count = run.probabilities.shape[1]
    labels = run.labels if len(run.labelled) >= 2 * FEWEST else None
    rows = torch.arange(len(has)) if labels is None else run.labelled
    found: dict[int, tuple[int, list[Estimate]]] = {}
    moved = range(1 if count == 2 else 0, count)  # noqa: PLR2004 - the second class's probability says both
    for k in moved:
        columns = [run.probabilities[:, k]]
        if labels is not None:
            truth = (labels == k).float()
            columns += [truth, columns[0] - truth]
        effects = dependence(torch.stack(columns, 1)[rows], has[rows], minor=len(APPEARANCES), calls=len(moved))
        for n, effect in effects.items():
            if n not in found or abs(effect[0].value) > abs(found[n][1][0].value):
                found[n] = k, effect
    return found


def dependence(
    values: Float[Tensor, "n m"], has: Bool[Tensor, "n a"], *, minor: int = 0, calls: int = 1
) -> dict[int, list[Estimate]]:
    """The effect of having each attribute on some values, with all other attributes equal.

        values_i = c + sum_a effect_a * has_ia + noise_i,   by least squares

    The intervals hold for all effects together with 95 % (Bonferroni), and whatever the spread of the noise
    (HC3: J. MacKinnon and H. White, "Some heteroskedasticity-consistent covariance matrix estimators with
    improved finite sample properties", 1985): the values are probabilities, most of them near 0 or 1.

    Args:
        values: of each image some numbers, such as the probabilities of classes.
        has: of the same images, what they have.
        minor: this many of the attributes, the last ones, are left out before all others.
        calls: the number of calls over which the 95 % hold together, as if the largest effect of several is taken.

    Returns:
        By the attribute's number its effect on each of the m values. Attributes are left out if fewer than `FEWEST`
        images have them, or lack them. Of attributes that nearly determine each other, such as all colours of hair,
        those that correlate least with the first value are left out.
    """
    n = len(values)
    known = _known(values[:, 0].double(), has, has.shape[1] - minor)
    if not len(known) or n <= len(known) + 1:
        return {}
    x, y = _centred(has[:, known].double()), _centred(values.double())
    inverse = torch.linalg.inv(x.T @ x)
    effect = inverse @ x.T @ y  # (a, m)
    leverage = ((x @ inverse) * x).sum(1) + 1 / n
    pulled = (y - x @ effect) / (1 - leverage).clamp(min=1e-3)[:, None]
    spread = ((inverse @ x.T).square() @ pulled.square()).sqrt()
    z = torch.special.ndtri(torch.tensor(1 - _ERROR / 2 / effect.numel() / calls, dtype=torch.float64))
    return {
        attribute: [
            Estimate(value=b, low=b - s, high=b + s)
            for b, s in zip(effect[place].tolist(), (z * spread[place]).tolist(), strict=True)
        ]
        for place, attribute in enumerate(known.tolist())
    }


def _known(value: Float[Tensor, " n"], has: Bool[Tensor, "n a"], major: int) -> Int[Tensor, " k"]:
    """The attributes whose effects can be separated; those from `major` on are left out first."""
    count = has.sum(0)
    (known,) = ((count >= FEWEST) & (len(has) - count >= FEWEST)).nonzero(as_tuple=True)
    while len(known):
        x = _centred(has[:, known].double())
        x = x / x.norm(dim=0)
        # A little on the diagonal, so that the inflation of columns that determine each other exactly is large.
        inflation = torch.linalg.inv(x.T @ x + 1e-9 * torch.eye(len(known), dtype=x.dtype)).diagonal()
        if inflation.max() <= _INFLATION:
            break
        doubtful = inflation > _INFLATION
        if (doubtful & (known >= major)).any():
            doubtful &= known >= major
        correlation = (x.T @ _centred(value)).abs()
        correlation[~doubtful] = torch.inf
        known = known[torch.arange(len(known)) != correlation.argmin()]
    return known


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(0)
