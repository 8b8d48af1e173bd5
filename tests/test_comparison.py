"""A comparison: the same question to every method, and the page that shows their answers side by side."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import rather.report.comparison
from analytic import pictures, spatial
from rather.config.errors import RatherError
from rather.core import Classifier
from rather.data.source import InMemory
from rather.io.png import png
from rather.methods.wachter import Wachter
from rather.report.comparison import write_comparison
from rather.report.report import write_report
from rather.runs.comparison import is_comparison, open_comparison, start_comparison
from rather.runs.runner import Job, answer, choose_goals, run_config, with_same_goals
from rather.runs.store import Row, Run
from test_report import ALL_LOADED, PAYLOADS, QUESTION, browser, found, harmless, hostile_rows, read, visit

assert browser, "the fixture is used by its name"


def column(folder: Path, rows: list[Row], asked: list[str], **told: object) -> Run:
    run = Run.start(folder, QUESTION | told, asked, max(len(rows), 1))
    if rows:
        run.commit(rows)
    return run


def compared(folder: Path, columns: dict[str, list[Row]], **told: object) -> Path:
    """A comparison of these rows; the first column has them all."""
    asked = [row.id for row in next(iter(columns.values()))]
    for place, (label, rows) in zip(start_comparison(folder, list(columns)), columns.items(), strict=True):
        name = label.partition("@")[2] or "net"
        write_report(column(place, rows, asked, classifier={"name": name, "sha256": "ab"}, **told))
    return folder


def already(n: int) -> Row:
    return found(n, status="already", code="ALREADY-TARGET", image=None, after=[], predicted="fox")


# The same question


def work(classifier: Classifier, **changes: object) -> Job:
    data = InMemory("greys", ("left",), pictures(40), [0] * 40, [f"grey-{n}" for n in range(40)])
    told = {
        "source": data,
        "indices": range(40),
        "classifier": classifier,
        "method": Wachter(steps=2),
        "references": None,
        "target": "random",
        "confidence": 0.25,
        "seed": 0,
    }
    return Job(**told | changes)


def test_goals_are_those_that_a_run_of_its_own_would_choose():
    for target in ("random", "next", "prototype", "left"):
        own = work(spatial(), target=target)
        goals = choose_goals(own)
        rows = answer(own, range(40))
        assert {row.id: row.target for row in rows} == {name: goal for name, (goal, _) in goals.items()}
        assert [row.confidence for row in rows] == pytest.approx([goals[row.id][1] for row in rows])
        assert len(set(goals)) == 40


def mixed_up() -> Classifier:
    """The classes of `spatial` in another order, and other answers."""
    net = spatial()
    turned = nn.Sequential(net.head, nn.Linear(3, 3, bias=False))
    turned[1].weight.data = torch.tensor([[0.0, 0, -1], [0.5, 0, 0], [0, 1, 0]])
    return Classifier(net.body, turned, classes=("top", "bright", "left"), shape=(1, 6, 6), name="mixed up")


def test_goals_are_classes_by_name_whatever_their_order():
    goals = choose_goals(work(spatial()))
    rows = answer(work(mixed_up(), goals=goals, target="random"), range(40))
    assert {row.id: row.target for row in rows} == {name: goal for name, (goal, _) in goals.items()}
    there = [row for row in rows if row.status == "already"]
    assert there
    assert all(row.code == "ALREADY-TARGET" and row.predicted == row.target for row in there)


def test_a_name_that_looks_like_a_number_is_no_number_elsewhere():
    two, three = (
        Classifier(nn.Identity(), nn.Sequential(nn.Flatten(), nn.Linear(36, len(names))), classes=names, **more)
        for names, more in (
            (("2", "1"), {"shape": (1, 6, 6), "name": "digits"}),
            (("a", "b", "c"), {"shape": (1, 6, 6), "name": "letters"}),
        )
    )
    works = [work(two, target="2"), work(three)]
    with pytest.raises(RatherError, match=r"2.*letters knows 3 classes") as refused:
        with_same_goals(works)
    assert refused.value.code == "CFG-CLASS"
    (row,) = answer(replace(works[1], goals=choose_goals(works[0])), range(1))
    assert (row.status, row.code) == ("failed", "CFG-CLASS")
    assert two.class_named("2") == 0
    assert three.class_index("2") == 2  # a person's own word may be a number


def test_other_goals_are_another_run():
    goals = choose_goals(work(spatial()))
    told = [
        repr(run_config(work(spatial(), goals=some), "greys"))
        for some in (None, goals, {**goals, "grey-0": ("top", 0.25), "grey-1": ("top", 0.25)})
    ]
    assert len(set(told)) == 3


def test_a_picture_that_could_not_be_read_has_no_goal_and_fails_alone(monkeypatch):
    goals = choose_goals(work(spatial()))
    kept = InMemory.read

    def sometimes(self, index):
        if index in (3, 35):
            raise RatherError("IMG-TRUNCATED", where="here")
        return kept(self, index)

    with monkeypatch.context() as patched:
        patched.setattr(InMemory, "read", sometimes)
        some = choose_goals(work(spatial()))
    assert some.keys() == goals.keys() - {"grey-3", "grey-35"}
    rows = answer(work(spatial(), goals=some), range(6))
    assert [row.code for row in rows if row.status == "failed"] == ["IMG-CHANGED"]
    assert rows[3].status == "failed"


# The folder


def test_the_same_columns_are_the_same_folders(tmp_path):
    labels = ["wachter", "revise@a/b.safetensors"]
    places = start_comparison(tmp_path / "c", labels)
    assert [place.name for place in places] == ["1-wachter", "2-revise-a-b-safetensors"]
    assert start_comparison(tmp_path / "c", labels) == places
    assert is_comparison(tmp_path / "c")
    with pytest.raises(RatherError, match="comparison of wachter") as refused:
        start_comparison(tmp_path / "c", labels[::-1])
    assert refused.value.code == "RUN-MISMATCH"
    for place in places:
        column(place, [found()], ["photo-0000"])
    assert list(open_comparison(tmp_path / "c")) == labels
    column(tmp_path / "run", [found()], ["photo-0000"])
    assert not is_comparison(tmp_path / "run")
    with pytest.raises(RatherError, match="single run"):
        start_comparison(tmp_path / "run", labels)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"columns": {}}', '{"columns": {"a": "../b"}}', "\xff"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "comparison.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RatherError) as refused:
        open_comparison(tmp_path)
    assert refused.value.code == "RUN-DAMAGED"
    assert "comparison.json" in str(refused.value)


def test_a_damaged_picture_is_named(tmp_path):
    folder = compared(tmp_path / "c", {"wachter": [found()], "schut": [found()]})
    (shard,) = (folder / "2-schut").glob("rows-*")
    shard.unlink()
    Run.open(folder / "2-schut").commit([found(image=b"no picture")])
    with pytest.raises(RatherError, match="2-schut") as refused:
        write_comparison(folder)
    assert refused.value.code == "RUN-DAMAGED"


# The page


def test_the_page_says_what_each_method_did(tmp_path):
    rows = [found(0), found(1)]
    other = [found(0, status="not_found", code="BUDGET", after=[0.6, 0.1, 0.3], evaluations=8), already(1)]
    file = write_comparison(compared(tmp_path / "c", {"wachter": rows, "schut@twin": other}))
    page = read(file)
    words = page.words
    assert "2 methods side by side" in words
    assert "the same 2 images" in words
    assert re.search(r"wachter net 2 of 2 \S+ % 20 0\.5 s report", words)
    assert re.search(r"schut twin 0 of 2 , 1 already at the target . 8 0\.5 s report", words)
    assert "cat → fox" in words
    assert words.count("4 % → 97 %") == 2
    assert "4 % → 30 % not found" in words
    assert "predicts fox The classifier says so already." in words
    reports = [link["href"] for link in page.all("a") if link["href"] != "comparison.html"]
    assert reports == ["1-wachter/report.html", "2-schut-twin/report.html"]
    assert all((file.parent / address).is_file() for address in reports)


def test_the_figures_are_medians_of_what_was_found_and_searched(tmp_path):
    black = torch.zeros(1, 8, 8)

    def row(n, change, **more):
        image = black.clone()
        image.view(-1)[: round(64 * change)] = 1
        return found(n, query=png(black), image=png(image), **more)

    rows = [row(0, 0.25, evaluations=1), row(1, 0.5, evaluations=2), row(2, 1, status="not_found", code="X")]
    words = read(write_comparison(compared(tmp_path / "c", {"a": rows, "b": rows}))).words
    assert "a 2 of 3 38 % 2 0.5 s report" in words


def test_a_page_is_written_of_what_there_is(tmp_path):
    rows = [found(n) for n in range(3)]
    file = write_comparison(compared(tmp_path / "c", {"wachter": rows, "schut": rows[1:2], "goyal": []}))
    words = read(file).words
    assert "schut 1 of 3 , 2 not done yet" in words
    assert "goyal 0 of 3 , 3 not done yet \N{EN DASH} \N{EN DASH} \N{EN DASH}" in words
    assert words.count("not done yet") == 2 + 5
    bad = Row(id="b", where="bad.png", status="failed", code="IMG-TRUNCATED")
    words = read(write_comparison(compared(tmp_path / "d", {"wachter": [bad], "schut": [bad]}))).words
    assert words.count("Image file ends early") == 2
    assert "1 failed" in words


def test_prototypes_are_told_as_such(tmp_path):
    rows = [found(target="cat")]
    target = {"name": "prototype", "goals": "ab"}
    words = read(write_comparison(compared(tmp_path / "c", {"a": rows, "b": rows}, target=target))).words
    assert "was surer of its prediction" in words
    assert "cat, surer" in words


def test_many_images_are_pages_that_lead_to_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(rather.report.comparison, "PICTURES_A_PAGE", 40)
    rows = [found(n) for n in range(20)]
    file = write_comparison(compared(tmp_path / "c", {"wachter": rows, "schut": rows}))
    names = ["comparison.html", "comparison-2.html", "comparison-3.html"]
    assert sorted(page.name for page in file.parent.glob("*.html")) == sorted(names)
    seen = []
    for name in names:
        page = read(file.parent / name)
        assert {link["href"] for link in page.all("a")} >= set(names)
        seen += re.findall(r"photos/\S+?\.\w+|photo-\d+", page.words)
    assert seen == [row.place for row in rows]
    assert "20 of 20" in read(file).words


def hostile(folder: Path) -> Path:
    """A comparison whose every text is a payload."""
    told = {"classes": PAYLOADS[:2], "data": PAYLOADS[0], "target": PAYLOADS[0], "seed": PAYLOADS[0]}
    return compared(folder, {f"{text}@{text}": hostile_rows(PAYLOADS) for text in PAYLOADS[:3]}, **told)


def test_no_text_of_a_run_is_more_than_text(tmp_path):
    file = write_comparison(hostile(tmp_path / "<img src=x onerror=alert(1)>"))
    address = r"|comparison(-\d+)?\.html|[\w-]+/report(/index)?\.html|data:image/png;base64,.*"
    for part in file.parent.glob("*.html"):
        harmless(read(part), address, styles=2)


def test_the_page_opens_from_disk_without_a_fault(tmp_path, browser):
    rows = [found(0), found(1), found(2, status="not_found", code="BUDGET"), already(3)]
    file = write_comparison(compared(tmp_path / "c", {"wachter": rows, "schut@twin": rows[:3]}))
    page, faults = visit(browser, file)
    loaded = page.evaluate(ALL_LOADED)
    assert len(loaded) == 4 + 2 * 3 * 2
    assert all(loaded)
    line = page.locator("#line-1")
    query = line.locator("img[data-role=query]").get_attribute("src")
    second = line.locator("button.look").nth(1)
    own = second.locator("img").get_attribute("src")
    second.hover()
    assert second.locator("img").get_attribute("src") == query
    second.press("Enter")
    stage = page.locator("dialog .stage img")
    assert [stage.nth(n).get_attribute("src") for n in range(2)] == [query, own]
    assert "schut@twin: found; the probability of fox went from" in page.locator("dialog .sentence").text_content()
    page.keyboard.press("Escape")
    page.locator("#show-changes").check()
    assert not second.is_visible()
    assert line.locator(".cell .of-changes img").nth(1).is_visible()
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert faults == []
    page.close()


def test_a_hostile_comparison_does_nothing_in_a_browser(tmp_path, browser):
    page, faults = visit(browser, write_comparison(hostile(tmp_path / "c")))
    assert all(page.evaluate(ALL_LOADED))
    page.locator("button.look").first.click()
    assert faults == []
    page.close()
