"""What anyone may add: one file, or a package's entry point, and each works by name everywhere."""

import hashlib
import json
import sys
from importlib import metadata

import pytest

import rather.methods
from rather.bench.run import bench
from rather.commands.cli import main
from rather.config.errors import RatherError
from rather.config.settings import RENAMED
from rather.hub import extensions
from rather.hub.methods import list_methods, method_class
from rather.hub.metrics import metric_named
from rather.hub.trusted import allow, trusted
from rather.metrics import METRICS, load_metrics, metric
from rather.runs.store import Run

METHOD = """'''White as far as the settings say.'''

import torch

from rather import Method, SearchResult


class Whiten(Method):
    '''Add white.'''

    amount: float = 0.5
    '''How much.'''

    def search(self, classifier, x, goal, noise):
        none = torch.zeros(len(x), dtype=torch.long)
        return SearchResult(images=(x + self.amount).clamp(0, 1), steps=none, evaluations=none)
"""
METRIC = """
from rather.metrics import metric


@metric(title="brighter", theme="distance", unit="share of the pixels", better="lower", version=1)
def brighter(counterfactuals, queries):
    '''Share of the pixels that became brighter.'''
    return (counterfactuals > queries).flatten(1).double().mean(1)


def plain():
    pass
"""
SPEC = """
name = "mine"
count = 2
target = "next"
metrics = ["l1", METRIC]
methods = [{ method = "wachter", settings = { steps = 20 } }]
[[data]]
data = "digits"
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([*words])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def _own_metrics():
    before = dict(load_metrics())
    yield
    METRICS.clear()
    METRICS.update(before)


def consent(file):
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_a_method_is_one_file_in_the_folder_of_the_methods(tmp_path, run):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "whiten.py").write_text(METHOD)
    rather.methods.__path__.append(str(tmp_path / "more"))
    try:
        assert "White as far" in run("list", "methods")[1]
        assert "How much." in run("describe", "whiten")[1]
        words = ["--method", "whiten", "--set", "amount=0.4", "--count", "2", "--out", "run", "--json"]
        code, out, err = run("explain", *words)
        assert (code, err) == (0, "")
        assert json.loads(out)["queries"] == 2
        assert Run.open(tmp_path / "run").config["method"] == {"name": "whiten", "amount": 0.4}
        assert "Did you mean amount" in run("explain", "--method", "whiten", "--set", "amuont=1")[2]
    finally:
        rather.methods.__path__.remove(str(tmp_path / "more"))
        sys.modules.pop("rather.methods.whiten", None)


def test_a_method_in_a_file_of_yours_runs_with_consent(tmp_path, run):
    file = tmp_path / "mine.py"
    file.write_text(METHOD)
    words = ["explain", "--method", "mine.py:Whiten", "--set", "amount=0.4", "--count", "2", "--json"]
    code, _, err = run(*words)
    assert code == 4
    assert f"--trust {consent(file)}" in err
    code, out, _ = run(*words, "--trust", consent(file))
    assert code == 0
    assert json.loads(out)["queries"] == 2
    assert run(*words)[0] == 4  # consent is for one call


@pytest.mark.usefixtures("_own_metrics")
def test_a_metric_in_a_file_of_yours_is_benchmarked_with_consent(tmp_path, run):
    file = tmp_path / "mine.py"
    file.write_text(METRIC)
    (tmp_path / "spec.toml").write_text(SPEC.replace("METRIC", '"mine.py:brighter"'))
    assert f"--trust {consent(file)}" in run("bench", "spec.toml")[2]
    code, out, _ = run("bench", "spec.toml", "--trust", consent(file))
    assert code == 0
    assert "brighter" in out
    with allow([consent(file)]):
        for name, why in [("plain", "decorator"), ("absent", "no absent there")]:
            with pytest.raises(RatherError, match=why):
                metric_named(f"{file}:{name}")


@pytest.mark.usefixtures("_own_metrics")
def test_a_metric_of_another_package_is_benchmarked_by_its_entry_point(tmp_path, monkeypatch, run):
    @metric(title="brighter", theme="distance", unit="share of the pixels", better="lower", version=1)
    def mine(counterfactuals, queries):
        """Share of the pixels that became brighter."""
        return (counterfactuals > queries).flatten(1).double().mean(1)

    point = metadata.EntryPoint("bright", "theirs:mine", "rather.metrics")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _self: mine)
    monkeypatch.setattr(
        extensions,
        "entry_points",
        lambda group, name="bright": [point] * ((group, name) == ("rather.metrics", "bright")),
    )
    assert "theirs:mine" in run("list", "metrics")[1]
    (tmp_path / "spec.toml").write_text(SPEC.replace("METRIC", '"bright"'))
    result = bench(str(tmp_path / "spec.toml"), runs=tmp_path / "runs")
    assert {one.metric for one in result.estimates} == {"l1", "mine"}


@pytest.mark.usefixtures("_own_metrics")
def test_a_metric_of_yours_does_not_replace_one_of_the_package(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(METRIC.replace("brighter", "l1"))
    before = metric_named("l1")
    with allow([consent(file)]), pytest.raises(RatherError, match="there is a metric l1 already"):
        metric_named(f"{file}:l1")
    assert metric_named("l1") is before


def test_consent_ends_with_its_block_and_is_for_one_content(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(METHOD)
    with allow([consent(file)]):
        assert trusted(f"{file}:Whiten").__name__ == "Whiten"
        file.write_text(METHOD + "\n")
        with pytest.raises(RatherError, match="only with consent"):
            trusted(f"{file}:Whiten")
        with allow([consent(file)]):
            assert trusted(f"{file}:Whiten").__name__ == "Whiten"
    with pytest.raises(RatherError, match="only with consent"):
        trusted(f"{file}:Whiten")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_of_a_setting_says_the_new_one(old, new):
    having = [kind for name in list_methods() for kind in [method_class(name)] if {*new.split()} & {*kind.model_fields}]
    for kind in having:
        if old not in kind.model_fields:
            with pytest.raises(RatherError, match="|".join(f"Say {name}" for name in new.split())):
                kind.of({old: 1})
    assert having or old == "measures"  # which is a benchmark's
