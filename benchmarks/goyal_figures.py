"""The figures of Goyal et al. (2019), section 4, with the nets of this package: writes docs/goyal-figures.md.

python benchmarks/goyal_figures.py --omniglot images_background_small2.zip
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from estimate import RESAMPLES, Estimate
from rather.core import Classifier, Features, Goal, Images, Labels, Noise
from rather.data import omniglot
from rather.data.source import Dataset, read_all
from rather.feature_cells.cell_editor import CellEditor, cell_editor
from rather.feature_cells.composite import composite, highlights
from rather.feature_cells.edits import AnyHead, edited, first_best
from rather.feature_cells.fewest import fewest_edits
from rather.feature_cells.relaxation import relaxed_best_edit
from rather.feature_cells.sequential import EditSequence, sequential_search
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.methods.goyal import Goyal
from rather.metrics.cell_edits import cell_agreement
from rather.search.references import References
from rather.train import ClassifierRecipe, train_classifier
from rather.worlds.shapes import UNCLEAR, Shapes, right_edits

Edits = Sequence[tuple[int, int]]  # (query cell, distractor cell)

PAGE = Path(__file__).parent.parent / "docs" / "goyal-figures.md"
FIRST = "c' is the first choice"  # Algorithm 1
RELAXED = {name: Goyal.model_fields[name].default for name in ("steps", "lr", "entropy")}


HEAD = "| figure | paper | here | 95 % interval | rows |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Queries:
    """Images that a classifier names rightly, and others to take distractors from."""

    classifier: Classifier
    images: Images
    ids: tuple[str, ...]
    indices: tuple[int, ...]  # in their data set
    predicted: Labels
    references: References
    right: Tensor  # of all images that were looked at: named rightly

    @classmethod
    def of(cls, classifier: Classifier, data: Dataset, limit: int | None = None) -> Queries:
        """The first of a data set's test pictures that are named rightly."""
        x, indices = read_all(data.test)
        labels = torch.tensor([data.test.label(i) for i in indices])
        said = classifier.probabilities(x).argmax(1)
        rows = (said == labels).nonzero()[:, 0][:limit]
        return cls(
            classifier=classifier,
            images=x[rows],
            ids=tuple(data.test.id(indices[row]) for row in rows.tolist()),
            indices=tuple(indices[row] for row in rows.tolist()),
            predicted=said[rows],
            references=references_of(data),
            right=said == labels,
        )

    def pairs(self, target: Labels, noise: Noise, rows: Tensor | None = None) -> Pairs:
        """Each query, or each of some, with a random distractor that the classifier calls the target."""
        rows = torch.arange(len(self.images)) if rows is None else rows
        x, classifier = self.images[rows], self.classifier
        chosen = self.references.choose(classifier, x, target, noise, "random")
        others = self.references.images[chosen]
        with torch.no_grad():
            query = torch.cat([classifier.features(part) for part in x.split(500)])
            distractor = torch.cat([classifier.features(part) for part in others.split(500)])
        return Pairs(classifier, x, others, query, distractor, Goal.criticism(target), self.predicted[rows], chosen)

    def random_pairs(self, seed: int, repeat: int = 1) -> Pairs:
        """Each query `repeat` times, with a random other class that has references, and a distractor."""
        rows = torch.arange(len(self.images)).repeat_interleave(repeat)
        targets, distractors = Noise(seed, [f"{self.ids[row]}-{n}" for n, row in enumerate(rows.tolist())]).split(2)
        there = self.references.classes(self.classifier).unique()
        can = [there[there != mine] for mine in self.predicted[rows]]
        drawn = targets.choice(torch.tensor([len(classes) for classes in can]))
        target = torch.stack([classes[at] for classes, at in zip(can, drawn, strict=True)])
        return self.pairs(target, distractors, rows)


