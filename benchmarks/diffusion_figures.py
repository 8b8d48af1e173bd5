"""ACE, its stages and its rivals on digits and faces: docs/diffusion-figures.md.

    python benchmarks/diffusion_figures.py [SECTION ...] [--rows 300] [--work FOLDER] [--weights FOLDER]

Without a section all are measured; a section that is measured again replaces its figures in
docs/diffusion-figures.json, of which the page is made. `--work` keeps every batch of answers, and the judge
of digits, which is trained here. On one core the whole takes hours: a face takes ACE about six seconds.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffusion_page import page
from rather.core import Classifier, Goal, Images, Method, Noise
from rather.data.faces import ATTRIBUTES
from rather.denoiser import Denoiser
from rather.denoising import lowest
from rather.generator import GeneratorNet
from rather.generators.ddpm import DDPM
from rather.methods import Ace, Attack, Dime, Dive, Fastdime, Maskdime, Revise, Several, Steex, Wachter
from rather.metrics.attributes import attributes_changed, correlation_difference
from rather.metrics.cout import cout
from rather.metrics.distribution import split_frechet_of_features
from rather.metrics.diversity import feature_diversity
from rather.metrics.identity import identity_similarity
from rather.metrics.proximity import l1
from rather.metrics.sparsity import share_changed
from rather.presets import preset
from rather.refinement import Refinement
from rather.search import on_grid
from runs import (
    FACES,
    Answers,
    Asked,
    Nets,
    Queries,
    digits_judge,
    oracle_features,
    pack,
    pack_jackknifed,
    pack_resampled,
    pooled_features,
    train_faces,
)
from sections import measure
from sheets import answers_sheet, dimmed, sheet

NETS = ("digits", "faces-smile", "faces-age")
PRESETS = {"digits": "ace-digits"}  # where the values of the papers are too small or too large
WEIGHTS = {"l1": 0.001, "l2": 0.1}  # of the distances; a root of a sum of squares is smaller than a sum
HALF = 0.5
SHOWN = 12  # rows on a sheet that has many columns
RUNS = 3  # answers of a row, whose distances are its diversity
TIMED = 8  # rows in each round of timing
ROUNDS = 3
SIDE, MILLIONS = 128, 10  # of the memory's promise: pixels, parameters


def ace(nets: Nets, name: str, **settings: Any) -> Ace:
    """ACE for a classifier, with what all figures share."""
    plan = preset(PRESETS[name]) if name in PRESETS else {}
    own = {key: value for key, value in (plan or {}).items() if key != "name"}
    return Ace(generator=denoiser(nets, name), frames=0, **{**own, **settings})


def denoiser(nets: Nets, name: str) -> Denoiser:
    """Who knows the images that a classifier sees."""
    found = nets.generator("faces-ddpm" if name in FACES else "digits-ddpm")
    assert isinstance(found, Denoiser)
    return found


def attack_section(asked: Asked, name: str) -> dict[str, Any]:
    """Does ACE succeed, and is what lies outside of its mask left alone?"""
    answers = asked.explain(name, ace(asked.nets, name), asked.rows)
    answers_sheet(asked.sheets, f"ace-{name}", answers)
    outside = 1 - answers.pictures["mask"].round()
    untouched = ((answers.images - answers.queries.images) * outside == 0).flatten(1).all(1)
    return judged(asked, name, answers.images, answers.found, answers.queries) | {
        "outside untouched": pack(untouched),
        "mask": pack(torch.tensor(answers.facts["mask_share"])),
        "calls": pack(torch.tensor(answers.facts["denoiser_calls"]).double()),
        "seconds": answers.seconds.mean().item(),
    }


def stages_section(asked: Asked, name: str) -> dict[str, Any]:
    """The paper's table 5: what each stage of the very same attack does; by both distances."""
    generator, classifier = denoiser(asked.nets, name), asked.nets.classifier(name)
    found, columns = {}, []
    for norm, weight in WEIGHTS.items():
        attack = ace(asked.nets, name, distance=norm, closeness=weight, answer="last", refine=False)
        pre = asked.explain(name, attack, asked.rows)
        queries, whole = pre.queries, len(generator.chain)
        few, all_levels = (
            lowest(generator, levels, max(round(attack.tau * levels / attack.respacing), 1))
            for levels in (attack.respacing, whole)
        )
        plain = {"generator": generator, "dilation": attack.dilation}
        stages = {
            "Pre-CE": None,
            "FR-CE": Refinement(chain=few, threshold=0, **plain),
            "F-CE": Refinement(chain=all_levels, threshold=0, **plain),
            "ACE": Refinement(chain=few, threshold=attack.threshold, **plain),
        }
        goal = Goal.criticism(queries.target)
        for stage, refine in stages.items():
            images = pre.images if refine is None else refined(refine, pre)
            reached = goal.reached(classifier.probabilities(images).log())
            found[f"{stage}, {norm}"] = judged(asked, name, images, reached, queries)
            print(f"  {name}, {stage}, {norm}: {reached.double().mean():.3f}", flush=True)
            columns.append(dimmed(images, reached)[:SHOWN])
    sheet(asked.sheets, f"stages-{name}", [queries.images[:SHOWN], *columns])
    return found


