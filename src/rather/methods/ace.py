"""ACE, Jeanneret, Simon and Jurie (2023): an attack through a diffusion filter, and its change refined.

    min_z  L(C(F_tau(z)), target) + distance_weight * d(z, x),   then z inpainted where it changed, x elsewhere

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023; z is the
pre-explanation. Table 5: Pre-CE is `refine=false`, FR-CE `threshold=0`, F-CE that with `refine_inference_steps=all`.
Ours: a weight per row, theirs grows with the batch; the nearest success, since later steps shrink it.
"""

from __future__ import annotations

from itertools import count
from typing import Annotated, Literal, final

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.diffusion.candidates import Candidates
from rather.diffusion.denoising import Checkpoint, Filter, lowest
from rather.diffusion.refinement import Mask, Refinement, Share, Side, Thresholds, change_mask
from rather.generators._denoiser import Denoiser
from rather.generators.frozen import Bundled
from rather.search.attacks import ATTACKS, DISTANCES, Kind, Norm
from rather.search.descend import Rows, descend, linear_decay


@final
class ACE(Method):
    """Minimise the classifier's loss through a diffusion filter, then keep of the change what it needs."""

    generator: Annotated[Denoiser, Bundled("ddpm")]
    """Knows images of the queries' kind."""
    attack: Kind = "pgd"
    """Signed steps; Carlini and Wagner's loss and pixels; or plain steps. The last two want a larger lr."""
    distance: Norm = "l1"
    """Sum of the absolute differences, or root of the sum of squares, which wants a larger weight."""
    distance_weight: NonNegativeFloat = 0.001
    """Weight of the distance."""
    tau: PositiveInt = 5
    """How many levels of the respaced schedule the filter goes up."""
    num_inference_steps: PositiveInt = 50
    """Levels of the respaced schedule."""
    steps: PositiveInt = 50
    """Steps of the attack, at most."""
    lr: PositiveFloat = 1 / 255
    """Length of a step, in pixel values."""
    lr_schedule: Literal["constant", "linear"] = "constant"
    """Whether steps get shorter, down to nothing after the last: then fewer are enough, of a larger lr."""
    noise: Literal["fresh", "fixed"] = "fresh"
    """Of the filter: new at each step, or the same."""
    filter: Literal["whole", "one-call"] = "whole"
    """Back from the noise in tau steps, or by one prediction of the image."""
    bfloat16: bool = False
    """Whether the generator computes the filter in half the bits."""
    checkpoint: Checkpoint = "auto"
    """Whether to save memory at the cost of time; auto looks at the memory at hand."""
    select: Literal["nearest", "last"] = "nearest"
    """What the nearest point that succeeds leads to, or as in the paper the last one."""
    patience: NonNegativeInt = 20
    """For how many steps to go on, after a success, without a nearer one; 0 stops at the first."""
    refine: bool = True
    """Whether the pre-explanation is refined, or the answer itself."""
    refine_inference_steps: PositiveInt | Literal["all"] | None = None
    """Levels of the refinement's schedule, of which it goes up the same share; by default the attack's."""
    threshold: Share = 0.15
    """The least change that refinement keeps, as a share of the image's largest; with 0 all is filtered."""
    dilation: Side = 15
    """Side of the square of pixels that a change stands for."""
    mask_search_steps: NonNegativeInt = 0
    """Of what is above `threshold`, for the smallest mask that succeeds, a refinement each; 0 seeks none."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    @model_validator(mode="after")
    def _levels_exist(self) -> ACE:
        self._filter(), self._refinement()
        if self.mask_search_steps and not self.refine:
            raise ValueError("mask_search_steps: a mask without refine changes nothing, so none is smallest")
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Pictures: `pre_explanation`, `mask`. Facts: its share and threshold; calls of the denoiser."""
        self.generator.refuse_other_images(classifier)
        fresh, once, end = noise.split(3)
        through, last, attack = self._filter(), self._refinement(), ATTACKS[self.attack]
        fixed = once.normal(through.calls, *x.shape[1:]).to(x) if self.noise == "fixed" else None
        draws = end.normal(2 * last.calls, *x.shape[1:]).to(x)

        def finished(z: Images, rows: Rows, threshold: Thresholds | None) -> tuple[Images, Mask]:
            if self.refine:
                return last(z, x[rows], draws[rows], threshold)
            return z, change_mask(z, x[rows], self.threshold, self.dilation)

        seen = Candidates(classifier, goal, finished)
        lost, looks = torch.zeros_like(seen.sure), count()

        def objective(w: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            z = attack.image(w)
            distance = DISTANCES[self.distance](z, x[rows])
            if self.select == "last" and next(looks) == self.steps:  # that one is taken, not looked at
                return distance, torch.zeros_like(lost[rows]), distance
            noises = fresh[rows].normal(through.calls, *x.shape[1:]).to(x) if fixed is None else fixed[rows]
            loss, flipped = attack.loss(classifier, through(z, noises), goal[rows])
            lost[rows] = ~loss.isfinite()
            flipped &= self.select == "nearest"
            return loss + self.distance_weight * distance, seen.among(z, rows, flipped, distance), distance

        path = descend(
            objective,
            attack.start(x),
            steps=self.steps,
            lr=self.lr,
            rule=linear_decay(attack.rule, self.steps) if self.lr_schedule == "linear" else attack.rule,
            project=attack.project,
            patience=self.patience,
            frames=self.num_path_frames,
        )
        pre, answer = seen.nearest(otherwise=attack.image(path.end))
        (images, mask), thresholds = seen.smallest(pre, answer, self.threshold, self.mask_search_steps)
        asked = path.evaluations.clamp(max=self.steps + (self.select == "nearest"))
        calls = asked * through.calls + (seen.asked + ~seen.sure) * last.calls * self.refine
        info = {"mask_share": mask.flatten(1).mean(1), "threshold": thresholds, "denoiser_calls": calls}
        return SearchResult(
            images=torch.where((lost & ~seen.sure)[:, None, None, None], torch.nan, images),
            steps=path.steps,
            evaluations=asked + seen.asked + bool(self.mask_search_steps),
            artifacts={"pre_explanation": [*pre], "mask": [*mask]}
            | ({"path": [attack.image(w) for w in path.frames]} if self.num_path_frames else {}),
            info={name: told.tolist() for name, told in info.items()},
        )

    def _filter(self) -> Filter:
        return Filter(
            generator=self.generator,
            schedule=lowest(self.generator, self.num_inference_steps, self.tau),
            one_call=self.filter == "one-call",
            bfloat16=self.bfloat16,
            checkpoint=self.checkpoint,
        )

    def _refinement(self) -> Refinement:
        every = len(self.generator.schedule)
        num_inference_steps = (
            every if self.refine_inference_steps == "all" else self.refine_inference_steps or self.num_inference_steps
        )
        schedule = lowest(
            self.generator,
            num_inference_steps,
            max(round(self.tau * num_inference_steps / self.num_inference_steps), 1),
        )
        return Refinement(generator=self.generator, schedule=schedule, threshold=self.threshold, dilation=self.dilation)