@dataclass(frozen=True)
class Pairs:
    """Queries and distractors, as images and as features."""

    classifier: Classifier
    images: Images
    others: Images
    query: Features
    distractor: Features
    goal: Goal
    predicted: Labels
    chosen: Tensor  # index of each distractor among the references

    def __len__(self) -> int:
        return len(self.goal)

    @property
    def cells(self) -> int:
        """How many a map has."""
        return self.query[0, 0].numel()

    def greedy(self, how: CellEditor | None = None, *, reuse: bool = False) -> EditSequence:
        """Algorithm 1."""
        return sequential_search(how or self.editor, self.query, self.distractor, self.goal, reuse=reuse)

    @property
    def cell_editor(self) -> CellEditor:
        """The exhaustive one."""
        _, d, u, v = self.query.shape
        return cell_editor(self.classifier.head, (d, u, v))

    @property
    def every(self) -> Tensor:
        """All edits are open."""
        return torch.ones(len(self), self.cells, self.cells, dtype=torch.bool)

    def scores(self) -> Tensor:
        """The log-probability of c' after each single edit."""
        how, parts = self.editor, torch.arange(len(self)).split(self.editor.at_once)
        with torch.no_grad():
            return torch.cat(
                [how.start(self.query[p], self.distractor[p]).scores(self.goal.target[p], self.every[p]) for p in parts]
            )

    def until(self, trail: EditSequence) -> dict[str, Tensor]:
        """After how many of the edits each of three readings of "the decision has changed" is true."""
        edits = made(trail)
        first = {name: torch.zeros(len(self)) for name in (FIRST, "c' is before c", "c is left, for any class")}
        for step in range(1, int(trail.count.max()) + 1):
            with torch.no_grad():
                z = self.classifier.head(edited(self.query, self.distractor, [pairs[:step] for pairs in edits]))
            at = {
                FIRST: z.argmax(1) == self.goal.target,
                "c' is before c": (z.gather(1, self.goal.target[:, None]) > z.gather(1, self.predicted[:, None]))[:, 0],
                "c is left, for any class": z.argmax(1) != self.predicted,
            }
            for name, so in at.items():
                first[name] = torch.where((first[name] == 0) & so, float(step), first[name])
        return {name: torch.where(step == 0, float(self.cells), step) for name, step in first.items()}


def references_of(data: Dataset) -> References:
    images, indices = read_all(data.references)
    return References(images, tuple(data.references.id(i) for i in indices), name=data.name)


def edits_lines(queries: Queries, seed: int, paper: str, repeat: int = 1) -> Iterator[str]:
    pairs = queries.random_pairs(seed, repeat)
    for reading, count in pairs.until(pairs.greedy()).items():
        shown = "" if reading == "c' is before c" else paper
        yield Estimate.of(count.view(-1, repeat)).line(f"edits until {reading}", shown)
    again = pairs.greedy(reuse=True).count
    yield Estimate.of(again.view(-1, repeat)).line(f"edits until {FIRST}, distractor cells reusable")


def other_nets_line(data: Dataset, count: int, seed: int) -> str:
    """The same of nets that differ from the bundled one in their seed alone."""
    means = []
    for member in load_classifier("digits-ensemble").members:
        counts = Queries.of(member, data, count).random_pairs(seed).greedy().count
        means.append(counts.float().mean().item())
    mean, low, high = np.mean(means), min(means), max(means)
    return (
        f"| edits until {FIRST}, {len(means)} other nets | 2.67 | {mean:.2f} "
        f"| nets from {low:.2f} to {high:.2f} | {count:,} each |"
    )


def agreement_lines(queries: Queries, seed: int, draws: int = 10) -> Iterator[str]:
    """How often two distractors have their best edit in the same query cell."""
    count, classes = len(queries.images), len(queries.classifier.classes)
    same, other = Noise(seed + 1, queries.ids).split(2)
    target = (queries.predicted + 1 + same.choice(torch.full((count,), classes - 1))) % classes
    cells = [best_cells(queries.pairs(target, noise)) for noise in same.split(draws)]
    yield from agreement(torch.stack(cells, 1), "of the same class", "78 %")
    targets = [(queries.predicted + 1 + step) % classes for step in range(classes - 1)]
    cells = [best_cells(queries.pairs(t, noise)) for t, noise in zip(targets, other.split(len(targets)), strict=True)]
    yield from agreement(torch.stack(cells, 1), "one of each other class", "42 %")


