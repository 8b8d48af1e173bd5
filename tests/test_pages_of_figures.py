"""Pages of figures: each is what its figures say, and a part of these makes a page too."""

import importlib
import json
from pathlib import Path

import pytest

from rather.bench.spec import read_spec

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {
    "latent-figures": "latent_page",
    "audit-figures": "audits_page",
    "causal-figures": "causal_page",
    "faces-figures": "faces_page",
    "diffusion-figures": "diffusion_page",
}


@pytest.fixture(params=PAGES)
def made(request, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS.parent / "benchmarks"))
    known = json.loads((DOCS / f"{request.param}.json").read_text("utf-8"))
    return importlib.import_module(PAGES[request.param]).page, known, request.param


def test_the_page_is_that_of_the_figures(made):
    page, known, name = made
    assert page(known) == (DOCS / f"{name}.md").read_text("utf-8")


def test_claims_are_those_of_the_figures(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(DOCS.parent / "benchmarks"))
    claims = importlib.import_module("claims")
    assert claims.page(DOCS) == (DOCS / "claims.md").read_text("utf-8"), "run: python benchmarks/claims.py"
    (tmp_path / "goyal-figures.md").write_text("")
    rows = [line for line in claims.page(tmp_path).splitlines() if line.startswith("| ")]
    lines = [line for line in rows if not line.startswith("| claim |")]
    assert len(lines) == len(claims.CLAIMS)
    assert all("| not measured |" in line for line in lines)  # of no figures nothing is said


def test_the_leaderboard_keeps_what_a_person_wrote(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(DOCS.parent / "benchmarks"))
    leaderboard = importlib.import_module("leaderboard")
    monkeypatch.setattr(leaderboard, "read_spec", lambda _: read_spec("tiny"))
    folders = ["--out", str(tmp_path), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["leaderboard.py", "--count", "2", "--seeds", "1", *folders])
    leaderboard.main()
    file = tmp_path / "leaderboard.md"
    made = file.read_text("utf-8")
    assert "### answers" in made
    assert "--count 2 --seeds 1`: 2 images of each data set, 1 seeds, 3 runs" in made
    file.write_text(made.replace("Not written yet.", "Nothing won.", 1), "utf-8")
    leaderboard.main()
    assert file.read_text("utf-8") == made.replace("Not written yet.", "Nothing won.", 1)
    known = json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))
    assert {tuple(one[:2]) for one in known["figures"]} >= {("digits", "wachter"), ("digits", "goyal")}


def test_every_section_alone_makes_a_page(made):
    page, known, name = made
    if name == "latent-figures":
        pytest.skip("its sections are judged beside each other")
    for section in known.keys() - {"about"}:
        about = {section: known["about"][section]}
        assert page({"about": about, section: known[section]}).startswith("# ")
