"""The audit: closed forms, planted causes in tiny pictures, and what the command and the page promise."""

import json
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from rather.audit import Attribute, Estimate, Place, Region, Share, audit
from rather.audit.attributes import APPEARANCES, FEWEST, appearances, dependence
from rather.audit.groups import cluster, coarse, spread
from rather.audit.load import load
from rather.audit.rules import suspicious_attributes, suspicious_places, suspicious_regions
from rather.audit.swaps import nearest_allowed, places, spots, swapped
from rather.commands.audit import _finite, told
from rather.commands.cli import main
from rather.config.errors import RatherError
from rather.core import Classifier
from rather.generators.oracle import Oracle
from rather.io.png import png
from rather.report.audit import write_audit
from rather.runs.store import Row, Run

SIDE = 16
CLASSES = ("dark", "light")


class Sees(nn.Module):
    """Logits of the mean of a part of the picture, against a half."""

    def __init__(self, rows: slice, columns: slice) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x):
        value = 40 * (x[:, 0, self.rows, self.columns].flatten(1).mean(1) - 0.5)
        return torch.stack([-value, value], 1)


MIDDLE, CORNER = (slice(4, 12), slice(4, 12)), (slice(0, 4), slice(0, 4))


def net(part):
    return Classifier(Sees(*part), nn.Identity(), classes=CLASSES, shape=(1, SIDE, SIDE), name="sees")


class Reads(nn.Module):
    """Attributes: the middle is light, the corner is light."""

    def forward(self, x):
        return torch.cat([Sees(*part)(x)[:, 1:] for part in (MIDDLE, CORNER)], 1)


ORACLE = Oracle(Reads(), shape=(1, SIDE, SIDE), attributes=("middle", "corner"))


def pictures(count, seed=0):
    """Middle and corner, light or dark independently; what they are beside."""
    draw = torch.Generator().manual_seed(seed)
    causes = torch.rand(count, 2, generator=draw) < 0.5
    x = 0.5 + 0.02 * torch.randn(count, 1, SIDE, SIDE, generator=draw)
    for n, (rows, columns) in enumerate((MIDDLE, CORNER)):
        x[:, :, rows, columns] += torch.where(causes[:, n], 0.3, -0.3)[:, None, None, None]
    return x, causes


def a_run(folder, classifier, *, count=40, labelled=40, target="next", answered=None):
    """Rows that are labelled by the middle; the counterfactual turns what the classifier sees."""
    x, causes = pictures(count)
    p = classifier.probabilities(x)
    rows, columns = classifier.body.rows, classifier.body.columns
    changed = x.clone()
    changed[:, :, rows, columns] = 1 - x[:, :, rows, columns]
    after = classifier.probabilities(changed)
    question = {
        "classes": list(CLASSES),
        "classifier": {"name": classifier.name, "sha256": classifier.fingerprint()},
        "method": {"name": "turn"},
        "target": target,
    }
    ids = [f"image-{n}" for n in range(count)]
    run = Run.start(folder, question, ids, chunk=count)
    answered = range(count if answered is None else answered)
    run.commit(
        [
            Row(
                id=ids[n],
                where=ids[n],
                status="found",
                label=CLASSES[int(causes[n, 0])] if n < labelled else None,
                predicted=CLASSES[int(p[n].argmax())],
                target=CLASSES[int(after[n].argmax())],
                before=p[n].tolist(),
                after=after[n].tolist(),
                query=png(x[n]),
                image=png(changed[n]),
            )
            for n in answered
        ]
    )
    return run


def test_dependence_of_one_attribute_is_the_difference_of_means_with_wider_intervals_over_more_calls():
    has = torch.arange(40) % 2 == 0
    values = torch.where(has, 0.9, 0.2) + 0.01 * torch.sin(torch.arange(40.0))
    one, ten = (dependence(values[:, None], has[:, None], calls=calls)[0][0] for calls in (1, 10))
    assert one.value == ten.value == pytest.approx(float(values[has].mean() - values[~has].mean()), abs=1e-6)
    assert one.low < one.value < one.high
    # z of 0.05 / 10 over z of 0.05, both sides
    assert (ten.high - ten.low) / (one.high - one.low) == pytest.approx(2.807034 / 1.959964, rel=1e-5)


