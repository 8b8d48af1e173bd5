"""ACE, its stages and its rivals on digits and faces: docs/diffusion-figures.md.

    python benchmarks/diffusion_figures.py [SECTION ...] [--rows 300] [--work FOLDER] [--weights FOLDER]

Without a section all are measured; a section that is measured again replaces its figures in
docs/diffusion-figures.json, of which the page is made. `--work` keeps every batch of answers, and the judge
of digits, which is trained here. On one core the whole takes hours: a face takes ACE about six seconds.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from rather.metrics.cout import cout
from rather.metrics.identity import identity_similarity
from rather.metrics.sparsity import share_changed
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_page import page
from rather.core import Classifier, Goal, Images, Method, Noise
from rather.diffusion.denoising import lowest_levels
from rather.diffusion.refinement import Refinement
from rather.generators.ddpm import DDPMRecipe
from rather.methods import ACE, REVISE, STEEX, Attack, DiVE, Several, Wachter
from rather.metrics.distribution import split_frechet_of_features
from rather.metrics.features import pooled
from rather.metrics.oracle_attributes import attributes_changed, correlation_difference
from rather.metrics.proximity import l1
from rather.search.descend import on_grid
from rather.worlds.faces import ATTRIBUTES
from runs import (
    FACES,
    TOGETHER,
    Answers,
    Asked,
    MissingError,
    Nets,
    Queries,
    denoiser,
    digits_judge,
    oracle_features,
    pack,
    pack_jackknifed,
    train_faces,
    tuned,
)
from sections import measure
from sheets import answers_sheet, differences, dimmed, sheet

NETS = ("digits", "faces-smile", "faces-age")
#: Of the distances: the paper's, and one that is not published; a root of a sum of squares is the smaller.
CLOSENESS = {"l1": 0.001, "l2": 0.1}
HALF = 0.5
HALVINGS = 4  # of the range of thresholds, for the smallest mask
SHOWN = 12  # rows on a sheet that has many columns
QUERIES = "the queries themselves"
SPLITS = 10  # of the rows, for a Frechet distance by halves
RUNS = 3  # answers of a row, whose distances are its diversity
TIMED = 8  # rows in each round of timing
ROUNDS = 3
SIDE, WIDTH = 128, 44  # of the memory's promise: pixels; and what makes ten million parameters


def ace(nets: Nets, name: str, **settings: Any) -> ACE:
    """ACE for a classifier, with what all figures share."""
    method = tuned("ace", nets, name, num_path_frames=0, **settings)
    assert isinstance(method, ACE)
    return method


def attack_section(asked: Asked, name: str) -> dict[str, Any]:
    """Does ACE succeed, and is what lies outside of its mask left alone?"""
    answers = asked.explain(name, ace(asked.nets, name), asked.rows)
    answers_sheet(asked.sheets, f"ace-{name}", answers)
    outside = 1 - answers.pictures["mask"].round()
    untouched = ((answers.images - answers.queries.images) * outside == 0).flatten(1).all(1)
    return judged(asked, name, answers.images, answers.success, answers.queries) | {
        "outside untouched": pack(untouched),
        "mask": pack(torch.tensor(answers.info["mask_share"])),
        "calls": pack(torch.tensor(answers.info["denoiser_calls"]).double()),
        "seconds": answers.seconds.mean().item(),
    }


def masks_section(asked: Asked, name: str) -> dict[str, Any]:
    """One attack, within the paper's mask and within the smallest that does; of few rows."""
    found: dict[str, Any] = {}
    columns = []
    for title, mask_search_steps in {"by the threshold": 0, "the smallest": HALVINGS}.items():
        answers = asked.explain(name, ace(asked.nets, name, mask_search_steps=mask_search_steps), asked.few)
        found[title] = judged(asked, name, answers.images, answers.success, answers.queries) | {
            "mask": pack(torch.tensor(answers.info["mask_share"])),
            "calls": pack(torch.tensor(answers.info["denoiser_calls"]).double()),
            "seconds": answers.seconds.mean().item(),
        }
        columns += [dimmed(answers.images, answers.success)[:SHOWN]]
        columns += [differences(answers.queries.images, answers.images)[:SHOWN]]
    sheet(asked.sheets, f"masks-{name}", [answers.queries.images[:SHOWN], *columns])
    return found


