"""The latent methods beside those of pixels, judged by nets that none of them saw: docs/latent-figures.md.

    python benchmarks/latent_figures.py [SECTION ...] [--rows 600] [--column NAME ...] [--work FOLDER]

Without a section all are measured; a section that is measured again replaces its figures in
docs/latent-figures.json, of which the page is made. `--work` keeps the judges, which are trained here.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, final

import torch
from rather.metrics.diversity import feature_diversity
from rather.metrics.transfer import transfer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latent_page import page, shortly
from rather.core import Classifier, Counterfactuals, Goal, Images, Labels, Method, Noise
from rather.data.source import Source, read_all
from rather.generators.autoencoder import Autoencoder
from rather.generators.recipe import Phase
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.hub.generators import load_generator
from rather.io.png import png
from rather.latents.classifiers import LatentClassifiers
from rather.methods import REVISE, Clarity, DiVE, Introspection, Minimal, Schut, Several, Wachter
from rather.metrics.distribution import frechet_distance
from rather.metrics.proximity import l1
from rather.metrics.realism import Reconstruct, im1, im2
from rather.search.references import References
from rather.train import LatentRecipe, train_heads
from rather.train.fit import Schedule, fit
from runs import JUDGE, digits_judge, pack
from sections import without_folders

DOCS = Path(__file__).parent.parent / "docs"
CONFIDENCE = 0.9  # that the pictures are asked to have: "they must clearly represent the target class"
KINDS = {"5 to 1": (5, 1), "3 to 8": (3, 8)}  # of the slides
OTHERS = "random pairs"
SHOWN = 10  # pictures of each kind on a method's sheet
REPEATERS = {"class": 1500, "all": 6000}  # training steps of the autoencoders
SPREADS = (0.1, 0.3)  # of the noise before each restart of REVISE
ANSWERS = 8
UNSURE = 1e-4  # of whose doubts a prototype leaves visibly less
WEIGHTS = (1.0, 0.1, 0.03, 0.01)  # lambda of the introspection, loose to tight
BISECTED = (100.0, 0.01)  # from where to where, as in the preset gci


@dataclass(frozen=True)
class Judges:
    """Nets of another architecture or seed than all that methods use, trained on the training digits."""

    classifier: Classifier
    by_class: Sequence[Autoencoder]
    everything: Autoencoder
    card: Mapping[str, Any]

    @classmethod
    def of(cls, work: Path) -> Judges:
        """Those of a folder; what is not there is trained."""
        work.mkdir(parents=True, exist_ok=True)
        data = load_dataset("digits")
        assert data.train is not None
        classifier = digits_judge(work)
        x, labels = labelled(data.train)
        nets = [repeater(work, f"class-{k}", x[labels == k], k) for k in range(10)]
        whole = repeater(work, "all", x, 10)
        test, theirs = labelled(data.test)
        errors = {
            "own class": torch.cat([squared(nets[k], test[theirs == k]) for k in range(10)]),
            "next class": torch.cat([squared(nets[(k + 1) % 10], test[theirs == k]) for k in range(10)]),
            "all classes": squared(whole, test),
        }
        return cls(
            classifier,
            nets,
            whole,
            json.loads((work / "judge.json").read_text("utf-8")) | {"errors": {k: pack(v) for k, v in errors.items()}},
        )

    def measure(self, images: Images, queries: Images, predicted: Labels, target: Labels) -> dict[str, Any]:
        """What they say of pictures, most of it with intervals."""
        if not len(images):
            return {}
        return {
            "transfer": pack(transfer(self.said(images), target)),
            "im1": pack(im1(images, predicted, target, self.by_class)),
            "im2": pack(im2(images, target, self.by_class, self.everything)),
            "l1": pack(l1(images, queries)),
        }

    def said(self, images: Images) -> Tensor:
        """The judge's logits, up to a constant."""
        return self.classifier.probabilities(images).log()


def labelled(source: Source) -> tuple[Images, Labels]:
    x, indices = read_all(source)
    return x, torch.tensor([source.label(i) for i in indices])


