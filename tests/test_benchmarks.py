"""The scripts in benchmarks/: they start, their pages follow from their data, and what the docs name exists."""

import importlib
import json
import re
import runpy
from pathlib import Path

import pytest
import torch

from rather.bench import list_benches
from rather.bench.spec import read_spec

ROOT = Path(__file__).parent.parent
DOCS, SCRIPTS = ROOT / "docs", ROOT / "benchmarks"
PARSED = sorted(file.stem for file in SCRIPTS.glob("*.py") if "ArgumentParser" in file.read_text("utf-8"))


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.parametrize("name", PARSED)
def test_a_script_starts(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_pages_name_scripts_and_benches_that_exist():
    pages = {page: page.read_text("utf-8") for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]}
    benches = {name for text in pages.values() for name in re.findall(r"rather\s+bench ([\w.-]*\w)`", text)}
    assert {"tiny", "leaderboard"} & benches
    assert benches <= {*list_benches()}
    for page, text in pages.items():
        if "is a record" not in text and page.name not in {"log.md", "CHANGELOG.md"}:
            for name in re.findall(r"benchmarks/(\w+\.py)", text):
                assert (SCRIPTS / name).exists(), f"{page.name}: {name}"


def test_claims_are_those_of_the_figures(tmp_path):
    claims = importlib.import_module("claims")
    assert claims.page() == (DOCS / "claims.md").read_text("utf-8"), "run: python benchmarks/claims.py"
    rows = [line for line in claims.page(tmp_path).splitlines() if re.match(r"\| (?!claim \|)", line)]
    assert len(rows) > 30
    assert all("| not measured |" in line for line in rows)  # without figures there is no verdict


@pytest.mark.parametrize(
    ("rule", "value", "agrees", "disagrees"),
    [
        ("rising", 0, [(1, 0, 2), (2, 1, 3)], [(2, 1, 3), (1, 0, 2)]),
        ("apart", 0, [(1, 0, 2), (4, 3, 5)], [(1, 0, 2), (2, 1, 3)]),
        ("least", 0, [(1, 0, 2), (3, 2, 4), (2, 1, 3)], [(2, 1, 3), (1, 0, 2)]),
        ("greatest", 0, [(3, 2, 4), (1, 0, 2)], [(1, 0, 2), (3, 2, 4)]),
        ("fewer by", 3, [(1, 1, 1), (4, 4, 4)], [(1, 1, 1), (2, 2, 2)]),
        ("reaches", 2, [(1, 0, 2)], [(1, 0, 1.9)]),
        ("at least", 2, [(1, 0, 2)], [(1, 0, 1.9)]),
        ("above", 0, [(1, 0.1, 2)], [(1, 0, 2)]),
        ("below", 1, [(1, 0.9, 2)], [(1.5, 1, 2)]),
    ],
)
def test_a_rule_of_claims_can_agree_and_disagree(rule, value, agrees, disagrees):
    claims = importlib.import_module("claims")
    assert claims.RULES[rule](agrees, value)
    assert not claims.RULES[rule](disagrees, value)


def test_a_figure_of_the_leaderboard_is_that_of_the_successes(tmp_path):
    claims = importlib.import_module("claims")
    columns = ["task", "method", "metric", "variant", "value", "low", "high"]
    figures = [["t", "m", "l1", "all", 9, 9, 9], ["t", "m", "l1", "main", 1, 0, 2]]
    (tmp_path / "leaderboard.json").write_text(json.dumps({"columns": columns, "figures": figures}))
    assert claims.figure(tmp_path, "leaderboard", "t", "m", "l1") == [1, 0, 2]
    assert claims.figure(tmp_path, "leaderboard", "t", "m", "l2") is None


