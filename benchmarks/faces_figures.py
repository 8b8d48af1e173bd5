"""What methods say of faces whose causes are known, and whether it is true: docs/faces-figures.md.

    python benchmarks/faces_figures.py [SECTION ...] [--rows 300] [--work FOLDER] [--weights FOLDER]

Without a section all are measured; a section that is measured again replaces its figures in
docs/faces-figures.json, of which the page is made. `--work` keeps every batch of answers: what was
interrupted goes on where it was. A section whose nets are not trained yet is skipped. On one core the default
rows take up to about 20 minutes a section; slow methods get a third of the rows.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from faces_page import agreed, page
from rather.classifiers.architectures import ARCHITECTURES, See
from rather.core import Classifier, Images, Method
from rather.generators.oracle import Oracle
from rather.generators.semantic import changes_by_region, one_hot
from rather.methods import (
    REVISE,
    STEEX,
    Attack,
    Attributes,
    Clarity,
    DiVE,
    Exaggeration,
    Goyal,
    Introspection,
    Nearest,
    Schut,
    Wachter,
)
from rather.metrics.distribution import frechet_of_features
from rather.metrics.features import pooled
from rather.metrics.ground_truth import cosine_agreement, named_among, rank_agreement
from rather.metrics.proximity import l1
from rather.search.descend import on_grid
from rather.stats import rank_correlation
from rather.train import ClassifierRecipe, train_classifier
from rather.worlds import faces
from rather.worlds.faces import ATTRIBUTES, REGIONS, RULES, VARIANTS, DrawnFaces, Population
from runs import (
    FACES,
    Answers,
    Asked,
    MissingError,
    Nets,
    Part,
    Queries,
    effects_of,
    oracle_features,
    pack,
    pack_jackknifed,
    pack_resampled,
    references,
    test_faces,
    train_faces,
    tuned,
)
from sections import measure
from sheets import answers_sheet, differences, dimmed, sheet

SMILES = {"mouth, lips, skin": ("mouth", "lips", "skin"), "beard": ("beard",), "nose": ("nose",)}
PARTS = ("top", "middle", "bottom")  # of the picture, as classifiers.nets has them
MARGIN = 4  # pixels from the background that are left out
NUDGE = 0.2  # standard deviation of a change of styles, which lie in [-1, 1]
INNER = ("skin", "nose", "lips", "mouth", "eye")
CONTRASTS = (0.2, 0.1, 0.05)
COUNTS = (4_000, 10_000)  # faces to train on
CLOSENESS = (0.1, 0.3, 1.0, 3.0, 10.0)
TUNED = 24  # training faces for each of them
ENOUGH = 0.995  # of them that must succeed: the largest weight of which that is so is the paper's
AGES = ("faces-age-glasses", "faces-age")  # biased, and not
FIRST = (1, 3, 5)
HALF = 0.5  # from here on a picture has an attribute


def steex_of(asked: Asked, name: str, rows: int, *, distance_weight: float = 0.3, part: Part = "test") -> Answers:
    """STEEX's, with all regions free."""
    method = STEEX(generator=asked.nets.generator("faces-semantic"), distance_weight=distance_weight, num_path_frames=0)
    return asked.explain(name, method, rows, part)


def drawing_section(asked: Asked) -> dict[str, Any]:
    """How long a face takes, drawn and from the cache."""
    some = faces.sample(max(asked.rows, 32), seed=99)
    faces.draw(some[:32])  # the first call is slower
    rates = []
    for _ in range(3):
        began = time.process_time()
        faces.draw(some)
        rates.append(len(some) / (time.process_time() - began))
    train = train_faces("faces-smile")
    train.everything()  # from now on they are on disk
    seconds = []
    for _ in range(3):
        began, fresh = time.perf_counter(), train_faces("faces-smile")
        fresh.everything()[0].clone()  # all of it is read
        seconds.append(time.perf_counter() - began)
    return {
        "rate": [statistics.median(rates), min(rates), max(rates)],
        "rows": len(some),
        "loaded": len(train),
        "seconds": [statistics.median(seconds), min(seconds), max(seconds)],
    }


def classifiers_section(asked: Asked) -> dict[str, Any]:
    """How often the nets are right, and what truly moves them."""
    found = {}
    for name in FACES:
        try:
            classifier = asked.nets.classifier(name)
        except MissingError:
            print(f"  {name} is not there yet", flush=True)
            continue
        x, labels = asked.held(name)
        right = classifier.probabilities(x).argmax(1) == labels
        effects = effects_of(asked.work, asked.nets, name, asked.rows)
        found[name] = {
            "right": pack(right),
            "log-odds": {key: pack(effect.log_odds) for key, effect in effects.items()},
            "probability": {key: pack(effect.probability) for key, effect in effects.items()},
        }
        strongest = sorted(effects, key=lambda key: -abs(effects[key].log_odds.mean().item()))[:3]
        print(f"  {name}: right {right.double().mean():.3f}, moved most by {', '.join(strongest)}", flush=True)
    if not found:
        raise MissingError(", ".join(FACES))
    return found


