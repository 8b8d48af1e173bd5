"""`rather bench`: what a spec asks is answered once, whatever happens, and gives the same tables."""

import csv
import io
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq
import pytest
import torch

from rather.bench.run import bench
from rather.config.errors import RatherError
from rather.hub.datasets import load_dataset
from rather.hub.generators import load_generator
from rather.io.png import unpng
from rather.methods.wachter import Wachter
from rather.metrics import METRICS, im1, im2, metric
from rather.report.benchmark import write_page

SPEC = """
name = "try"
what = "a try"
methods = [
    { method = "wachter", label = "w", settings = { steps = 3 } },
    { method = "attack", label = "a", settings = { steps = 2 } },
]
count = 4
batch_size = 2
seeds = [0, 1]
target = "next"
metrics = ["found", "confidence", "l1", "frechet", "evaluations"]
[[data]]
data = "digits"
"""


def written(folder: Path, text: str = SPEC, name: str = "spec.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def figures(folder: Path) -> list[dict[str, str]]:
    """All but what time a search took."""
    lines = csv.DictReader(io.StringIO((folder / "figures.csv").read_text()))
    return [line for line in lines if line["metric"] not in {"seconds", "memory"}]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of a method was given."""
    seen: list[int] = []
    search = Wachter.search

    def counted(self, classifier, x, goal, noise):
        seen.append(len(x))
        return search(self, classifier, x, goal, noise)

    monkeypatch.setattr(Wachter, "search", counted)
    return seen


class Killed(BaseException):
    pass


@pytest.mark.parametrize("commits", [1, 3])
def test_killed_after_some_commits_it_does_nothing_twice(tmp_path, calls, commits):
    spec = written(tmp_path)
    whole = bench(spec, runs=tmp_path / "whole")
    once = len(calls)
    assert once == 4  # of 4 images in batches of 2, for 2 seeds
    calls.clear()
    seen: list[int] = []

    def stop(done: int, _asked: int) -> None:
        seen.append(done)
        if len({*seen} - {0}) == commits:
            raise Killed

    with pytest.raises(Killed):
        bench(spec, runs=tmp_path / "again", progress=stop)
    again = bench(spec, runs=tmp_path / "again")
    assert len(calls) == once
    assert figures(again.folder) == figures(whole.folder)
    bench(spec, runs=tmp_path / "again")
    assert len(calls) == once


def test_killed_by_the_kernel_it_ends_with_the_same_tables(tmp_path):
    spec = written(tmp_path)
    code = f"""
import torch; torch.set_num_threads(1)
from rather.bench.run import bench
from pathlib import Path
def show(done, asked): print(done, flush=True)
bench({spec!r}, runs=Path({str(tmp_path / "killed")!r}), progress=show)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 6:
                break
        os.kill(process.pid, signal.SIGKILL)
    stored = sorted((tmp_path / "killed").glob("*/rows-*.parquet"))
    assert stored
    times = [file.stat().st_mtime_ns for file in stored]
    after = bench(spec, runs=tmp_path / "killed")
    assert [file.stat().st_mtime_ns for file in stored] == times
    assert figures(after.folder) == figures(bench(spec, runs=tmp_path / "whole").folder)


def test_a_run_of_another_benchmark_is_found(tmp_path, calls):
    bench(written(tmp_path), runs=tmp_path / "runs")
    calls.clear()
    other = SPEC.replace('"try"', '"other"').replace("seeds = [0, 1]", "seeds = [1]")
    result = bench(written(tmp_path, other, "other.toml"), runs=tmp_path / "runs")
    assert calls == []
    assert result.folder == tmp_path / "runs" / "bench-other"


def test_scores_are_measured_once(tmp_path, monkeypatch):
    spec = written(tmp_path)
    bench(spec, runs=tmp_path / "runs")
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("runs/*/scores-*.parquet")}
    assert len(kept) == 4
    monkeypatch.setattr("rather.bench.batch._call", lambda *_: pytest.fail("measured again"))
    bench(spec, runs=tmp_path / "runs")
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("runs/*/scores-*.parquet")} == kept


def test_another_version_of_a_metric_is_measured_again_and_only_what_is_asked(tmp_path, monkeypatch):
    text = SPEC.replace('"frechet", "evaluations"', '"evaluations"').replace("seeds = [0, 1]", "seeds = [0]")
    spec = written(tmp_path, text)
    bench(spec, runs=tmp_path / "runs")
    kept = {*tmp_path.glob("runs/*/scores-*.parquet")}
    assert {name for file in kept for name in pq.read_schema(file).names} == {
        *("id", "status", "evaluations", "confidence", "l1")
    }
    monkeypatch.setitem(METRICS, "l1", replace(METRICS["l1"], version=METRICS["l1"].version + 1))
    bench(spec, runs=tmp_path / "runs")
    assert len({*tmp_path.glob("runs/*/scores-*.parquet")} - kept) == len(kept) == 2