def test_dependence_holds_the_others_fixed():
    draw = torch.Generator().manual_seed(0)
    cause = torch.rand(400, generator=draw) < 0.5
    along = torch.where(torch.rand(400, generator=draw) < 0.8, cause, ~cause)  # goes with it, and does nothing
    found = dependence(cause.double()[:, None] * 0.7, torch.stack([cause, along], 1))
    assert found[0][0].value == pytest.approx(0.7, abs=1e-9)
    assert found[1][0].value == pytest.approx(0, abs=1e-9)


def test_dependence_leaves_out_what_few_have_and_what_the_others_determine_minor_ones_first():
    draw = torch.Generator().manual_seed(0)
    colour = torch.randint(3, (90,), generator=draw)
    has = torch.stack([*(colour == k for k in range(3)), torch.arange(90) < FEWEST - 1], 1)
    found = dependence((colour == 1).double()[:, None], has)
    assert len(found) == 2
    assert 1 in found  # correlates with the value most
    assert 3 not in found
    assert dependence(torch.zeros(5, 1), torch.ones(5, 2, dtype=torch.bool)) == {}
    first = torch.rand(60, generator=draw) < 0.5
    values = (first.double() + torch.randn(60, generator=draw))[:, None]
    assert [*dependence(values, torch.stack([first, first], 1), minor=1)] == [0]


def test_intervals_of_dependence_hold_the_truth_as_often_as_they_say():
    draw, held = torch.Generator().manual_seed(0), 0
    for _ in range(200):
        has = torch.rand(80, 3, generator=draw) < 0.4
        # The noise is wider for those that have the first: probabilities are like that.
        noise = torch.randn(80, generator=draw) * torch.where(has[:, 0], 0.4, 0.1)
        found = dependence((0.3 * has[:, 0] + noise)[:, None], has)
        held += all(found[n][0].low <= truth <= found[n][0].high for n, truth in enumerate((0.3, 0.0, 0.0)))
    assert held >= 0.92 * 200


def test_a_swap_takes_the_content_of_the_place_and_no_other():
    x, donors = torch.zeros(2, 3, SIDE, SIDE), torch.ones(2, 3, SIDE, SIDE)
    for spot in spots()[:-1]:
        changed = swapped(x, donors, spot)
        assert changed.mean() == pytest.approx(len(spot.cells) / 16)
        assert (changed[0, 0, ::4, ::4] > 0).nonzero().tolist() == [[*cell] for cell in spot.cells]
    assert swapped(x, donors, spots()[-1]).mean() == 1  # the colour
    assert len({spot.name for spot in spots()}) == len(spots())


def test_predictions_move_with_the_place_that_the_classifier_looks_at(tmp_path):
    found = {place.name: place for place in places(load(a_run(tmp_path / "run", net(CORNER)), CLASSES), net(CORNER))}
    assert found["top, left"].decides == Share(count=40, of=40)
    assert found["bottom, right"].decides.count == 0
    assert found["top, left"].repairs.count == found["all around the middle"].repairs.count > 10
    assert set(found["top, left"].examples) <= {f"image-{n}" for n in range(40)}


def test_the_nearest_that_is_allowed():
    x = torch.tensor([0.0, 0.1, 0.5, 0.9]).view(4, 1, 1, 1)
    allowed = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    assert nearest_allowed(x, allowed).tolist() == [2, 3, 1, -1]


def test_clusters_are_found_where_there_are_some_and_only_there():
    draw = torch.Generator().manual_seed(0)
    groups = torch.tensor([0.0] * 12 + [5.0] * 8 + [-5.0] * 4)[:, None] + 0.1 * torch.randn(24, 3, generator=draw)
    of = cluster(groups).of
    assert of.tolist() == [0] * 12 + [1] * 8 + [2] * 4
    assert cluster(torch.ones(6, 2)).of.tolist() == [0] * 6


