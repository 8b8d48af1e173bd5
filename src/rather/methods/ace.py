"""ACE, Jeanneret, Simon and Jurie (2023): an attack through a diffusion filter, and its change refined.

    min_z  L(C(F_tau(z)), target) + closeness * d(z, x),   then z inpainted where it changed, x elsewhere

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023; z is the
pre-explanation. Table 5: Pre-CE is `refine=false`, FR-CE `threshold=0`, F-CE that with `last_respacing=all`.
Ours: a weight per row, theirs grows with the batch; the nearest success, since later steps shrink it.
"""

from __future__ import annotations

from itertools import count
from typing import Annotated, Literal, final

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.core import Classifier, Found, Goal, Images, Method, Noise
from rather.diffusion.candidates import Candidates
from rather.diffusion.denoising import Checkpoint, Filter, lowest
from rather.diffusion.refinement import Mask, Refinement, Share, Side, Thresholds, change_mask
from rather.generators._denoiser import Denoiser
from rather.generators.frozen import Bundled
from rather.search.attacks import ATTACKS, DISTANCES, Kind, Norm
from rather.search.descend import Rows, descend, falling


@final
class Ace(Method):
    """Minimise the classifier's loss through a diffusion filter, then keep of the change what it needs."""

    generator: Annotated[Denoiser, Bundled("ddpm")]
    """Knows images of the queries' kind."""
    attack: Kind = "pgd"
    """Signed steps; Carlini and Wagner's loss and pixels; or plain steps. The last two want a larger lr."""
    distance: Norm = "l1"
    """Sum of the absolute differences, or root of the sum of squares, which wants a larger weight."""
    closeness: NonNegativeFloat = 0.001
    """Weight of the distance."""
    tau: PositiveInt = 5
    """How many levels of the respaced chain the filter goes up."""
    respacing: PositiveInt = 50
    """Levels of the respaced chain."""
    iterations: PositiveInt = 50
    """Steps of the attack, at most."""
    lr: PositiveFloat = 1 / 255
    """Length of a step, in pixel values."""
    falling: bool = False
    """Whether steps get shorter, down to nothing after the last: then fewer are enough, of a larger lr."""
    noise: Literal["fresh", "fixed"] = "fresh"
    """Of the filter: new at each step, or the same."""
    filter: Literal["whole", "one-call"] = "whole"
    """Back from the noise in tau steps, or by one prediction of the image."""
    bfloat16: bool = False
    """Whether the generator computes the filter in half the bits."""
    checkpoint: Checkpoint = "auto"
    """Whether to save memory at the cost of time; auto looks at the memory at hand."""
    answer: Literal["nearest", "last"] = "nearest"
    """What the nearest point that succeeds leads to, or as in the paper the last one."""
    patience: NonNegativeInt = 20
    """For how many steps to go on, after a success, without a nearer one; 0 stops at the first."""
    refine: bool = True
    """Whether the pre-explanation is refined, or the answer itself."""
    last_respacing: PositiveInt | Literal["all"] | None = None
    """Levels of the refinement's chain, of which it goes up the same share; by default the attack's."""
    threshold: Share = 0.15
    """The least change that refinement keeps, as a share of the image's largest; with 0 all is filtered."""
    dilation: Side = 15
    """Side of the square of pixels that a change stands for."""
    halvings: NonNegativeInt = 0
    """Of what is above `threshold`, for the smallest mask that succeeds, a refinement each; 0 seeks none."""
    frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    @model_validator(mode="after")
    def _levels_exist(self) -> Ace:
        self._filter(), self._refinement()
        if self.halvings and not self.refine:
            raise ValueError("halvings: a mask without refine changes nothing, so none is smallest")
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> Found:
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
            if self.answer == "last" and next(looks) == self.iterations:  # that one is taken, not looked at
                return distance, torch.zeros_like(lost[rows]), distance
            noises = fresh[rows].normal(through.calls, *x.shape[1:]).to(x) if fixed is None else fixed[rows]
            loss, flipped = attack.loss(classifier, through(z, noises), goal[rows])
            lost[rows] = ~loss.isfinite()
            flipped &= self.answer == "nearest"
            return loss + self.closeness * distance, seen.among(z, rows, flipped, distance), distance

        path = descend(
            objective,
            attack.start(x),
            steps=self.iterations,
            lr=self.lr,
            rule=falling(attack.rule, self.iterations) if self.falling else attack.rule,
            project=attack.project,
            patience=self.patience,
            frames=self.frames,
        )
        pre, answer = seen.nearest(otherwise=attack.image(path.end))
        (images, mask), thresholds = seen.smallest(pre, answer, self.threshold, self.halvings)
        asked = path.evaluations.clamp(max=self.iterations + (self.answer == "nearest"))
        calls = asked * through.calls + (seen.asked + ~seen.sure) * last.calls * self.refine
        facts = {"mask_share": mask.flatten(1).mean(1), "threshold": thresholds, "denoiser_calls": calls}
        return Found(
            images=torch.where((lost & ~seen.sure)[:, None, None, None], torch.nan, images),
            steps=path.steps,
            evaluations=asked + seen.asked + bool(self.halvings),
            pictures={"pre_explanation": [*pre], "mask": [*mask]}
            | ({"path": [attack.image(w) for w in path.frames]} if self.frames else {}),
            facts={name: told.tolist() for name, told in facts.items()},
        )

    def _filter(self) -> Filter:
        return Filter(
            generator=self.generator,
            chain=lowest(self.generator, self.respacing, self.tau),
            one_call=self.filter == "one-call",
            bfloat16=self.bfloat16,
            checkpoint=self.checkpoint,
        )

    def _refinement(self) -> Refinement:
        every = len(self.generator.chain)
        respacing = every if self.last_respacing == "all" else self.last_respacing or self.respacing
        chain = lowest(self.generator, respacing, max(round(self.tau * respacing / self.respacing), 1))
        return Refinement(
            generator=self.generator, chain=chain, threshold=self.threshold, dilation=self.dilation
        )