def reconstruction_section(asked: Asked) -> dict[str, Any]:
    """What a way through the semantic generator does to held-out faces."""
    net, judge = asked.nets.generator("faces-semantic"), asked.nets.classifier("faces-smile")
    oracle = asked.oracle()
    x, _ = asked.held("faces-smile")
    with torch.no_grad():
        again = on_grid(torch.cat([net(part) for part in x.split(64)]).clamp(0, 1))
    real = train_faces("faces-smile").everything()[0][: len(x)].float() / 255
    before, after = oracle.values(x), oracle.values(again)
    other = (before > HALF) != (after > HALF)
    mine, theirs = oracle_features(oracle, x), oracle_features(oracle, again)
    found: dict[str, Any] = {
        "psnr": pack(-10 * (x - again).square().flatten(1).mean(1).log10()),
        "decisions": {},
        "attributes changed": pack(other.double().sum(1)),
        "by attribute": {name: pack(other[:, n]) for n, name in enumerate(oracle.attributes)},
        "frechet": frechet(again, x, judge),
        "frechet of real": frechet(real, x, judge),
        "identity": pack(F.cosine_similarity(mine, theirs)),
        "identity of others": pack(F.cosine_similarity(mine, mine.roll(1, 0))),
    }
    for name in ("faces-smile", "faces-age"):
        classifier = asked.nets.classifier(name)
        same = classifier.probabilities(x).argmax(1) == classifier.probabilities(again).argmax(1)
        found["decisions"][name] = pack(same)
    sheet(asked.sheets, "reconstruction", [x[:30], again[:30], differences(x[:30], again[:30])], abreast=3)
    return found


def frechet(images: Images, others: Images, judge: Classifier) -> list[float] | None:
    """The Frechet distance of two sets of as many images; their features are computed once."""
    ours, theirs = (pooled(judge, some) for some in (images, others))
    return pack_jackknifed(len(ours), lambda rows: frechet_of_features(ours[rows], theirs[rows]))


def leak_section(asked: Asked) -> dict[str, Any]:
    """What a change of the background's style does to the inside of the face."""
    net = asked.nets.generator("faces-semantic")
    x = Queries.of(asked.nets, "faces-smile", asked.few).images
    layout = net.segment(x)
    background = layout[:, :1]
    near = F.max_pool2d(background, 2 * MARGIN + 1, 1, MARGIN)[:, 0] > 0
    with torch.no_grad():
        styles = net.encode(x, layout)
        other = styles.clone()
        draw = torch.Generator().manual_seed(0)
        other[:, 0] += NUDGE * torch.randn(len(x), styles.shape[2], generator=draw)
        change = (net.decode(other, layout) - net.decode(styles, layout)).abs().mean(1)

    def inside(where: Tensor) -> list[float] | None:
        return pack((change * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1))

    inner = layout[:, [REGIONS.index(name) for name in INNER]].any(1)
    return {"background": inside(background[:, 0]), "face": inside(inner & ~near), "nudge": NUDGE}


def contrast_section(asked: Asked) -> dict[str, Any]:
    """How faint the true cue must be for a net to go by the planted one."""
    del asked  # it trains nets of its own
    planted = VARIANTS["age-glasses"].planted
    test = DrawnFaces("ordinary", "test", 500, seed=0, population=Population(RULES["age"]))
    some = faces.sample(200, seed=99, population=Population(RULES["age"]))
    found = {}
    for contrast in CONTRASTS:
        population = Population(RULES["age"], planted, contrast)
        for count in COUNTS:
            train = DrawnFaces("contrast", "train", count, seed=0, population=population)
            net, figures = train_classifier(train, test, ClassifierRecipe(architecture="small", epochs=4, shift=2))
            moved = faces.effects(net, some, 1)
            found[f"{contrast:g}, {count:,} faces"] = {
                "right": [figures.accuracy, *figures.interval, figures.tested_on],
                **{name: pack(moved[name].probability) for name in ("age", *planted)},
            }
            print(f"  contrast {contrast:g}, {count:,} faces", flush=True)
    return found


def shares(answers: Answers, start: Images) -> Tensor:
    """Of each row the share of its change in each region, as it was drawn."""
    return changes_by_region(answers.images, start, one_hot(answers.queries.layouts, len(REGIONS)))