def test_the_leaderboard_keeps_what_a_person_wrote(monkeypatch, tmp_path):
    leaderboard = importlib.import_module("leaderboard")
    monkeypatch.setattr(leaderboard, "read_spec", lambda _: read_spec("tiny"))
    folders = ["--out", str(tmp_path), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["leaderboard.py", "--count", "2", "--seeds", "1", *folders])
    leaderboard.main()
    file = tmp_path / "leaderboard.md"
    page = file.read_text("utf-8")
    assert "### answers" in page
    assert "--count 2 --seeds 1`: 2 images of each data set, 1 seeds, 3 runs" in page
    written = page.replace("[claims.md](claims.md).", "[claims.md](claims.md). Nothing won.", 1)
    file.write_text(written, "utf-8")
    leaderboard.main()
    assert file.read_text("utf-8") == written
    known = json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))
    assert {tuple(one[:2]) for one in known["figures"]} >= {("digits", "wachter"), ("digits", "goyal")}


def test_shares_have_intervals_of_wilson_and_other_means_of_a_bootstrap():
    markdown = importlib.import_module("markdown")
    assert markdown.share(markdown.interval(torch.tensor([True] * 81 + [False] * 9))) == "90.0 % (82.1 to 94.6)"
    mean, low, high, count = markdown.interval(torch.arange(100.0))
    assert (mean, count) == (49.5, 100)
    assert abs(low - (49.5 - 1.96 * 2.887)) < 0.5  # the normal approximation: the standard error is 2.887
    assert abs(high - (49.5 + 1.96 * 2.887)) < 0.5


def test_planted_classifiers_are_counted():
    planted = importlib.import_module("planted")
    warning = {"kind": "attribute", "name": "glasses"}
    audits = {
        "biased": {
            "planted": True,
            "follows": "glasses",
            "effect of the cue": 0.5,
            "warnings": [warning],
            "named": True,
        },
        "clean": {"planted": False, "follows": "age", "effect of the cue": None, "warnings": [], "named": False},
    }
    scores = dict.fromkeys(planted.SCORES, 0.5)
    explained = {
        "biased": scores | {"planted": True, "follows": "glasses", "names": "glasses", "suspicion": 0.9},
        "clean": scores | {"planted": False, "follows": "age", "names": "hat", "suspicion": 0.1, "agreement": None},
    }
    page = planted.page({"audit": audits, "attack": explained})
    assert "| planted: a warning names the cue | 1 | 100.0 % (20.7 to 100.0) |" in page
    assert "| clean: there is a warning | 1 | 0.0 % (0.0 to 79.3) |" in page
    assert "| biased | glasses | +0.50 | attribute glasses |" in page
    (attack,) = (line for line in page.splitlines() if line.startswith("| attack"))
    assert attack.endswith("| 100.0 % (20.7 to 100.0) | 0.0 % (0.0 to 79.3) | 1.00 |")


def test_edits_of_digits_are_compared():
    speed, edits = (importlib.import_module(name) for name in ("goyal_speed", "goyal_edits"))
    digits = speed.Digits(12)
    same = speed.check(digits.random_pairs())
    assert same["pairs"] == 12
    assert same["max_dlogp"] <= speed.TOLERANCE
    found = edits.relaxation(digits)
    assert found["same best edit as the exhaustive search"][0] <= found["same query cell"][0]
    assert 0 < found["share of the best p(c')"][0] <= 1
    case = digits.random_pairs()
    assert edits.agreeing([case, case]).eq(1).all()


def test_a_black_box_is_explained_by_questions(tmp_path):
    black_box = importlib.import_module("black_box")
    figures, found = black_box.measured("digits", "sedc", 2)  # it asserts that no gradient is asked and all is counted
    assert figures["success"][3] == len(found) == 2
    known = json.loads((DOCS / "black-box-figures.json").read_text("utf-8"))
    assert black_box.page(known) in (DOCS / "your-classifier.md").read_text("utf-8")
    assert all(one["success"][0] >= 0.8 and one["questions"]["most"] <= 2_000 for one in known.values())
