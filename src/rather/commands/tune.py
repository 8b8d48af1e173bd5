"""Which value of a setting to take: of a run that tried several, or the depth of a diffusion filter.

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023, choose the
filter's depth, tau, so that filtering alone does not change the class of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import nan
from statistics import fmean
from typing import Final, final

import torch

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Noise
from rather.data.source import read_all
from rather.diffusion.denoising import Filter, lowest_levels
from rather.generators.ddpm import Denoiser
from rather.hub.classifiers import classifier_of, load_classifier
from rather.hub.datasets import load_dataset
from rather.hub.resources import Requirement, evenly_spaced, resolve_generator
from rather.runs.store import Run
from rather.stats import wilson

_TOGETHER: Final = 64  # images in memory


@final
@dataclass(frozen=True)
class Trial:
    """What one value of a setting did."""

    value: float
    passed: int  # images that reached their target, or that kept their class
    rows: int
    change: float = nan  # mean absolute difference of the pixels, in pixel values, over all rows

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share that passed."""
        return wilson(self.passed, self.rows)


def trials(run: Run) -> Sequence[Trial]:
    """What each value of a run of `sweep` did, over the rows that were searched for.

    Raises:
        RatherError: CFG-OPTIONS if it is a run of another method, or not one row was searched for.
    """
    info = [row.info for row in run.rows() if row.status in {"found", "not_found"}]
    swept = [each for each in info if {"sweep_values", "sweep_found", "sweep_change"} <= each.keys()]
    if not swept:
        raise RatherError(
            "CFG-OPTIONS",
            where=run.folder,
            why="no row of it has tried several values",
            do="Make one: rather explain --method sweep --set method=NAME --set values=[0.1,0.3,1.0]",
        )
    return [
        Trial(
            float(value),
            sum(bool(each["sweep_found"][n]) for each in swept),
            len(swept),
            fmean(each["sweep_change"][n] for each in swept),
        )
        for n, value in enumerate(swept[0]["sweep_values"])
    ]


def largest(tried: Sequence[Trial], success: float = 0.995) -> Trial | None:
    """The trial of the largest value at which more than this share of the rows succeeds, if there is one."""
    able = [trial for trial in tried if trial.passed > success * trial.rows]
    return max(able, key=lambda trial: trial.value, default=None)


@torch.no_grad()
def heights(
    generator: Denoiser,
    classifier: Classifier,
    x: Images,
    noise: Noise,
    *,
    num_inference_steps: int = 50,
    share: float = 0.95,
) -> Sequence[Trial]:
    """What the filter does to images, from a depth of one timestep to the first at which too many change class.

    Args:
        generator: the diffusion model of the filter.
        classifier: predicts the classes.
        x: images.
        noise: a stream for each image.
        num_inference_steps: timesteps of the shortened schedule.
        share: the share of the images that must keep their class.

    Raises:
        RatherError: GEN-SIZE for a generator of other images, CFG-SETTING for a schedule that is too short.
    """
    generator.check_images(classifier)
    known = int((generator.schedule.respaced(num_inference_steps).timesteps < generator.reach).sum())
    before = classifier.probabilities(x).argmax(1)
    tried: list[Trial] = []
    for tau, some in enumerate(noise.split(known), 1):
        through = Filter(generator=generator, schedule=lowest_levels(generator, num_inference_steps, tau))
        draws = some.normal(through.calls, *x.shape[1:]).to(x)
        parts = zip(x.split(_TOGETHER), draws.split(_TOGETHER), strict=True)
        again = torch.cat([through(*part) for part in parts]).clamp(0, 1)
        kept = int((classifier.probabilities(again).argmax(1) == before).sum())
        tried.append(Trial(tau, kept, len(x)))
        if kept < share * len(x):
            break
    return tried


def filter_heights(
    data: str,
    generator: str | None,
    classifier: str | None,
    *,
    num_inference_steps: int,
    share: float,
    count: int,
    seed: int,
) -> Sequence[Trial]:
    """The same by names, as `rather tune-filter` takes them.

    Raises:
        RatherError: what `load_classifier`, `load_dataset` and `resolve_generator` raise.
    """
    net = load_classifier(classifier or classifier_of(data) or "digits")
    denoiser = resolve_generator(generator, net, Requirement("generator", Denoiser, ("ddpm",)))
    assert isinstance(denoiser, Denoiser)  # noqa: S101 - as it was asked for
    source = load_dataset(data, like=net).test
    x, indices = read_all(source, evenly_spaced(len(source), count))
    noise = Noise(seed, [source.id(index) for index in indices])
    return heights(denoiser, net, x, noise, num_inference_steps=num_inference_steps, share=share)


def highest(tried: Sequence[Trial], share: float = 0.95) -> Trial | None:
    """The last depth before the first at which too many images change their class, if there is one."""
    able = list(takewhile(lambda trial: trial.passed >= share * trial.rows, tried))
    return able[-1] if able else None