def stages_section(asked: Asked, name: str) -> dict[str, Any]:
    """The paper's table 5: what each stage of the very same attack does; by both distances."""
    generator, classifier = denoiser(asked.nets, name), asked.nets.classifier(name)
    found: dict[str, Any] = {}
    everything, columns = {}, []
    for norm, weight in CLOSENESS.items():
        attack = ace(asked.nets, name, distance=norm, distance_weight=weight, select="last", refine=False)
        pre = asked.explain(name, attack, asked.rows)
        queries, whole = pre.queries, len(generator.schedule)
        few, all_levels = (
            lowest_levels(generator, levels, max(round(attack.tau * levels / attack.num_inference_steps), 1))
            for levels in (attack.num_inference_steps, whole)
        )
        plain = {"generator": generator, "dilation": attack.dilation}
        stages = {
            "Pre-CE": None,
            "FR-CE": Refinement(schedule=few, threshold=0, **plain),
            "F-CE": Refinement(schedule=all_levels, threshold=0, **plain),
            "ACE": Refinement(schedule=few, threshold=attack.threshold, **plain),
        }
        goal = Goal.criticism(queries.target)
        for stage, refine in stages.items():
            images = pre.images if refine is None else refined(refine, pre)
            reached = goal.reached(classifier.probabilities(images).log())
            found[f"{stage}, {norm}"] = judged(asked, name, images, reached, queries)
            print(f"  {name}, {stage}, {norm}: {reached.double().mean():.3f}", flush=True)
            columns.append(dimmed(images, reached)[:SHOWN])
            everything[f"{stage}, {norm}"] = images, reached
    for stage, distance in frechets(asked, name, everything).items():
        found.setdefault(stage, {})["frechet"] = distance
    sheet(asked.sheets, f"stages-{name}", [queries.images[:SHOWN], *columns])
    return found


def refined(refine: Refinement, pre: Answers) -> Images:
    """What a refinement makes of pre-explanations, in eight bits."""
    parts = []
    for start in range(0, len(pre), TOGETHER):
        rows = slice(start, start + TOGETHER)
        x = pre.queries.images[rows]
        draws = Noise(0, pre.queries.ids[rows]).normal(2 * refine.calls, *x.shape[1:])
        parts.append(refine(pre.images[rows], x, draws)[0])
    return on_grid(torch.cat(parts))