def refined(refine: Refinement, pre: Answers) -> Images:
    """What a refinement makes of pre-explanations, in eight bits."""
    parts = []
    for start in range(0, len(pre), 32):
        rows = slice(start, start + 32)
        x = pre.queries.images[rows]
        draws = Noise(0, pre.queries.ids[rows]).normal(2 * refine.calls, *x.shape[1:])
        parts.append(refine(pre.images[rows], x, draws)[0])
    return on_grid(torch.cat(parts))


def judged(asked: Asked, name: str, images: Images, reached: Tensor, queries: Queries) -> dict[str, Any]:
    """What can be said of any answers; all but the first of the successes alone."""
    x, target, predicted = (some[reached] for some in (queries.images, queries.target, queries.predicted))
    after, classifier = images[reached], asked.nets.classifier(name)
    found: dict[str, Any] = {"success": pack(reached)}
    if len(x) < asked.rows // 10:
        return found
    found |= {
        "l1": pack(l1(after, x)),
        "changed": pack(share_changed(after, x)),
        "cout": pack(cout(after, x, predicted, target, classifier)),
    }
    if name in FACES:
        oracle = asked.oracle()
        ours, theirs = oracle_features(oracle, after).double(), oracle_features(oracle, x).double()
        now, before = oracle.values(after), oracle.values(x)
        queried = list(ATTRIBUTES).index(name.split("-")[1])
        labels = train_faces(name).faces.attributes > HALF
        found |= {
            "agrees": pack((now[:, queried] > HALF) == (target == 1)),
            "attributes": pack(attributes_changed(before, now)),
            "correlation": pack_resampled(
                len(x), lambda rows: correlation_difference(before[rows], now[rows], queried, labels)
            ),
            "identity": pack(identity_similarity(ours, theirs)),
        }
    else:
        judge = digits_judge(asked.work)
        ours, theirs = pooled_features(judge, after), pooled_features(judge, x)
        found |= {"agrees": pack(judge.probabilities(after).argmax(1) == target)}
    return found | {
        "frechet": pack_jackknifed(
            len(x), lambda rows: split_frechet_of_features(ours[rows], theirs[rows]).mean()
        )
    }


#: Name of a method -> the method for a classifier.
METHODS: Mapping[str, Callable[[Nets, str], Method]] = {
    "attack": lambda _, __: Attack(frames=0),
    "wachter": lambda _, __: Wachter(frames=0),
    "revise": lambda nets, name: Revise(generator=nets.generator(f"{data_of(name)}-vae"), frames=0),
    "dive": lambda nets, name: Dive(generator=nets.generator(f"{data_of(name)}-tcvae"), frames=0),
    "steex": lambda nets, _: Steex(generator=nets.generator("faces-semantic"), frames=0),
    "dime": lambda nets, name: Dime(generator=denoiser(nets, name)),
    "fastdime": lambda nets, name: Fastdime(generator=denoiser(nets, name)),
    "maskdime": lambda nets, name: Maskdime(generator=denoiser(nets, name)),
    "ace": ace,
    "ace, one call": partial(ace, filter="one-call"),
}