@final
class Dense(nn.Module):
    """A plain autoencoder of two dense layers a side: of no architecture that a method uses."""

    def __init__(self, hidden: int = 256, latent: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 28 * 28), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28))
        )
        self.latent = latent

    def phases(self) -> Mapping[str, Phase]:
        """All of it at once."""
        return {"both": Phase([*self.parameters()])}

    def forward(self, phase: str, x: Images) -> Tensor:
        """The squared error of each picture."""
        del phase
        return squared(lambda x: self.decoder(self.encoder(x)), x)


def repeater(work: Path, name: str, x: Images, seed: int) -> Autoencoder:
    """A small autoencoder of some pictures."""
    steps = REPEATERS[name.partition("-")[0]]
    file = work / f"autoencoder-{name}-{steps}.safetensors"
    torch.manual_seed(JUDGE.seed + seed)
    net = Dense()
    if not file.exists():
        fit(net, [x], Schedule(steps=steps, lr=0.001, batch_size=64, seed=JUDGE.seed + seed))
        save_file(net.state_dict(), file)
        print(f"trained: {file.name}", flush=True)
    net.load_state_dict(load_file(file))
    return Autoencoder(net.encoder, net.decoder, shape=(1, 28, 28), size=net.latent, name=name)


def squared(net: Reconstruct, x: Images) -> Tensor:
    """Squared error of each reconstruction, summed over the pixels."""
    return (net(x) - x).square().flatten(1).sum(1)


@dataclass(frozen=True)
class Column:
    """A method and the classifier that it explains."""

    explained: str  # as the page says it
    classifier: Callable[[], Classifier]
    method: Callable[[], Method]


@cache
def ensemble_of_latents() -> LatentClassifiers:
    latent = LatentClassifiers.of(load_classifier("digits-latent"))
    assert latent is not None
    return latent


@cache
def latents_of_unmoved() -> Classifier:
    """As `digits-latent`, but for what it was trained on: pictures as they are."""
    data = load_dataset("digits")
    assert data.train is not None
    return train_heads(vae(), data.train, data.test, LatentRecipe(shift=0), name="unmoved")[0].classifier()


digits = cache(lambda: load_classifier("digits"))
five = cache(lambda: load_classifier("digits-ensemble"))
latents = cache(lambda: load_classifier("digits-latent"))
vae = cache(lambda: load_generator("digits-vae"))
gan = cache(lambda: load_generator("digits-gan"))

COLUMNS = {
    "wachter": Column("digits", digits, Wachter),
    "schut": Column("digits-ensemble", five, Schut),
    "revise": Column("digits", digits, lambda: REVISE(generator=vae())),
    "revise-e": Column("digits-ensemble", five, lambda: REVISE(generator=vae())),
    "latent-classifier": Column("digits-latent, one member", lambda: latents().members[0], Clarity),
    "clarity": Column("digits-latent", latents, Clarity),
    "clarity-unmoved": Column("digits-latent, trained on unmoved pictures", latents_of_unmoved, Clarity),
    "clarity-of-digits": Column("digits", digits, lambda: Clarity(latent=ensemble_of_latents())),
    "introspection": Column("digits", digits, lambda: Introspection(generator=gan())),
    "dive": Column("digits", digits, lambda: DiVE(generator=vae(), count=ANSWERS)),
    "xgem": Column("digits", digits, lambda: REVISE(generator=vae(), distance="l2")),
}