def judged(asked: Asked, name: str, images: Images, reached: Tensor, queries: Queries) -> dict[str, Any]:
    """What can be said of any answers; all but the first of the successes alone, unless they are few."""
    x, target, predicted = (some[reached] for some in (queries.images, queries.target, queries.predicted))
    after, classifier = images[reached], asked.nets.classifier(name)
    found: dict[str, Any] = {"success": pack(reached)}
    if len(x) < max(asked.rows // 10, 1):
        return found
    found |= {
        "l1": pack(l1(after, x)),
        "changed": pack(share_changed(after, x)),
        "cout": pack(cout(after, x, predicted, target, classifier)),
    }
    if name in FACES:
        oracle, attributes = asked.oracle(), list(ATTRIBUTES)
        now, before = oracle.values(after), oracle.values(x)
        queried = attributes.index(name.split("-")[1])
        labels = train_faces(name).faces.attributes > HALF
        found |= {
            "agrees": pack((now[:, queried] > HALF) == (target == 1)),
            "attributes": pack(attributes_changed(before, now)),
            "correlation": pack_jackknifed(
                len(x), lambda rows: correlation_difference(before[rows], now[rows], queried, labels)
            ),
            "identity": pack(identity_similarity(features(asked, name, after), features(asked, name, x))),
        }
    else:
        judge = digits_judge(asked.work)
        found |= {"agrees": pack(judge.probabilities(after).argmax(1) == target)}
    return found


def features(asked: Asked, name: str, images: Images) -> Tensor:
    """What a net says that no method saw: the oracle of attributes, another classifier of digits."""
    if name in FACES:
        return oracle_features(asked.oracle(), images).double()
    return pooled(digits_judge(asked.work), images)


def frechets(asked: Asked, name: str, answers: Mapping[str, tuple[Images, Tensor]]) -> dict[str, Any]:
    """Split Frechet distances, of as many successes of each; of the queries themselves for scale.

    The distance of few is larger than that of many. So who succeeds on less than half of the rows has none,
    and of the others as many rows count as of the one with the fewest.
    """
    able = {title: each for title, each in answers.items() if each[1].double().mean() > HALF}
    if not able:
        return {}
    count = min(int(reached.sum()) for _, reached in able.values())
    queries = Queries.of(asked.nets, name, asked.rows).images
    before = features(asked, name, queries)
    draw = torch.Generator().manual_seed(0)
    halves = torch.stack([torch.randperm(count, generator=draw) < count // 2 for _ in range(SPLITS)])
    found = {}
    for title, (images, reached) in {**able, QUERIES: (queries, torch.ones(len(queries)) > 0)}.items():
        rows = reached.nonzero()[:count, 0]
        after, theirs = features(asked, name, images[rows]), before[rows]

        def distance(some: Tensor, after: Tensor = after, theirs: Tensor = theirs) -> Tensor:
            return split_frechet_of_features(after[some], theirs[some], halves[:, some]).mean()

        found[title] = pack_jackknifed(count, distance)
    return found


#: Name of a method -> the method for a classifier.
METHODS: Mapping[str, Callable[[Nets, str], Method]] = {
    "attack": lambda _, __: Attack(num_path_frames=0),
    "wachter": lambda _, __: Wachter(num_path_frames=0),
    "revise": lambda nets, name: REVISE(generator=nets.generator(f"{data_of(name)}-vae"), num_path_frames=0),
    # Of faces with the VAE: a TCVAE's are a fog.
    "dive": lambda nets, name: DiVE(
        generator=nets.generator("faces-vae" if name in FACES else "digits-tcvae"), num_path_frames=0
    ),
    "steex": lambda nets, _: STEEX(generator=nets.generator("faces-semantic"), num_path_frames=0),
    "dime": partial(tuned, "dime"),
    "fastdime": partial(tuned, "fastdime"),
    "maskdime": partial(tuned, "maskdime"),
    "ace": ace,
    "ace, one call": partial(ace, filter="one-call"),
    "ace, fast": partial(tuned, "ace", fast="-fast", num_path_frames=0),
}


def data_of(name: str) -> str:
    return name.partition("-")[0]


def methods_section(asked: Asked, name: str) -> dict[str, Any]:
    """ACE beside the others, in one table."""
    found: dict[str, Any] = {}
    everything, columns = {}, []
    for title, make in METHODS.items():
        if title == "steex" and name not in FACES:
            continue
        try:
            method = make(asked.nets, name)
        except MissingError as missing:
            print(f"  {title}: {missing} is not there yet", flush=True)
            continue
        answers = asked.explain(name, method, asked.rows)
        found[title] = judged(asked, name, answers.images, answers.success, answers.queries) | {
            "seconds": answers.seconds.mean().item(),
            "evaluations": pack(answers.evaluations.double()),
        }
        if "denoiser_calls" in answers.info:
            found[title]["calls"] = pack(torch.tensor(answers.info["denoiser_calls"]).double())
            found[title]["diversity"] = diversity(asked, name, method)
        columns.append(dimmed(answers.images, answers.success)[:SHOWN])
        everything[title] = answers.images, answers.success
        print(f"  {name}, {title}: {found[title]['success']}", flush=True)
    for title, distance in frechets(asked, name, everything).items():
        found.setdefault(title, {})["frechet"] = distance
    queries = Queries.of(asked.nets, name, asked.rows).images[:SHOWN]
    sheet(asked.sheets, f"methods-{name}", [queries, *columns])
    return found


def diversity(asked: Asked, name: str, method: Method) -> list[float] | None:
    """How far answers with other noise lie apart, in the features of a net that no method saw."""
    rows = max(asked.rows // 20, 4)
    answers = asked.explain(name, Several(method=method, count=RUNS), rows).pictures["answers"]
    each = F.normalize(torch.stack([features(asked, name, one) for one in answers.unbind(1)], 1), dim=2)
    return pack(torch.stack([(a - b).square().sum(1) for a, b in combinations(each.unbind(1), 2)]).mean(0))


def speed_section(asked: Asked, name: str) -> dict[str, Any]:
    """Processor time of the paper's attack, and of what saves some, in turns in one process."""
    classifier = asked.nets.classifier(name)
    queries = Queries.of(asked.nets, name, TIMED)
    paper = ace(asked.nets, name, select="last")
    ways: dict[str, Callable[[], object]] = {
        "one by one": lambda: [ask(paper, classifier, queries[n : n + 1]) for n in range(TIMED)],
        "in a batch": lambda: ask(paper, classifier, queries),
        "until no nearer": lambda: ask(ace(asked.nets, name), classifier, queries),
        "smallest mask": lambda: ask(ace(asked.nets, name, mask_search_steps=HALVINGS), classifier, queries),
        "one call": lambda: ask(ace(asked.nets, name, filter="one-call"), classifier, queries),
        "fast": lambda: ask(METHODS["ace, fast"](asked.nets, name), classifier, queries),
        "maskdime": lambda: ask(tuned("maskdime", asked.nets, name), classifier, queries),
    }
    alone = torch.cat([ask(paper, classifier, queries[n : n + 1]) for n in range(TIMED)])
    apart = (alone - ask(paper, classifier, queries)).abs().max().item()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            began = time.process_time()
            run()
            seconds[way].append((time.process_time() - began) / TIMED)
    print({way: round(statistics.median(each), 2) for way, each in seconds.items()}, flush=True)
    return {"rows": TIMED, "rounds": ROUNDS, "seconds": seconds, "apart": apart}


def ask(method: Method, classifier: Classifier, queries: Queries) -> Images:
    return method(classifier, queries.images, Goal.criticism(queries.target), ids=queries.ids).images


def memory_section(asked: Asked) -> dict[str, Any]:
    """What an image of 128 pixels takes, in a process of its own; the weights are random."""
    del asked
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak)


def peak() -> dict[str, Any]:
    """Bytes: at most, and before the attack; and how many parameters the generator has."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = (3, SIDE, SIDE)
    generator = DDPMRecipe(width=WIDTH, patch=1).build(shape).product("random")
    body = nn.Sequential(nn.Conv2d(3, 32, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    head = nn.Sequential(nn.Flatten(), nn.Linear(32, 2))
    classifier = Classifier(body, head, classes=["a", "b"], shape=shape)
    x = torch.rand(1, *shape)
    goal = Goal.criticism(1 - classifier.probabilities(x).argmax(1))
    before = most_memory()
    ACE(generator=generator, steps=2, num_path_frames=0, select="last", checkpoint="never")(classifier, x, goal)
    count = sum(p.numel() for p in generator.parameters())
    return {"before": before, "most": most_memory(), "parameters": count, "side": SIDE}


def most_memory() -> int:
    """Of this process alone; what `resource` says may be its parent's."""
    (line,) = (of for of in Path("/proc/self/status").read_text("ascii").splitlines() if "VmHWM" in of)
    return 1024 * int(line.split()[1])


SECTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    **{f"ace-{name}": partial(attack_section, name=name) for name in NETS},
    **{f"masks-{name}": partial(masks_section, name=name) for name in NETS[:2]},
    **{f"stages-{name}": partial(stages_section, name=name) for name in NETS[:2]},
    **{f"methods-{name}": partial(methods_section, name=name) for name in NETS[:2]},
    **{f"speed-{name}": partial(speed_section, name=name) for name in NETS[:2]},
    "memory": memory_section,
}


if __name__ == "__main__":
    measure("diffusion-figures", SECTIONS, page, __doc__)