def data_of(name: str) -> str:
    return name.partition("-")[0]


def methods_section(asked: Asked, name: str) -> dict[str, Any]:
    """ACE beside the others, in one table."""
    found, columns = {}, []
    for title, make in METHODS.items():
        if title == "steex" and name not in FACES:
            continue
        method = make(asked.nets, name)
        answers = asked.explain(name, method, asked.rows)
        found[title] = judged(asked, name, answers.images, answers.found, answers.queries) | {
            "seconds": answers.seconds.mean().item(),
            "evaluations": pack(answers.evaluations.double()),
        }
        if "denoiser_calls" in answers.facts:
            found[title]["calls"] = pack(torch.tensor(answers.facts["denoiser_calls"]).double())
            found[title]["diversity"] = diversity(asked, name, method)
        columns.append(dimmed(answers.images, answers.found)[:SHOWN])
        print(f"  {name}, {title}: {found[title]['success']}", flush=True)
    queries = Queries.of(asked.nets, name, asked.rows).images[:SHOWN]
    sheet(asked.sheets, f"methods-{name}", [queries, *columns])
    return found


def diversity(asked: Asked, name: str, method: Method) -> list[float] | None:
    """How far answers with other noise lie apart, in the explained classifier's features."""
    rows = max(asked.rows // 20, 4)
    several = asked.explain(name, Several(method=method, count=RUNS), rows)
    return pack(feature_diversity(several.pictures["answers"], asked.nets.classifier(name)))


def speed_section(asked: Asked, name: str) -> dict[str, Any]:
    """Processor time of the paper's attack, and of what saves some, in turns in one process."""
    classifier = asked.nets.classifier(name)
    queries = Queries.of(asked.nets, name, TIMED)
    paper = ace(asked.nets, name, answer="last")
    ways: dict[str, Callable[[], object]] = {
        "one by one": lambda: [ask(paper, classifier, queries[n : n + 1]) for n in range(TIMED)],
        "in a batch": lambda: ask(paper, classifier, queries),
        "until no nearer": lambda: ask(ace(asked.nets, name), classifier, queries),
        "one call": lambda: ask(ace(asked.nets, name, filter="one-call"), classifier, queries),
        "maskdime": lambda: ask(Maskdime(generator=denoiser(asked.nets, name)), classifier, queries),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            began = time.process_time()
            run()
            seconds[way].append((time.process_time() - began) / TIMED)
    print({way: round(statistics.median(each), 2) for way, each in seconds.items()}, flush=True)
    return {"rows": TIMED, "rounds": ROUNDS, "seconds": seconds}


def ask(method: Method, classifier: Classifier, queries: Queries) -> object:
    return method(classifier, queries.images, Goal.criticism(queries.target), ids=queries.ids)


def memory_section(asked: Asked) -> dict[str, Any]:
    """What an image of 128 pixels takes, in a process of its own; the weights are random."""
    del asked
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak)


def peak() -> dict[str, Any]:
    """Bytes: at most, before the attack; and how many parameters the generator has."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = (3, SIDE, SIDE)
    net: GeneratorNet = DDPM(width=40, patch=1).build(shape)
    generator = net.product("random").eval()
    body = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
    )
    classifier = Classifier(
        body, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 2)), classes=["a", "b"], shape=shape
    )
    x = torch.rand(1, *shape)
    target = 1 - classifier.probabilities(x).argmax(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Ace(generator=generator, iterations=2, frames=0, answer="last", checkpoint="never")(
        classifier, x, Goal.criticism(target)
    )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "before": before,
        "most": most,
        "parameters": sum(p.numel() for p in net.net.parameters()),
        "side": SIDE,
    }


SECTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    **{f"ace-{name}": partial(attack_section, name=name) for name in NETS},
    **{f"stages-{name}": partial(stages_section, name=name) for name in NETS[:2]},
    **{f"methods-{name}": partial(methods_section, name=name) for name in NETS[:2]},
    **{f"speed-{name}": partial(speed_section, name=name) for name in NETS[:2]},
    "memory": memory_section,
}


if __name__ == "__main__":
    measure("diffusion-figures", SECTIONS, page, __doc__)