@dataclass(frozen=True)
class Queries:
    """Test digits, and for each the class that it is to become."""

    images: Images
    ids: tuple[str, ...]
    predicted: Labels
    target: Labels
    kind: Tensor  # 0 and 1: of the slides; 2: a random pair
    left_out: int  # of the slides' kinds, as some classifier does not name them rightly

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, rows: int, seed: int) -> Queries:
        """Digits that every explained classifier names rightly, so that all are asked the same.

        All of the slides' kinds and as many others as are missing; or, of few, a third of each.
        """
        source = load_dataset("digits").test
        x, labels = labelled(source)
        named = torch.stack([c.probabilities(x).argmax(1) == labels for c in (digits(), five(), latents())])
        named = torch.cat([named, (latents().members[0].probabilities(x).argmax(1) == labels)[None]]).all(0)
        slides = [(labels == query).nonzero()[:, 0] for query, _ in KINDS.values()]
        able = [of[named[of]] for of in slides]
        few = rows < sum(map(len, able)) + 3 * SHOWN
        chosen = [of[: rows // 3] for of in able] if few else [*able]
        rest = (named & ~torch.isin(labels, labels[torch.cat(slides)].unique())).nonzero()[:, 0]
        order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))
        chosen.append(rest[order[: rows - sum(map(len, chosen))]])
        at = torch.cat(chosen)
        ids = tuple(source.id(i) for i in at.tolist())
        drawn = Noise(seed, ids).choice(torch.full((len(at),), 9))
        target = (labels[at] + 1 + drawn) % 10
        kind = torch.cat([torch.full((len(of),), k) for k, of in enumerate(chosen)])
        for k, (_, wanted) in enumerate(KINDS.values()):
            target[kind == k] = wanted
        return cls(
            x[at], ids, labels[at], target, kind, sum(len(a) - len(b) for a, b in zip(slides, able, strict=True))
        )

    def __getitem__(self, rows: Tensor) -> Queries:
        places = torch.arange(len(self))[rows].tolist()
        parts = {key: getattr(self, key)[rows] for key in ("images", "predicted", "target", "kind")}
        return replace(self, ids=tuple(self.ids[i] for i in places), **parts)

    def shown(self) -> Tensor:
        """The first of each kind."""
        return torch.cat([(self.kind == k).nonzero()[:SHOWN, 0] for k in range(len(KINDS) + 1)])

    def goal(self, confidence: float) -> Goal:
        """The target, with a confidence."""
        return Goal.criticism(self.target, confidence)


def explain(
    method: Method, classifier: Classifier, queries: Queries, goal: Goal, together: int = 128
) -> tuple[Counterfactuals, float]:
    """Counterfactuals of all queries, and seconds of processor time for each."""
    began = time.process_time()
    parts = [
        method(classifier, queries.images[rows], goal[rows], ids=[queries.ids[row] for row in rows.tolist()])
        for rows in torch.arange(len(queries)).split(together)
    ]
    seconds = (time.process_time() - began) / len(queries)
    joined = {
        key: torch.cat([getattr(part, key) for part in parts])
        for key in ("queries", "images", "before", "after", "found", "steps", "evaluations")
    }
    extras = {
        key: {name: [row for part in parts for row in getattr(part, key)[name]] for name in getattr(parts[0], key)}
        for key in ("pictures", "info")
    }
    why = tuple(reason for part in parts for reason in part.why)
    return replace(parts[0], goal=goal, why=why, **joined, **extras), seconds


def methods_section(asked: Asked, confidence: float, *, sheets: bool) -> dict[str, Any]:
    """The table: each method on the same queries."""
    queries, judges = asked.queries, asked.judges
    results: dict[str, Any] = {}
    for name in asked.columns:
        column = COLUMNS[name]
        method = column.method()
        c, seconds = explain(method, column.classifier(), queries, queries.goal(confidence))
        results[name] = {
            "explained": column.explained,
            "settings": method.settings(),
            "success": pack(c.found),
            "why": {reason: c.why.count(reason) for reason in sorted({*c.why} - {""})},
            "seconds": seconds,
            "evaluations": pack(c.evaluations),
            **judged(judges, queries, c.images, c.found),
            "kinds": {
                kind: {"success": pack(c.found[rows])} | judged(judges, queries, c.images, c.found & rows)
                for kind, rows in kinds_of(queries)
            },
        }
        if sheets:
            draw(asked.out, name, c.images[queries.shown()], c.found[queries.shown()])
        print(f"{name}: {shortly(results[name])}", flush=True)
    if sheets:
        draw(asked.out, "queries", queries.images[queries.shown()])
        results["real"] = real(asked)
    return results