def by_region(answers: Answers) -> dict[str, Any]:
    """Mean shares of the change, against the reconstruction; rows that are no successes count, too."""
    each = shares(answers, answers.start)
    return {region: pack(each[:, n]) for n, region in enumerate(REGIONS)}


def success(answers: Answers) -> dict[str, Any]:
    return {
        "success": pack(answers.success),
        "seconds": answers.seconds.mean().item(),
        "l1": pack(l1(answers.images, answers.start)),
    }


def steex_section(asked: Asked) -> dict[str, Any]:
    """Does it succeed, and where does the smile lie, beside the drawn one?"""
    found = {}
    for name in ("faces-smile", "faces-age"):
        weight = chosen(asked, name)
        answers = steex_of(asked, name, asked.rows, distance_weight=weight)
        answers_sheet(asked.sheets, f"steex-{name.removeprefix('faces-')}", answers)
        own = answers.info["reconstruction_at_goal"]
        found[name] = success(answers) | {
            "distance_weight": weight,
            "by reconstruction alone": pack(torch.tensor(own)),
            "regions": by_region(answers),
            "groups": {
                against: by_group(shares(answers, start))
                for against, start in (("reconstruction", answers.start), ("query", answers.queries.images))
            }
            | {"drawn anew": by_group(drawn_shares(name, answers.queries.layouts))},
        }
    return found


def by_group(each: Tensor) -> dict[str, Any]:
    """Mean shares of the change of some regions together."""
    return {group: pack(each[:, [REGIONS.index(one) for one in names]].sum(1)) for group, names in SMILES.items()}


def drawn_shares(name: str, layouts: Tensor) -> Tensor:
    """The same shares where nothing but the attribute itself is drawn otherwise: as far as one can get."""
    some, attribute = test_faces(name).faces[: len(layouts)], name.split("-")[1]
    one, other = (faces.draw(faces.set_attributes(some, {attribute: value}))[0] for value in (0.0, 1.0))
    return changes_by_region(one, other, one_hot(layouts, len(REGIONS)))


def parts_section(asked: Asked) -> dict[str, Any]:
    """Nets that see a part: does the change lie where they see?"""
    found = {}
    for name in PARTS:
        answers = steex_of(asked, f"faces-age-{name}", asked.few)
        answers_sheet(asked.sheets, f"steex-age-{name}", answers)
        each = shares(answers, answers.start)
        inside = inside_parts(answers)
        most = inside.argmax(1)
        found[name] = success(answers) | {
            "regions": by_region(answers),
            "first region": dict(Counter(REGIONS[n] for n in each.argmax(1).tolist()).most_common()),
            "inside": {part: pack(inside[:, n]) for n, part in enumerate(PARTS)},
            "most in": {part: pack(most == n) for n, part in enumerate(PARTS)},
        }
    return found


def inside_parts(answers: Answers) -> Tensor:
    """Of each row the share of its change in the rows that each of the three nets sees."""
    change = (answers.images - answers.start).abs().sum((1, 3))  # (n, h)
    high = change.shape[1]
    ends = [(round(high * part[0]), round(high * part[1])) for part in map(seen, PARTS)]
    inside = torch.stack([change[:, top:bottom].sum(1) for top, bottom in ends], 1)
    return inside / change.sum(1, keepdim=True).clamp(min=1e-12)


def seen(part: str) -> tuple[float, float, float, float]:
    """What the net of a part sees."""
    body, _ = ARCHITECTURES[part]((3, 64, 64), 2)
    first = body[0]
    assert isinstance(first, See)
    return first.part


def closeness_section(asked: Asked) -> dict[str, Any]:
    """The weight of the distance, from none to much."""
    found: dict[str, Any] = {}
    for name in ("faces-smile", "faces-age"):
        found[name], strips = {"chosen": chosen(asked, name)}, []
        for distance_weight in CLOSENESS:
            answers = steex_of(asked, name, TUNED, distance_weight=distance_weight, part="train")
            found[name][f"{distance_weight:g}"] = success(answers) | {"regions": by_region(answers)}
            strips.append(dimmed(answers.images, answers.success)[:15])
        columns = [answers.queries.images[:15], answers.start[:15], *strips]
        sheet(asked.sheets, f"closeness-{name.removeprefix('faces-')}", columns)
    return found


def chosen(asked: Asked, name: str) -> float:
    """The largest weight with which enough training faces succeed."""
    for distance_weight in sorted(CLOSENESS, reverse=True):
        answers = steex_of(asked, name, TUNED, distance_weight=distance_weight, part="train")
        if answers.success.double().mean() > ENOUGH:
            return distance_weight
    return min(CLOSENESS)


