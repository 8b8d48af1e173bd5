"""Attacks through a diffusion model, then keeps only the change needed. ACE, Jeanneret et al., CVPR 2023.

    1.  z = argmin  L(C(F_tau(z)), target) + distance_weight * d(z, x)                     (eq. 3; F_tau: eqs. 1, 2)
    2.  m = [ dilated |z - x| / max |z - x| >= threshold ],  z inpainted where m, x elsewhere                (eq. 4)

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023: z is the
pre-explanation (section 3.1), the second step its refinement (section 3.2). Table 5: Pre-CE is `refine=false`,
FR-CE `threshold=0`, F-CE that with `refine_inference_steps=all`.
Ours: a weight per row, theirs grows with the batch; the nearest success, since later steps shrink the change.
"""

from __future__ import annotations

from typing import Literal, final

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.diffusion.candidates import Answer, Candidates
from rather.diffusion.denoising import Checkpoint, DiffusionModel, Filter, InferenceSteps, Tau, lowest_levels
from rather.diffusion.refinement import Refinement, Side, Threshold, Thresholds, change_mask
from rather.search.attacks import ATTACKS, DISTANCES, AttackName, DistanceName
from rather.search.descend import PathFrames, Rows, descend, linear_decay


@final
class ACE(Method):
    """Minimise the classifier's loss through a diffusion filter, then undo the part of the change it does not need."""

    generator: DiffusionModel
    # The attack of eq. 3
    attack: AttackName = "pgd"
    """Attack: pgd takes signed steps, cw is Carlini and Wagner's, gd takes plain steps; cw and gd want a larger lr."""
    distance: DistanceName = "l1"
    """Distance: l1 is the sum of absolute pixel differences; l2 the root of the sum of squares, for a larger weight."""
    distance_weight: NonNegativeFloat = 0.001
    """Weight of the distance, which is summed over the pixels; larger keeps the answer closer to the image."""
    steps: PositiveInt = 50
    """Maximum number of steps of the attack."""
    lr: PositiveFloat = 1 / 255
    """Length of a step of the attack, in pixel values from 0 to 1."""
    lr_schedule: Literal["constant", "linear"] = "constant"
    """Step length over time; linear falls to 0 after the last step, so fewer steps with a larger lr are enough."""
    select: Literal["nearest", "last"] = "nearest"
    """Point of the attack to refine: the nearest whose refinement succeeds or, as in the paper, the last."""
    patience: NonNegativeInt = 20
    """Steps to go on after a success without finding a nearer one; 0 stops at the first success."""
    # The filter F_tau of eqs. 1 and 2
    tau: Tau = 5
    num_inference_steps: InferenceSteps = 50
    noise: Literal["fresh", "fixed"] = "fresh"
    """Noise of the filter: new at each step of the attack, or the same at all."""
    filter: Literal["whole", "one-call"] = "whole"
    """Way back from the noise: in tau steps, or at once by one prediction of the image (tau times as fast)."""
    bfloat16: bool = False
    """Compute the filter in 16 bits: less memory, faster on some processors, less exact."""
    checkpoint: Checkpoint = "auto"
    """Save memory by computing the filter a second time for its gradient; auto does so if memory is short."""
    # The refinement of eq. 4
    refine: bool = True
    """Refine the pre-explanation; without, it is the answer itself."""
    refine_inference_steps: PositiveInt | Literal["all"] | None = None
    """Noise levels of the refinement's schedule, of which it goes up the same share; by default num_inference_steps."""
    threshold: Threshold = 0.15
    dilation: Side = 15
    mask_search_steps: NonNegativeInt = 0
    """Halvings in search of the largest threshold that succeeds, one refinement each; 0 keeps the threshold."""
    num_path_frames: PathFrames = 6

    @model_validator(mode="after")
    def _levels_exist(self) -> ACE:
        self._filter(), self._refinement()
        if self.mask_search_steps and not self.refine:
            raise ValueError("mask_search_steps needs refine=true: the mask is that of the refinement")
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `pre_explanation`, `mask`, `path`. Info: `mask_share`, `threshold`, `denoiser_calls`."""
        self.generator.check_images(classifier)
        fresh, once, last = noise.split(3)
        attack, filtering, refinement = ATTACKS[self.attack], self._filter(), self._refinement()
        fixed = once.normal(filtering.calls, *x.shape[1:]).to(x) if self.noise == "fixed" else None
        draws = last.normal(2 * refinement.calls, *x.shape[1:]).to(x)

        def filtered(z: Images, rows: Rows) -> Images:
            noises = fresh[rows].normal(filtering.calls, *x.shape[1:]).to(x) if fixed is None else fixed[rows]
            return filtering(z, noises)

        def refined(z: Images, rows: Rows, threshold: Thresholds | None) -> Answer:
            if self.refine:
                return refinement(z, x[rows], draws[rows], threshold)
            return z, change_mask(z, x[rows], self.threshold, self.dilation)

        found = Candidates(classifier, goal, refined)

        def objective(w: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:  # eq. 3
            z = attack.image(w)
            loss, flipped = attack.loss(classifier, filtered(z, rows), goal[rows])
            distance = DISTANCES[self.distance](z, x[rows])
            flipped &= self.select == "nearest"  # the paper's last point is refined, whatever it leads to
            return loss + self.distance_weight * distance, found.keep(z, rows, flipped, distance), distance

        descent = descend(
            objective,
            attack.start(x),
            steps=self.steps,
            lr=self.lr,
            optimizer=linear_decay(attack.optimizer, self.steps) if self.lr_schedule == "linear" else attack.optimizer,
            project=attack.project,
            patience=self.patience,
            frames=self.num_path_frames,
            judge_end=self.select == "nearest",
        )
        pre, answer = found.nearest(otherwise=attack.image(descent.end))
        (images, mask), thresholds = found.smallest(pre, answer, self.threshold, self.mask_search_steps)
        refinements = (found.tries + ~found.success) * self.refine
        calls = descent.evaluations * filtering.calls + refinements * refinement.calls
        broken = ~descent.loss.isfinite() & ~found.success
        path = {"path": [attack.image(w) for w in descent.frames]} if self.num_path_frames else {}
        info = {"mask_share": mask.flatten(1).mean(1), "threshold": thresholds, "denoiser_calls": calls}
        return SearchResult(
            images=torch.where(broken[:, None, None, None], torch.nan, images),
            steps=descent.steps,
            evaluations=descent.evaluations + found.tries + bool(self.mask_search_steps),
            artifacts={"pre_explanation": [*pre], "mask": [*mask], **path},
            info={name: values.tolist() for name, values in info.items()},
        )

    def _filter(self) -> Filter:
        schedule = lowest_levels(self.generator, self.num_inference_steps, self.tau)
        return Filter(self.generator, schedule, self.filter == "one-call", self.bfloat16, self.checkpoint)

    def _refinement(self) -> Refinement:
        every = len(self.generator.schedule)
        levels = every if self.refine_inference_steps == "all" else self.refine_inference_steps
        levels = levels or self.num_inference_steps
        tau = max(round(self.tau * levels / self.num_inference_steps), 1)
        return Refinement(self.generator, lowest_levels(self.generator, levels, tau), self.threshold, self.dilation)