def judged(judges: Judges, queries: Queries, images: Images, rows: Tensor) -> dict[str, Any]:
    """What the judges say of some of the pictures."""
    some = queries[rows]
    found = judges.measure(images[rows], some.images, some.predicted, some.target)
    if int(rows.sum()) > 1:
        found["frechet"] = frechet_distance(images[rows], like(some, train=True), judges.classifier).item()
    return found


def kinds_of(queries: Queries) -> list[tuple[str, Tensor]]:
    return [(name, queries.kind == k) for k, name in enumerate((*KINDS, OTHERS))]


def like(queries: Queries, *, train: bool) -> Images:
    """For each query a real digit of its target class, at random."""
    x, labels = pool(train=train)
    draws = Noise(0, queries.ids)
    counts = torch.tensor([int((labels == k).sum()) for k in queries.target.tolist()])
    picks = draws.choice(counts)
    return torch.stack([x[labels == k][pick] for k, pick in zip(queries.target.tolist(), picks.tolist(), strict=True)])


@cache
def pool(*, train: bool) -> tuple[Images, Labels]:
    data = load_dataset("digits")
    return labelled(data.references if train else data.test)


def real(asked: Asked) -> dict[str, Any]:
    """The same of real test digits of the target classes: what a perfect picture would get."""
    images = like(asked.queries, train=False)
    draw(asked.out, "real", images[asked.queries.shown()])
    every = torch.ones(len(images), dtype=torch.bool)
    return {"explained": "", **judged(asked.judges, asked.queries, images, every)}


def draw(folder: Path, name: str, images: Images, found: Tensor | None = None) -> None:
    """Pictures side by side as a PNG; those that are no successes at half their brightness."""
    shown = images if found is None else images * torch.where(found, 1.0, 0.4)[:, None, None, None]
    framed = torch.nn.functional.pad(shown, (1, 1, 1, 1), value=0.5)
    file = folder / "latent-figures" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(torch.cat([*framed], 2)))


def introspection_section(asked: Asked) -> dict[str, Any]:
    """Prototypes, and the bisected criticism beside fixed weights."""
    queries, classifier = asked.queries, digits()
    some = queries[torch.arange(0, len(queries), 5)]  # an inversion is a search, a bisection a dozen
    prototypes = [
        {"generator": name, "weight": weight} | prototype(asked, rows, net, weight)
        for name, net, rows in (("digits-vae", vae(), queries), ("digits-gan", gan(), some))
        for weight in (1.0, 1e6)
    ]
    queries = some
    method, goal = Introspection(generator=gan()), queries.goal(0.0)
    loose, tight = BISECTED
    minimal = Minimal(method=method, setting="class_weight", loose=loose, tight=tight)
    bisected, seconds = explain(minimal, classifier, queries, goal)
    near = l1(bisected.images, queries.images)
    criticisms: dict[str, Any] = {"bisected": criticism(asked, queries, bisected, seconds)}
    for weight in WEIGHTS:
        fixed, seconds = explain(Introspection(generator=gan(), class_weight=weight), classifier, queries, goal)
        far, both = l1(fixed.images, queries.images), fixed.found & bisected.found
        said = criticism(asked, queries, fixed, seconds) | {"further": pack((far - near)[both])}
        criticisms[f"{weight:g}"] = said
        print(f"weight {weight:g}: {said}", flush=True)
    return {"prototypes": prototypes, "criticisms": criticisms}