def bias_section(asked: Asked) -> dict[str, Any]:
    """Are glasses named where a net goes by them, and only there?"""
    oracle = asked.oracle()
    train = train_faces("faces-age-glasses")
    has = train.faces.attributes > HALF
    labels = torch.tensor([train.label(n) for n in range(len(train))])
    found: dict[str, Any] = {
        "frequencies": {
            attribute: {name: pack(has[labels == k, n]) for k, name in enumerate(train.classes)}
            for n, attribute in enumerate(ATTRIBUTES)
        }
    }
    for name in AGES:
        answers = steex_of(asked, name, asked.few)
        answers_sheet(asked.sheets, f"bias-steex-{name.removeprefix('faces-')}", answers)
        found[f"steex, {name}"] = (
            success(answers) | {"by the oracle": named(oracle_changes(oracle, answers))} | named_regions(answers)
        )
        try:
            method = Attributes(generator=asked.nets.generator("faces-editor"), frozen=("age",), num_path_frames=0)
        except MissingError:
            print("  attributes: faces-editor is not there yet", flush=True)
            continue
        answers = asked.explain(name, method, asked.few)
        answers_sheet(asked.sheets, f"bias-attributes-{name.removeprefix('faces-')}", answers)
        own = torch.tensor(
            [[row.get(attribute, 0.0) for attribute in ATTRIBUTES] for row in answers.info["attributes"]]
        )
        found[f"attributes, {name}"] = success(answers) | {
            "by its own account": named(own),
            "by the oracle": named(oracle_changes(oracle, answers)),
        }
    return found


def oracle_changes(oracle: Oracle, answers: Answers, start: Images | None = None) -> Tensor:
    """What changed from the query on, as the oracle reads it."""
    start = answers.queries.images if start is None else start
    return oracle.values(answers.images) - oracle.values(start)


def named(changes: Tensor) -> dict[str, Any]:
    """How often glasses are among the first attributes that changed, and how much each changed."""
    index = list(ATTRIBUTES).index("glasses")
    return {"first": {str(first): pack(named_among(changes, index, first)) for first in FIRST}} | {
        "changes": amounts(changes)
    }


def amounts(changes: Tensor) -> dict[str, Any]:
    return {name: pack(changes[:, n].abs()) for n, name in enumerate(ATTRIBUTES)}


def named_regions(answers: Answers) -> dict[str, Any]:
    """How often the glasses of those that wear some are among the regions that changed most."""
    index = REGIONS.index("glasses")
    rows = [row for row in answers.info["regions"] if "glasses" in row]
    if not rows:
        return {}
    told = {}
    for key in ("style", "change"):
        moved = torch.tensor([[row.get(region, {key: 0.0})[key] for region in REGIONS] for row in rows])
        told[f"regions by {key}"] = {str(first): pack(named_among(moved, index, first)) for first in FIRST}
    return told


def _vae(nets: Nets) -> Any:
    return nets.generator("faces-vae")


#: Of nets and the classifier's name to the method; those that take seconds a row have fewer rows.
METHODS: Mapping[str, Callable[[Nets, str], Method]] = {
    "wachter": lambda _, __: Wachter(num_path_frames=0),
    "schut": lambda _, __: Schut(num_path_frames=0),
    "attack": lambda _, __: Attack(num_path_frames=0),
    "nearest": lambda nets, name: Nearest(references=references(nets, name)),
    "goyal": lambda nets, name: Goyal(references=references(nets, name)),
    "revise": lambda nets, _: REVISE(generator=_vae(nets), num_path_frames=0),
    "introspection": lambda nets, _: Introspection(generator=_vae(nets), num_path_frames=0),
    "dive": lambda nets, _: DiVE(generator=_vae(nets), num_path_frames=0),  # a TCVAE's faces are a fog
    "steex": lambda nets, _: STEEX(generator=nets.generator("faces-semantic"), num_path_frames=0),
    "attributes": lambda nets, _: Attributes(generator=nets.generator("faces-editor"), num_path_frames=0),
    "attributes, frozen": lambda nets, name: Attributes(
        generator=nets.generator("faces-editor"), frozen=(name.split("-")[1],), num_path_frames=0
    ),
    "dime": partial(tuned, "dime"),
    "fastdime": partial(tuned, "fastdime"),
    "maskdime": partial(tuned, "maskdime"),
    "ace": partial(tuned, "ace", num_path_frames=0),
}
#: Trained for one classifier.
OWN: Mapping[str, Callable[[Nets, str], Method]] = {
    "clarity": lambda nets, name: Clarity(latent=nets.latent(f"{name}-latent"), num_path_frames=0),
    "exaggeration": lambda nets, name: Exaggeration(generator=nets.generator(f"{name}-exaggerator")),
}
SLOW = frozenset({"schut", "introspection", "dive", "steex", "attributes", "attributes, frozen", "dime", "ace"})