def test_shares_of_a_change():
    amount = torch.zeros(2, SIDE, SIDE)
    amount[0, :2, :2] = 0.3
    shares = coarse(amount)
    assert shares[0].tolist() == [1.0] + [0.0] * 63
    assert shares[1].sum() == 0
    assert spread(shares[:1]).item() == pytest.approx(1)
    assert spread(torch.full((1, 64), 1 / 64)).item() == pytest.approx(64)


def test_appearances_say_what_their_names_say():
    grey, noisy = torch.full((1, 3, SIDE, SIDE), 0.5), torch.rand(1, 3, SIDE, SIDE)
    dull, vivid = appearances(grey)[0], appearances(noisy)[0]
    told = dict(zip(APPEARANCES, zip(dull.tolist(), vivid.tolist(), strict=True), strict=True))
    for name in ("high contrast", "strong colours", "sharp picture"):
        assert told[name][0] == pytest.approx(0, abs=1e-6)
        assert told[name][1] > 0.01
    above = grey.clone()
    above[:, :, :2] = 1
    change = dict(zip(APPEARANCES, (appearances(above) - appearances(grey))[0].tolist(), strict=True))
    assert change["light upper border"] == pytest.approx(0.5)
    assert change["light lower border"] == pytest.approx(0, abs=1e-6)


def attribute(*effects):
    names = ("answer", "label", "excess")
    some = [None if one is None else Estimate(value=one, low=one - 0.05, high=one + 0.05) for one in effects]
    rest = {"has": Share(count=20, of=50), "changed": Share(count=3, of=50), "amount": 0.1, "examples": ["a"]}
    return Attribute(name="hat", towards="old", **dict.fromkeys(names) | dict(zip(names, some, strict=False)), **rest)


@pytest.mark.parametrize(
    ("one", "expected", "warned"),
    [
        (attribute(0.8, 0.0, 0.8), (), True),
        (attribute(-0.8, 0.0, -0.8), (), True),
        (attribute(0.9, 0.9, 0.0), (), False),  # the label relies on it too
        (attribute(0.2, 1.0, -0.8), (), False),  # it should rely on it, and hardly does
        (attribute(0.12, 0.0, 0.12), (), False),  # by its interval it may be too little
        (attribute(0.8), (), False),  # there is no witness
        (attribute(0.8), ("smile",), True),
        (attribute(0.8, 0.8, 0.0), ("smile",), True),
        (attribute(0.8, 0.0, 0.8), ("hat",), False),
        (attribute(None), (), False),
    ],
)
def test_the_rule_of_attributes(one, expected, warned):
    assert bool([*suspicious_attributes([one], expected)]) is warned


def test_the_evidence_is_a_sentence():
    (warning,) = suspicious_attributes([attribute(-0.8, 0.0, -0.8)], ())
    assert warning.evidence == (
        "With all else equal, the probability of `old` is 0.80 lower (95 % interval 0.75 to 0.85) in images with "
        "`hat`. The share of images labelled `old` is about the same (95 % interval \N{MINUS SIGN}0.05 to 0.05). The "
        "difference is \N{MINUS SIGN}0.80 (\N{MINUS SIGN}0.85 to \N{MINUS SIGN}0.75). The attribute changed in 3 of 50 "
        "counterfactuals."
    )


def test_the_rule_of_places_names_the_smallest_that_does_it():
    def place(name, repairs, cells=1):
        return Place(
            name=name,
            cells=[(0, n) for n in range(cells)],
            decides=Share(count=9, of=50),
            repairs=Share(count=repairs, of=50),
            examples=[],
        )

    (warning,) = suspicious_places([place("as small", 18), place("small", 19), place("large", 20, 4)])
    assert warning.name == "small"
    assert [*suspicious_places([place("small", 5)])] == []
    # The best of many has to be better than one that was tried alone.
    assert [*suspicious_places([place("small", 11)])] != []
    assert [*suspicious_places([place("small", 11), *[place("other", 1)] * 58])] == []
    assert [*suspicious_places([])] == []