def best_cells(pairs: Pairs) -> Tensor:
    return first_best(pairs.scores(), pairs.every)[:, 0]


def agreement(cells: Tensor, what: str, paper: str) -> Iterator[str]:
    k = cells.shape[1]
    equal = (cells[:, :, None] == cells[:, None]).float()
    yield Estimate.of(cell_agreement(cells)).line(f"two distractors, {what}: same best query cell", paper, percent=True)
    most = equal.sum(2).amax(1) / k
    yield Estimate.of(most).line(f"{k} distractors, {what}: share of the commonest cell", "", percent=True)


def relaxation_lines(queries: Queries, seed: int) -> Iterator[str]:
    pairs = queries.random_pairs(seed)
    head, scores = pairs.classifier.head, pairs.scores()
    best = first_best(scores, pairs.every)
    found = relax(pairs, **RELAXED)
    share, log_share = shares(scores, best, found)
    yield Estimate.of((found == best).all(1)).line("same best edit as the exhaustive search", "79.98 %", percent=True)
    yield Estimate.of(found[:, 0] == best[:, 0]).line("same query cell", percent=True)
    first = relax(pairs, **(RELAXED | {"steps": 1}))[:, 0]
    yield Estimate.of(found[:, 0] == first).line("query cell is settled by the first gradient", percent=True)
    yield Estimate.of(share).line("share of the best p(c')", "92 %", percent=True)
    yield Estimate.of(log_share).line("share of the best log p(c'): best / reached", percent=True)
    how = CellEditor(partial(AnyHead, head, solver=partial(relaxed_best_edit, head, **RELAXED)), at_once=64)
    trail, exact = pairs.greedy(how), pairs.greedy()
    yield Estimate.of(trail.count).line(f"edits until {FIRST}, relaxed")
    yield Estimate.of(exact.count).line(f"edits until {FIRST}, exhaustive", "2.67")
    same = [set(a) == set(b) for a, b in zip(made(trail), made(exact), strict=True)]
    yield Estimate.of(torch.tensor(same)).line("same set of edits in the end", percent=True)


def relax(pairs: Pairs, *, steps: int, lr: float, entropy: float) -> Tensor:
    parts = torch.arange(len(pairs)).split(64)
    return torch.cat(
        [
            relaxed_best_edit(
                pairs.classifier.head,
                pairs.query[p],
                pairs.distractor[p],
                pairs.goal.target[p],
                pairs.every[p],
                steps=steps,
                lr=lr,
                entropy=entropy,
            )
            for p in parts
        ]
    )