def test_all_methods_have_the_same_targets_whatever_the_seed(tmp_path):
    spec = written(tmp_path, SPEC.replace('"next"', '"random"'))
    result = bench(spec, runs=tmp_path / "runs")
    targets = [[row.target for row in unit.run.rows()] for unit in result.units]
    assert len(targets) == 4
    assert all(one == targets[0] for one in targets)


def test_what_cannot_be_computed_is_skipped_with_a_reason(tmp_path):
    text = SPEC.replace("methods = [", 'methods = [\n    "revise",').replace(
        'data = "digits"', 'data = "shapes"\n[[data]]\ndata = "celeba:{celeba}"\nclassifier = "{smile}"'
    )
    result = bench(written(tmp_path, text), runs=tmp_path / "runs")
    reasons = {(one.task, one.method): one.reason for one in result.skipped}
    assert "needs a generator" in reasons["shapes", "revise"]
    assert reasons["celeba:{celeba}", ""] == "needs --with celeba=... --with smile=..."
    assert {unit.method for unit in result.units} == {"w", "a"}
    assert "needs a generator" in (result.folder / "tables.md").read_text()


def test_a_new_metric_is_one_function(tmp_path):
    """The benchmark fills its parameters by their names; nothing else names it."""
    try:

        @metric(title="brighter", theme="distance", unit="share of the pixels", better="lower", version=1)
        def brighter(counterfactuals, queries):
            """Share of the pixels that became brighter."""
            return (counterfactuals > queries).flatten(1).double().mean(1)

        result = bench(
            written(tmp_path, SPEC.replace('"l1"', '"brighter"').replace("[0, 1]", "[0]")), runs=tmp_path / "runs"
        )
    finally:
        METRICS.pop("brighter", None)
    (estimate,) = (one for one in result.estimates if (one.method, one.metric, one.variant) == ("w", "brighter", "all"))
    assert 0 < estimate.value < 1
    assert "brighter ↓" in (result.folder / "tables.md").read_text()


def test_a_metric_without_its_net_is_skipped_and_not_zero(tmp_path):
    text = SPEC.replace('"frechet"', '"transfer", "attributes_changed"')
    result = bench(written(tmp_path, text), runs=tmp_path / "runs")
    assert {one.metric for one in result.estimates} == {"found", "confidence", "l1", "evaluations"}
    assert [one.reason for one in result.skipped] == [
        "transfer: no second classifier",
        "attributes_changed: no oracle of attributes",
    ]


def test_what_seeds_and_further_nets_say(tmp_path):
    names = ["identity", "s3", "im1", "im2", "diversity", "robustness_filter"]
    metrics = f"metrics = {names}".replace("'", '"')
    text = SPEC.replace(
        'data = "digits"',
        'data = "digits"\nsecond_classifier = "digits-ensemble"\nencoder = "digits-simsiam"\nfilter = "digits-ddpm"\n'
        'autoencoders = "digits-classwise"',
    )
    text = text.replace("steps = 3", "steps = 100")
    text = text.replace('metrics = ["found", "confidence", "l1", "frechet", "evaluations"]', metrics)
    result = bench(written(tmp_path, text), runs=tmp_path / "runs")
    found = {one.metric: one.value for one in result.estimates if one.method == "w"}
    assert [*found] == names
    assert found["diversity"] == pytest.approx(0, abs=1e-9)  # of a method that draws nothing
    assert 0.3 < found["s3"] < 1
    (unit, _) = (unit for unit in result.units if unit.method == "w")
    rows = [row for row in unit.run.rows() if row.status == "found"]
    x = torch.stack([unpng(row.image) for row in rows])
    query, target = (torch.tensor([int(getattr(row, key)) for row in rows]) for key in ("predicted", "target"))
    nets = load_generator("digits-classwise")
    assert found["im1"] == pytest.approx(float(im1(x, query, target, nets.autoencoders).mean()))
    assert found["im2"] == pytest.approx(float(im2(x, target, nets.autoencoders, nets.everything).mean()))
    assert found["identity"] in {0, 0.25, 0.5, 0.75, 1}
    assert found["robustness_filter"] in {0, 0.25, 0.5, 0.75, 1}