def test_the_rule_of_regions():
    def region(share, area=0.01):
        estimate = Estimate(value=share, low=share - 0.05, high=share + 0.05)
        return Region(name="mouth", share=estimate, area=area, examples=[])

    (warning,) = suspicious_regions([region(0.4)], ("hat",))
    assert warning.strength == pytest.approx(0.35)
    assert "40 % of the change (95 % interval 35 % to 45 %) and 1 % of the picture" in warning.evidence
    for found, expected in (
        (region(0.4), ()),
        (region(0.4), ("mouth",)),
        (region(0.12), ("hat",)),
        (region(0.4, 0.2), ("hat",)),
    ):
        assert [*suspicious_regions([found], expected)] == []


@pytest.mark.parametrize("part", [MIDDLE, CORNER], ids=["clean", "biased"])
def test_a_classifier_is_warned_of_if_it_goes_by_the_wrong_part(tmp_path, part):
    found = audit(a_run(tmp_path / "run", net(part)), classifier=net(part), oracle=ORACLE)
    named = {(warning.kind, warning.name) for warning in found.warnings}
    if part is MIDDLE:
        assert named == set()
        assert (found.agreement.right, found.agreement.of) == (40, 40)
        assert found.attributes[0].name == "middle"
    else:
        assert {("attribute", "corner"), ("place", "top, left")} <= named
        corner = next(one for one in found.attributes if one.name == "corner")
        assert corner.changed == Share(count=40, of=40)
        assert corner.excess.value == pytest.approx(1, abs=0.05)
        middle = next(one for one in found.attributes if one.name == "middle")
        assert middle.excess.value == pytest.approx(-1, abs=0.05)  # what it should go by


def test_without_labels_only_what_was_not_expected_is_warned_of(tmp_path):
    run = a_run(tmp_path / "run", net(CORNER), labelled=0)
    found = audit(run, classifier=net(CORNER), oracle=ORACLE)
    assert found.warnings == []
    assert found.agreement is None
    assert any("expectation" in note for note in found.notes)
    named = [warning.name for warning in audit(run, oracle=ORACLE, expect=("middle",)).warnings]
    assert named[0] == "corner"
    assert audit(run, oracle=ORACLE, expect=("corner", *APPEARANCES)).warnings == []


def test_prototypes_are_far_from_another_class_and_near_to_being_surer(tmp_path):
    run = a_run(tmp_path / "run", net(CORNER))
    alone = audit(run)
    assert {each.predicted for each in alone.typical} == {*CLASSES}
    for each in alone.typical:
        assert min(one.change for one in each.prototypes) >= max(one.change for one in each.outliers)
    # Who needs as much to be surer as to leave is neither.
    both = audit(run, prototypes=a_run(tmp_path / "surer", net(CORNER), target="prototype"))
    assert all(one.surer == one.change for each in both.typical for one in each.prototypes)
    for mixed in ({"run": run, "prototypes": run}, {"run": Run.open(tmp_path / "surer")}):
        with pytest.raises(RatherError) as refused:
            audit(**mixed)
        assert refused.value.code == "CFG-OPTIONS"


def test_images_without_a_label_are_left_out_of_what_goes_by_labels(tmp_path):
    run = a_run(tmp_path / "run", net(CORNER), labelled=30)
    found = audit(run, classifier=net(CORNER), oracle=ORACLE)
    assert found.agreement.of == 30
    assert {one.repairs.of for one in found.places} == {30}
    assert {("attribute", "corner"), ("place", "top, left")} <= {
        (warning.kind, warning.name) for warning in found.warnings
    }
    assert any("10 of 40 images have no label" in note for note in found.notes)
    # Of so few no effect can be told: the answer is then of all images.
    few = audit(a_run(tmp_path / "few", net(CORNER), labelled=3), oracle=ORACLE)
    assert few.attributes[0].name == "corner"
    assert few.attributes[0].label is None