def prototype(asked: Asked, queries: Queries, net: Autoencoder, weight: float) -> dict[str, Any]:
    """Does the confidence rise, on the 8-bit picture and in 64 bits?"""
    classifier = digits()
    goal = Goal.prototype(classifier(queries.images))
    able = ~goal.reached(classifier(queries.images))  # the others are as sure as 32 bits can say
    some = queries[able]
    c, seconds = explain(Introspection(generator=net, class_weight=weight), classifier, some, goal[able])
    before, after = (doubt(classifier(x), some.predicted) for x in (some.images, c.images))
    sheet = some.shown()
    draw(asked.out, f"prototypes-{net.name}-{weight:g}", c.images[sheet], (after < before)[sheet])
    again = classifier.probabilities(net(some.images).clamp(0, 1)).argmax(1)
    found = {
        "cannot be surer": int((~able).sum()),
        "raised": pack(after < before),
        "raised, of the unsure": pack((after < before)[before > UNSURE]),
        "half of the doubt gone": pack(c.found),
        "doubt": [before.median().item(), after.median().item()],
        "class kept by reconstruction": pack(again == some.predicted),
        "l1": pack(l1(c.images, some.images)),
        "seconds": seconds,
    }
    print(f"prototypes, {net.name}, weight {weight:g}: {found}", flush=True)
    return found


def criticism(asked: Asked, queries: Queries, c: Counterfactuals, seconds: float) -> dict[str, Any]:
    images, queries = c.images[c.found], queries[c.found]
    return {
        "rows": len(c),
        "success": pack(c.found),
        "l1": pack(l1(images, queries.images)),
        "transfer": pack(transfer(asked.judges.said(images), queries.target)) if len(images) else None,
        "seconds": seconds,
    }


def doubt(logits: Tensor, said: Labels) -> Tensor:
    """1 - p(said), where p is so near to 1 that 32 bits cannot tell."""
    log_p = logits.double().log_softmax(1)
    return log_p.scatter(1, said[:, None], -torch.inf).logsumexp(1).exp()


def dive_section(asked: Asked) -> dict[str, Any]:
    """Eight explanations of a row beside eight restarts of REVISE."""
    queries, space = asked.queries, asked.judges.classifier
    x, _ = pool(train=True)
    references = References(x, tuple(map(str, range(len(x)))))
    methods: dict[str, Method] = {
        "DiVE": DiVE(generator=vae(), count=ANSWERS),
        "DiVE, masks of spectral clusters": DiVE(
            generator=vae(), count=ANSWERS, mask="fisher-spectral", references=references
        ),
    } | {
        f"REVISE, {ANSWERS} restarts, noise of {spread:g}": Several(
            method=REVISE(generator=vae()), count=ANSWERS, init_noise_std=spread
        )
        for spread in SPREADS
    }
    results = {}
    for name, method in methods.items():
        c, seconds = explain(method, digits(), queries, queries.goal(0.0))
        answers, valid = torch.stack([*c.pictures["answers"]]), torch.tensor(c.info["answers_found"])
        sets = [some[good] for some, good in zip(answers, valid, strict=True)]
        believed = [
            transfer(asked.judges.said(some), target.expand(len(some))).double().mean()
            for some, target in zip(sets, queries.target, strict=True)
            if len(some)
        ]
        apart = [feature_diversity(some[None], space) for some in sets if len(some) > 1]
        results[name] = {
            "valid answers": pack(valid.double().mean(1)),
            "apart": pack(feature_diversity(answers, space)),
            "valid ones apart": pack(torch.tensor(apart)),
            "transfer": pack(torch.tensor(believed)),
            "l1": pack(l1(c.images, c.queries)[c.found]),
            "seconds": seconds,
        }
        print(f"{name}: {results[name]}", flush=True)
    return results


def batching_section(asked: Asked) -> dict[str, Any]:
    """The same rows in one batch, one at a time, and one at a time in a loop that goes through all steps."""
    # At a confidence that no ensemble has, Clarity asks neither the decoder nor the classifier on its way.
    clarity, blind = Clarity(num_path_frames=0), Clarity(num_path_frames=0, confidence=1 - 1e-12)
    revise = REVISE(generator=vae(), num_path_frames=0)
    return {
        "revise": in_turns(asked, 64, digits(), revise, revise),
        "clarity": in_turns(asked, 256, latents(), clarity, blind),
    }