def shares(scores: Tensor, best: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    every = torch.arange(len(scores))
    most, reached = scores[every, best[:, 0], best[:, 1]], scores[every, found[:, 0], found[:, 1]]
    return (reached - most).exp(), most / reached


def made(trail: EditSequence) -> list[Edits]:
    return [[(i, j) for i, j in trail.edits[row, :count].tolist()] for row, count in enumerate(trail.count.tolist())]


def settings_table(classifier: Classifier, data: Dataset, seed: int, count: int = 400) -> str:
    """The relaxation's settings, tried on training pictures, of which no other figure here is taken."""
    train = data.references
    queries = Queries.of(classifier, Dataset(data.name, test=train, train=train), count)
    pairs = queries.random_pairs(seed)
    scores = pairs.scores()
    best = first_best(scores, pairs.every)
    rows = []
    for entropy in (0.0, 0.01, 0.1, 1.0):
        row = [f"{entropy:g}"]
        for steps in (30, 100, 300):
            found = relax(pairs, steps=steps, lr=RELAXED["lr"], entropy=entropy)
            share, _ = shares(scores, best, found)
            row.append(f"{100 * (found == best).all(1).float().mean():.1f} %, {100 * share.mean():.1f} %")
        rows.append("| " + " | ".join(row) + " |")
    return "| entropy weight | 30 steps | 100 steps | 300 steps |\n|---|---|---|---|\n" + "\n".join(rows)


@dataclass(frozen=True)
class Minimum:
    """What the exact search says of the greedy one."""

    greedy: Tensor
    known: Tensor  # edits of the best known set
    bound: Tensor
    edits: list[Edits]

    @classmethod
    def of(cls, pairs: Pairs, nodes: int) -> Minimum:
        """Looks for smaller sets than the greedy ones."""
        trail = pairs.greedy()
        known, bound, edits = trail.count.clone(), trail.count.clone(), made(trail)
        for row in range(len(pairs)):
            with torch.no_grad():
                fewest = fewest_edits(
                    pairs.classifier.head,
                    pairs.query[[row]],
                    pairs.distractor[[row]],
                    pairs.goal[torch.tensor([row])],
                    known=int(trail.count[row]) if trail.flipped[row] else None,
                    nodes=nodes,
                )
            if fewest.edits is not None:
                known[row], edits[row] = len(fewest.edits), fewest.edits
            bound[row] = fewest.lower_bound
        return cls(trail.count, known, bound, edits)

    def lines(self) -> Iterator[str]:
        """Rows of a table."""
        proved = self.known == self.bound
        yield Estimate.of(self.greedy).line("edits, greedy", "2.67")
        yield Estimate.of(self.known).line("edits, fewest known")
        yield Estimate.of(proved & (self.greedy == self.known)).line("greedy proved minimal", percent=True)
        yield Estimate.of(proved & (self.greedy > self.known)).line("greedy proved not minimal", percent=True)
        yield Estimate.of(~proved & (self.greedy == self.known)).line("undecided within the budget", percent=True)
        yield Estimate.of((self.greedy - self.known)[proved]).line("edits that greedy makes too many, where proved")

    def table(self) -> str:
        """Greedy edits by proved minimum."""
        proved = self.known == self.bound
        counts = Counter(zip(self.greedy.tolist(), self.known.tolist(), proved.tolist(), strict=True))
        sizes = range(1, int(self.greedy.max()) + 1)
        lines = ["| greedy | " + " | ".join(f"{k}" for k in sizes) + " | undecided |", "|---" * (len(sizes) + 2) + "|"]
        for greedy in sizes:
            shown = [f"{counts[greedy, k, True] or ''}" for k in sizes]
            undecided = sum(n for (g, _, p), n in counts.items() if g == greedy and not p)
            lines.append(f"| {greedy} | " + " | ".join(shown) + f" | {undecided or ''} |")
        return "\n".join(lines)


def composite_line(pairs: Pairs, edits: Sequence[Edits], what: str) -> str:
    u, v = pairs.query.shape[2:]
    light = highlights(pairs.classifier, pairs.images)
    rows = zip(pairs.images, pairs.others, edits, strict=True)
    images = torch.stack([composite(x, other, made, light, (u, v)) for x, other, made in rows])
    there = pairs.goal.reached(pairs.classifier.probabilities(images).log())
    return Estimate.of(there).line(what, percent=True)


def digits_part(count: int, seed: int, nodes: int) -> str:
    classifier, data = load_classifier("digits"), load_dataset("digits")
    queries = Queries.of(classifier, data, count)
    pairs = queries.random_pairs(seed)
    minimum = Minimum.of(pairs, nodes)
    return "\n".join(
        [
            DIGITS,
            HEAD,
            Estimate.of(queries.right).line("test accuracy of the net", "98.4 %", percent=True),
            *edits_lines(queries, seed, "2.67"),
            other_nets_line(data, count, seed),
            AGREEMENT,
            HEAD,
            *agreement_lines(queries, seed),
            RELAXATION.format(**RELAXED),
            HEAD,
            *relaxation_lines(queries, seed),
            SETTINGS,
            settings_table(classifier, data, seed),
            MINIMUM.format(nodes=nodes),
            HEAD,
            *minimum.lines(),
            composite_line(pairs, made(pairs.greedy()), "composite picture is called c', greedy"),
            composite_line(pairs, minimum.edits, "composite picture is called c', fewest known"),
            SIZES,
            minimum.table(),
        ]
    )


def omniglot_part(file: Path, count: int, seed: int, splits: int, epochs: int) -> str:
    lines = [OMNIGLOT.format(epochs=epochs)]
    for split in range(seed, seed + splits):
        data = omniglot.load(file, seed=split)
        classifier, _ = train_classifier(data.references, data.test, ClassifierRecipe(epochs=epochs, seed=split))
        queries = Queries.of(classifier, data)
        repeat = math.ceil(count / len(queries.images))
        lines += [
            f"Split {split}, {repeat} random targets for each query:\n",
            HEAD,
            Estimate.of(queries.right).line("test accuracy of the net", "66.8 %", percent=True),
            *edits_lines(queries, seed, "1.46", repeat),
            "",
        ]
    return "\n".join(lines)


def shapes_part(count: int, seed: int) -> str:
    data = load_dataset("shapes")
    overlapping, _ = train_classifier(data.references, data.test, ClassifierRecipe(architecture="small", epochs=8))
    nets = {"each cell sees one square": load_classifier("shapes"), "cells overlap": overlapping}
    lines = [SHAPES]
    for what, classifier in nets.items():
        lines += [f"A net in which {what}:\n", HEAD, *shapes_lines(Queries.of(classifier, data, count), data, seed), ""]
    return "\n".join(lines[:-1])


def shapes_lines(queries: Queries, data: Dataset, seed: int) -> Iterator[str]:
    pairs, test, train = queries.random_pairs(seed), data.test, data.references
    assert isinstance(test, Shapes)
    assert isinstance(train, Shapes)
    u, v = pairs.query.shape[2:]
    asked = zip(queries.indices, pairs.chosen.tolist(), pairs.goal.target.tolist(), strict=True)
    right = torch.stack([right_edits(test.scenes[i], train.scenes[j], target, (u, v)) for i, j, target in asked])
    best = first_best(pairs.scores(), pairs.every)
    there = right.flatten(1).any(1)
    yield Estimate.of(queries.right).line("test accuracy of the net", percent=True)
    yield Estimate.of(there).line("pairs of which a single edit is right", percent=True)
    clear = there & (pairs.predicted != UNCLEAR) & (pairs.goal.target != UNCLEAR)
    for what, rows in (("one shape to another", clear), ("any class to another", there)):
        mine, (i, j), every = right[rows], best[rows].T, torch.arange(int(rows.sum()))
        yield Estimate.of(mine[every, i, j]).line(f"{what}: first edit is right", percent=True)
        yield Estimate.of(mine.flatten(1).float().mean(1)).line(f"{what}: a random edit is", percent=True)
        yield Estimate.of(mine.any(2)[every, i]).line(f"{what}: its query cell is that of a right one", percent=True)
        yield Estimate.of(mine.any(2).float().mean(1)).line(f"{what}: a random query cell is", percent=True)
    yield Estimate.of(pairs.greedy().count).line(f"edits until {FIRST}")


TITLE = """\
# The figures of Goyal et al. (2019), with our nets

Written by

    {command}

Nothing here is typed by hand but the text. Intervals are 95 %: Wilson's for a share of rows, else percentiles
of a bootstrap over rows ({resamples:,} resamples). A row is a query; one with several targets or distractors
is drawn with all of them. The paper tells the nets' layers, but not which queries it took or how they were
trained, and gives no intervals.
"""

DIGITS = """
## Digits (section 4.1)

The bundled net: 2 convolutional and 2 linear layers, 4 x 4 x 20 features, trained on 10,000 digits. Queries
are the first test digits that it names rightly; the target c' is drawn from the other classes, the distractor
from the training digits that the net calls c'. Edits are Algorithm 1's, with the exhaustive search, and each
distractor cell serves once where nothing else is said. The paper has the decision changed when c' is the
first choice (Algorithm 1, eq. 2) and when c' is before c (section 2.2). The third reading, that c is left for
whatever class, is looser than its words, but nearer to its figures; see Omniglot below.
"""

AGREEMENT = """
### Agreement of the best edit (section 4.3)

The paper has these two figures for birds, on 7 x 7 cells, where chance is 1 in 49; here it is 1 in 16. It
does not define agreement. The first line of each kind is the chance that two distractors have their best edit
in the same query cell; the second the share of the distractors that name the cell that most of them name.
"""

RELAXATION = """
### Relaxation (section 2.3)

The paper has these figures for birds, on 7 x 7 cells. The first edit of each query, by {steps} steps of plain
gradient descent, learning rate {lr}, entropy weight {entropy}, from alpha = 0 and M = 0, beside the best of
all 256. The share of p(c') is p(c') after the relaxation's edit over p(c') after the best; the share of
log p(c') is the other way round, as logarithms are negative. The last three lines are of whole explanations.
"""

SETTINGS = """
The paper leaves open how many steps there are and how much the entropies weigh. These were tried on pairs of
*training* digits: share of best edits found, and mean share of the best p(c'). More steps help a little;
entropies make hardly any difference until they are large. What decides is the start: there every query cell
is offered the mean of all the distractor's cells, and the cell that the first gradient prefers is nearly
always the one that is kept.
"""

MINIMUM = """
### The greedy search and the minimum (eq. 2)

The paper poses eq. 2, the fewest edits after which c' is the first choice, and solves it greedily; how far
that is from the minimum has not been reported. `rather.feature_cells.fewest` proves the minimum by branch and
bound, or gives up after {nodes:,} sets of edits. The composite pictures are the paper's visualisation; that
the net calls them c' too is not asked of an edit, neither by the paper nor by eq. 2.
"""

SIZES = """
Queries by greedy edits (rows) and proved minimum (columns):
"""

OMNIGLOT = """
## Omniglot, Sanskrit (section 4.2)

42 letters, 16 drawings of each to train on and 4 to test on, 28 x 28 pixels; the digits' architecture,
trained for {epochs} epochs by the package's recipe. Queries are the test drawings that the net names rightly.
The paper needs fewer edits for letters (1.46) than for digits (2.67). So do we as long as c has only to be
left, and not where c' has to be reached: with 42 classes there is always another one near by, but seldom c'.
"""

SHAPES = """
## SHAPES (supplement)

Drawn scenes of 4 x 4 squares. The class is the shape of the red thing, so it is known which edits are right:
those after which the rule names c'. From one shape to another that is one edit of 256. (The supplement was
not at hand, so its figures are not here.) Where cells overlap, each sees its neighbours' things as well, and
no edit of a single cell replaces a thing cleanly.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--omniglot", type=Path, help="images_background_small2.zip; without it that part is left out")
    parser.add_argument("--queries", type=int, default=1_000, help="how many, where there are so many")
    parser.add_argument("--nodes", type=int, default=200_000, help="budget of the exact search, for each query")
    parser.add_argument("--seed", type=int, default=0, help="of targets, distractors and the first split")
    parser.add_argument("--splits", type=int, default=3, help="of Omniglot, each with a net of its own")
    parser.add_argument("--epochs", type=int, default=60, help="of the training on Omniglot")
    parser.add_argument("--out", type=Path, default=PAGE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    changed = [
        f" --{name} {value}"
        for name, value in vars(asked).items()
        if name not in {"omniglot", "out"} and value != parser.get_default(name)
    ]
    file = f" --omniglot {asked.omniglot.name}" if asked.omniglot else ""
    command = f"python benchmarks/goyal_figures.py{file}{''.join(changed)}"
    parts = [TITLE.format(command=command, resamples=RESAMPLES)]
    parts.append(digits_part(asked.queries, asked.seed, asked.nodes))
    if asked.omniglot:
        parts.append(omniglot_part(asked.omniglot, asked.queries, asked.seed, asked.splits, asked.epochs))
    parts.append(shapes_part(asked.queries, asked.seed))
    asked.out.write_text("\n".join(parts) + "\n", "utf-8")
    print(f"written: {asked.out}")


if __name__ == "__main__":
    main()