def test_answers_of_several_seeds_differ_where_they_ended_alike(tmp_path):
    text = SPEC.replace('data = "digits"', 'data = "digits"\nsecond_classifier = "digits-ensemble"')
    text = text.replace('{ method = "attack", label = "a", settings = { steps = 2 } }', '"dive"')
    text = text.replace('"frechet", "evaluations"', '"diversity"').replace("count = 4", "count = 3")
    result = bench(written(tmp_path, text), runs=tmp_path / "runs")
    rows = [[*unit.run.rows()] for unit in result.units if unit.method == "dive"]
    alike = [a.image != b.image for a, b in zip(*rows, strict=True) if a.status == b.status == "found"]
    figure = next(f for f in result.estimates if (f.method, f.metric, f.variant) == ("dive", "diversity", "main"))
    assert figure.images == len(alike)
    assert (figure.value > 0) == any(alike)


def test_exchanged_cells_are_looked_up_in_query_and_distractor(tmp_path):
    names = ["near_key_point", "same_key_point", "inside_object", "cell_agreement"]
    text = SPEC.replace('["found", "confidence", "l1", "frechet", "evaluations"]', str(names).replace("'", '"'))
    text = text.replace('{ method = "attack", label = "a", settings = { steps = 2 } }', '"goyal"')
    text = text.replace('data = "digits"', 'data = "shapes"').replace("count = 4", "count = 12")
    result = bench(written(tmp_path, text), runs=tmp_path / "runs")
    unknown = "it exchanges no cells between pictures that both show key points"
    assert [(one.method, one.reason) for one in result.skipped] == [
        ("w", f"near_key_point: {unknown}"),
        ("w", f"same_key_point: {unknown}"),
        ("", "inside_object: it is not known which pixels of queries and distractors show the object"),
        ("w", "cell_agreement: no image of which all seeds exchange cells"),
    ]
    data = load_dataset("shapes")
    keys = {
        source.id(n): None if cell is None else 4 * cell[0] + cell[1]
        for source in (data.test, data.train)
        for n in range(len(source))
        for cell in [source.key_cell(n)]
    }
    shares: dict[str, list[float]] = {}
    first: dict[str, list[int]] = {}
    for unit in result.units:
        for row in unit.run.rows() if unit.method == "goyal" else ():
            if row.image is None:
                continue
            first.setdefault(row.id, []).append(row.info["edits"][0][0])
            both = keys[row.id], keys[row.info["distractor"]]
            if row.status == "found" and None not in both:
                shares.setdefault(row.id, []).append(fmean((i, j) == both for i, j in row.info["edits"]))
    by_name = {(f.metric, f.variant): f for f in result.estimates}
    assert {f.method for f in result.estimates} == {"goyal"}
    assert len(shares) >= 3
    assert by_name["same_key_point", "main"].images == len(shares)
    assert by_name["same_key_point", "main"].value == pytest.approx(fmean(map(fmean, shares.values())))
    assert by_name["near_key_point", "main"].value >= by_name["same_key_point", "main"].value
    assert by_name["cell_agreement", "main"].value == fmean(a == b for a, b in first.values())


def test_a_wrong_setting_of_a_method_is_not_skipped(tmp_path):
    with pytest.raises(RatherError, match="stesp"):
        bench(written(tmp_path, SPEC.replace("steps = 3", "stesp = 3")), runs=tmp_path / "runs")


def test_tables_are_safe_from_the_names_that_a_user_gives(tmp_path):
    text = SPEC.replace('label = "w"', r'label = "<b>50 % | a_b & \\x</b>"')
    result = bench(written(tmp_path, text), runs=tmp_path / "runs")
    tex, md = ((result.folder / f"tables.{kind}").read_text() for kind in ("tex", "md"))
    assert r"50 \% | a\_b \& \textbackslash{}x" in tex
    assert "<b>" not in md
    write_page(result)
    page = result.page.read_text()
    assert "<b>50" not in page
    assert "<script src" not in page
    assert 'http-equiv="Content-Security-Policy"' in page


def test_the_command_prints_json_and_continues(tmp_path, capsys):
    from rather.commands.cli import main

    spec = written(tmp_path)
    printed = []
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            main(["bench", spec, "--runs", str(tmp_path / "r"), "--out", str(tmp_path / "o"), "--json"])
        assert stop.value.code == 0
        printed.append(capsys.readouterr().out)
    assert '"runs": 4' in printed[1]
    assert (tmp_path / "o" / "tables.md").exists()
    with pytest.raises(SystemExit) as stop:
        main(["bench", "no-such"])
    assert stop.value.code == 2