def in_turns(asked: Asked, rows: int, classifier: Classifier, method: Method, loop: Method) -> dict[str, Any]:
    """Ratios of processor times, each of two that ran one after the other."""
    queries = asked.queries[torch.randperm(len(asked.queries), generator=torch.manual_seed(0))[:rows]]
    goal, few = queries.goal(CONFIDENCE), torch.arange(min(16, len(queries)))
    never = replace(goal, confidence=torch.full_like(goal.confidence, 2.0))
    explain(method, classifier, queries[few], goal[few])  # the first call is slower
    times = []
    for _ in range(asked.rounds):
        single, alone = explain(method, classifier, queries, goal, together=1)
        _, through = explain(loop, classifier, queries[few], never[few], together=1)
        batch, together = explain(method, classifier, queries, goal, together=len(queries))
        times.append((together, alone, through))
    together, alone, through = (statistics.median(column) for column in zip(*times, strict=True))
    found = {
        "rows": len(queries),
        "together": together,
        "alone": alone,
        "through": through,
        "ratio": spread([one / batch for batch, one, _ in times]),
        "ratio of the loop": spread([all_steps / batch for batch, _, all_steps in times]),
        "same success": bool((batch.found == single.found).all()),
        "same evaluations": pack(batch.evaluations == single.evaluations),
        "greatest difference": (255 * (batch.images - single.images).abs().max()).round().item(),
        "same pictures": pack((batch.images == single.images).flatten(1).all(1)),
        "evaluations": pack(batch.evaluations),
        "most evaluations": int(batch.evaluations.max()),
    }
    print(f"{method.name()}: {found}", flush=True)
    return found


def spread(ratios: Sequence[float]) -> list[float]:
    """Median, least and most."""
    return [statistics.median(ratios), min(ratios), max(ratios)]


@dataclass(frozen=True)
class Asked:
    """What a section needs."""

    queries: Queries
    judges: Judges
    columns: Sequence[str]
    rounds: int
    out: Path


SECTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "methods": lambda asked: methods_section(asked, CONFIDENCE, sheets=True),
    "first-choice": lambda asked: methods_section(asked, 0.0, sheets=False),
    "introspection": introspection_section,
    "dive": dive_section,
    "batching": batching_section,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rows", type=int, default=600, help="queries")
    parser.add_argument("--column", action="append", choices=list(COLUMNS), help="of the methods; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="of the batching")
    parser.add_argument("--seed", type=int, default=0, help="of the random targets")
    parser.add_argument("--work", type=Path, default=Path("build/latent-figures"), help="where the judges are kept")
    parser.add_argument("--out", type=Path, default=DOCS, help="where the page goes")
    args = parser.parse_args()
    wrong = {*args.sections} - {*SECTIONS}
    if wrong:
        parser.error(f"no section {', '.join(wrong)}")
    torch.set_num_threads(1)
    file = args.out / "latent-figures.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else {"about": {"commands": {}}}
    judges = Judges.of(args.work)
    asked = Asked(Queries.of(args.rows, args.seed), judges, args.column or list(COLUMNS), args.rounds, args.out)
    versions = f"torch {torch.__version__.partition('+')[0]}, one thread, {platform.machine()}"
    known["about"] |= {"judge": judges.card, "confidence": CONFIDENCE, "left out": asked.queries.left_out}
    known["about"] |= {"made with": versions}
    command = ["python", "benchmarks/latent_figures.py", *without_folders(sys.argv[1:])]
    for name in args.sections or SECTIONS:
        measured = (known.get(name, {}) if args.column else {}) | SECTIONS[name](asked)
        order = [*COLUMNS, *measured]  # of the methods, however often some were measured again
        known[name] = dict(sorted(measured.items(), key=lambda item: order.index(item[0])))
        if not args.column:  # whoever adds a column has not made the others
            known["about"]["commands"][name] = shlex.join(command)
        file.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
        file.with_suffix(".md").write_text(page(known), "utf-8")


if __name__ == "__main__":
    main()