def causes_section(asked: Asked, name: str) -> dict[str, Any]:
    """Does each method change what truly moves the classifier?"""
    oracle = asked.oracle()
    measured = effects_of(asked.work, asked.nets, name, asked.rows)
    effects = torch.stack([measured[attribute].log_odds.mean() for attribute in ATTRIBUTES])
    cause = int(effects.abs().argmax())
    found: dict[str, Any] = {
        "effects": {key: pack(effect.log_odds) for key, effect in measured.items()},
        "cause": list(ATTRIBUTES)[cause],
        "halves": rank_correlation(*halves(measured)).item(),
        "methods": {},
    }
    columns = []
    for title, method in (METHODS | OWN if name == "faces-smile" else METHODS).items():
        try:
            rows = asked.few if title in SLOW else asked.rows
            answers = asked.explain(name, method(asked.nets, name), rows)
        except MissingError as missing:
            print(f"  {title}: {missing} is not there yet", flush=True)
            continue
        found["methods"][title] = success(answers) | agreement(oracle, answers, effects, cause)
        columns.append(dimmed(answers.images, answers.success)[:12])
        print(f"  {title}: {agreed(found['methods'][title])}", flush=True)
    queries = Queries.of(asked.nets, name, 12).images
    few = min(map(len, columns))
    sheet(asked.sheets, f"methods-{name.removeprefix('faces-')}", [one[:few] for one in (queries, *columns)])
    return found


def halves(measured: Mapping[str, faces.Effect]) -> Tensor:
    """The absolute effects, measured on every other face and on the rest: how sure is their order?"""
    each = torch.stack([effect.log_odds for effect in measured.values()])
    return torch.stack([each[:, start::2].mean(1).abs() for start in (0, 1)])


def agreement(oracle: Oracle, answers: Answers, effects: Tensor, cause: int) -> dict[str, Any]:
    """Of the successes; what failed explains nothing."""
    rows = answers.success

    def of(start: Images, agree: Callable[[Tensor, Tensor], Tensor]) -> Any:
        changes = oracle_changes(oracle, answers, start)[rows]
        return pack_resampled(len(changes), lambda some: agree(changes[some], effects))

    changes = oracle_changes(oracle, answers)[rows]
    return {
        **{
            key: {
                "query": of(answers.queries.images, agree),
                "reconstruction": of(answers.start, agree) if "reconstruction" in answers.pictures else None,
            }
            for key, agree in (("agreement", rank_agreement), ("cosine", cosine_agreement))
        },
        "cause among the first": {str(first): pack(named_among(changes, cause, first)) for first in FIRST},
        "changes": amounts(changes),
    }


def exaggeration_section(asked: Asked) -> dict[str, Any]:
    """Does the confidence rise with the bin?"""
    method = Exaggeration(generator=asked.nets.generator("faces-smile-exaggerator"))
    answers = asked.explain("faces-smile", method, asked.rows)
    series = torch.tensor(answers.info["confidence"])
    bins = torch.arange(series.shape[1]).double()
    each = torch.stack([rank_correlation(row, bins) for row in series]).nan_to_num(0)

    def pooled(rows: Tensor) -> Tensor:
        return rank_correlation(series[rows].flatten(), bins.repeat(len(rows)))

    path = answers.pictures["path"][:12]
    sheet(asked.sheets, "exaggeration", [answers.queries.images[:12], *path.unbind(1)])
    return success(answers) | {
        "row by row": pack(each),
        "pooled": pack_resampled(len(series), pooled),
        "mean confidence": [pack(column) for column in series.unbind(1)],
    }


SECTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "drawing": drawing_section,
    "classifiers": classifiers_section,
    "reconstruction": reconstruction_section,
    "steex": steex_section,
    "leak": leak_section,
    "contrast": contrast_section,
    "parts": parts_section,
    "distance_weight": closeness_section,
    "bias": bias_section,
    "causes-smile": partial(causes_section, name="faces-smile"),
    "causes-age": partial(causes_section, name="faces-age"),
    "causes-age-glasses": partial(causes_section, name="faces-age-glasses"),
    "exaggeration": exaggeration_section,
}


if __name__ == "__main__":
    measure("faces-figures", SECTIONS, page, __doc__)