def test_runs_that_cannot_be_audited_are_refused_and_unfinished_ones_say_so(tmp_path):
    run = a_run(tmp_path / "run", net(CORNER), answered=12)
    assert audit(run).notes[0] == "The run is not finished: 12 of 40 images are explained."
    goals = a_run(tmp_path / "goals", net(CORNER), target={"name": "prototype", "goals": "0" * 64})
    empty = Run.start(tmp_path / "empty", {"classes": list(CLASSES)}, ["a"], chunk=1)
    for refused, more, code, why in (
        (run, {"oracle": ORACLE, "expect": ("middel",)}, "CFG-UNKNOWN", "middle"),
        (goals, {}, "CFG-OPTIONS", "more confidence"),
        (empty, {}, "DATA-EMPTY", "classified"),
    ):
        with pytest.raises(RatherError, match=why) as error:
            audit(refused, **more)
        assert error.value.code == code


def test_the_page_shows_the_findings_and_loads_nothing_from_the_network(tmp_path):
    run = a_run(tmp_path / "<b>run", net(CORNER))
    found = audit(run, classifier=net(CORNER), oracle=ORACLE)
    assert "top, left" in write_audit(replace(found, pairs=[], found=0), run).read_text("utf-8")
    page = write_audit(found, run).read_text("utf-8")
    assert "<b>run" not in page
    assert "&lt;b&gt;run" in page
    assert "top, left" in page
    for address in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page):
        assert address.startswith(("data:image/png;base64,", "#"))
    assert "default-src &#39;none&#39;" in page


def command(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["audit", *map(str, words)])
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


def test_the_command_audits_a_run_and_can_fail_on_a_warning(tmp_path, capsys):
    run = a_run(tmp_path / "run", net(CORNER))
    run_folder = run.folder
    code, out, _ = command(capsys, run_folder, "--json", "--expect", "light upper border")
    told = json.loads(out)
    assert code == 0
    assert told["rows"] == 40
    assert (run_folder / "audit.html").read_text("utf-8").startswith("<!doctype html>")
    code, out, _ = command(capsys, run_folder, "--expect", "sharp picture", "--fail-on-warning")
    assert "warning:" in out
    assert code == 7


def test_what_the_command_tells_is_json_whatever_the_numbers(tmp_path):
    found = audit(a_run(tmp_path / "run", net(CORNER)))
    endless = Estimate(value=0.5, low=-torch.inf, high=torch.nan)
    region = Region(name="mouth", share=endless, area=0.1, examples=[])
    said = _finite(told(replace(found, regions=[region]), Run.open(tmp_path / "run"), tmp_path))
    assert json.loads(json.dumps(said, allow_nan=False))["regions"][0]["share"] == {
        "value": 0.5,
        "low": None,
        "high": None,
    }


def test_the_command_makes_a_run_first(tmp_path, capsys):
    code, out, _ = command(capsys, "--data", "digits", "--count", 12, "--out", tmp_path / "run", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["rows"] == 12
    assert told["right"] >= 10
    assert told["places"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["{run}", "--data", "digits"], "CFG-OPTIONS"),
        (["{run}", "--target", "next"], "CFG-OPTIONS"),
        (["{run}", "--seed", "1"], "CFG-OPTIONS"),
        (["{run}", "--references", "digits"], "CFG-OPTIONS"),
        (["{run}", "--generator", "digits-vae"], "CFG-OPTIONS"),
        (["{run}", "--expect", "nose"], "CFG-UNKNOWN"),
        (["{run}", "--classifier", "digits"], "RUN-MISMATCH"),
        (["{run}", "--oracle", "faces-oracle"], "CFG-OPTIONS"),
        (["{none}"], "DATA-NOT-FOUND"),
        (["--data", "digits", "--method", "attack,nearest"], "CFG-OPTIONS"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_a_line(tmp_path, capsys, words, code):
    a_run(tmp_path / "run", net(CORNER))
    given = [word.format(run=tmp_path / "run", none=tmp_path / "none") for word in words]
    exit_code, _, err = command(capsys, *given)
    assert exit_code in {2, 6}
    assert code in err
    assert err.count("\n") == 1
