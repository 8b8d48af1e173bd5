"""The report: what it says of a run, that no text in it is more than text, and that a browser shows it."""

import base64
import functools
import hashlib
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rather.report.report
from rather.config.errors import RatherError
from rather.hub.methods import list_methods
from rather.io.png import png, unpng
from rather.report.cards import FRAMES, card, percent, plain, reason
from rather.report.charts import charts
from rather.report.report import ROWS_A_PAGE, write_report
from rather.runs.store import Row, Run

CLASSES = ["cat", "dog", "fox"]
QUESTION = {
    "rather": "0",
    "data": "photos",
    "classifier": {"name": "net", "sha256": "ab" * 32},
    "classes": CLASSES,
    "method": {"name": "wachter", "steps": 3, "inner": {"name": "goyal", "lr": 0.3}},
    "target": "random",
    "confidence": 0.25,
    "seed": 7,
}

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    '" onerror="alert(1)" x="',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "{{7*7}}{% raise %}{# x #}",
    "${7*7}<%= 7*7 %>",
    "<iframe src=https://example.org></iframe>",
    "<link rel=stylesheet href=//example.org/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<base href=https://example.org/>",
    "<form action=https://example.org><button>x",
    "<a href=https://example.org ping=//example.org>x</a>",
    "<object data=//example.org></object><embed src=//example.org>",
    "<!-- --!><img src=x onerror=alert(1)>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;&#60;b&#62;",
    "<math><mtext><img src=x onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "\u202egpj.exe\u0000\u0007\x1b[31m\u2028",
    "../../../etc/passwd",
    "<img src=//example.org/x.png>",
    "<style>@import '//example.org'</style>",
    "x" * 3000,
    "<dialog open>" * 3,
    "<IMG SRC=x OnErRoR=alert(1)>",
    "<img src='x'onerror='alert(1)'>",
    "<body onload=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<svg><script href=//example.org/x.js /></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\u003cscript\u003e\\u003cscript\\u003e<\u0000script>",
]


class Page(HTMLParser):
    """What a browser would make of a page, as far as these tests ask."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, list[str]] = {"script": [], "style": []}  # of each
        self.text, self._inside = "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in self.content else ""
        if self._inside:
            self.content[tag].append("")
        if tag not in {"b", "bdi"}:
            self.text += " "

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.content[self._inside][-1] += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.replace("\u202f", " ").split())


@functools.cache
def picture(seed: int, channels: int = 1, side: int = 8) -> bytes:
    return png(torch.rand(channels, side, side, generator=torch.Generator().manual_seed(seed)))


def found(n: int = 0, **fields) -> Row:
    return Row(
        **{
            "id": f"photo-{n:04d}",
            "where": f"photos/{n}.png",
            "status": "found",
            "label": "cat",
            "predicted": CLASSES[n % 2],
            "target": "fox",
            "before": [0.9, 0.06, 0.04],
            "after": [0.02, 0.01, 0.97],
            "steps": 10 * (n + 1),
            "evaluations": 20,
            "seconds": 0.5,
            "query": picture(n % 3),
            "image": picture(n % 3 + 10),
        }
        | fields
    )


def run_of(folder: Path, rows: list[Row], question=None, asked=None) -> Run:
    run = Run.start(folder, question or QUESTION, asked or [row.id for row in rows], max(len(rows), 1))
    if rows:
        run.commit(rows)
    return run


def read(file: Path) -> Page:
    return Page(file.read_text("utf-8"))


def written(tmp_path: Path, *rows: Row) -> str:
    return read(write_report(run_of(tmp_path / "run", list(rows)))).words


# What it says


FAILED = {"status": "not_found", "code": "BUDGET"}
#: Rows, what their report says (a line each), and what it does not say.
SAYS = {
    "found": (
        [found()],
        f"""A change was found for 1 of 1 image
        wachter searched for a change
        {list_methods()["wachter"]}
        Why cat rather than fox?
        With this change the classifier predicts fox (97 %) instead of cat (90 %).
        class before after cat 90 % 2 % fox 4 % 97 % dog 6 % 1 %
        classifier net method wachter data photos target random confidence 0.25 seed 7
        method, inner, lr 0.3
        classifier, sha256 {"ab" * 32}
        classes cat, dog, fox""",
        "prediction is wrong",
    ),
    "prototype": (
        [found(target="cat", after=[0.97, 0.02, 0.01])],
        """What would make the classifier surer of cat?
        With this change the classifier is 97 % sure of cat, instead of 90 %.""",
        "predicts cat",
    ),
    "not found": (
        [found(**FAILED, after=[0.5, 0.2, 0.3], info={"flipped_in_features": False})],
        """A change was found for 0 of 1 image
        No counterfactual within the budget; the best attempt is shown. The probability of fox went from 4 % to 30 %.
        flipped in features 0 %""",
        "The edited features",
    ),
    "found in the features alone": (
        [found(**FAILED, info={"flipped_in_features": True})],
        "The edited features reach the target, but the picture made from them, shown here, does not.",
        "No counterfactual within the budget",
    ),
    "others with their reasons": (
        [
            found(),
            found(1, status="already", code="ALREADY-TARGET", image=None, after=[]),
            Row(id="b-1", where="photos/bad.png", status="failed", code="IMG-TRUNCATED"),
            Row(id="b-2", where="photos/worse.png", status="failed", code="X", message="the disk said no"),
        ],
        f"""A change was found for 1 of 1 image
        1 already at the target, 2 failed
        photos/1.png photo-0001 already {reason(found(status="already", code="ALREADY-TARGET"))} ALREADY-TARGET
        photos/bad.png b-1 failed Image file ends early IMG-TRUNCATED
        photos/worse.png b-2 failed The disk said no X""",
        "not done yet",
    ),
    "figures of the run": (
        [
            found(0, info={"edits": [[1, 2]], "flipped_in_features": True}),
            found(1, info={"edits": [[1, 2], [3, 4]], "flipped_in_features": False}),
            found(2, **FAILED, info={"edits": 6, "flipped_in_features": True}),
        ],
        """found 66.7 %
        steps, median 20
        classifier evaluations, median 20
        time per image, median 0.5 s
        edits, mean 3.00
        flipped in features 66.7 %""",
        "not done yet",
    ),
    "a mistake": ([found(label="dog")], "label dog, the prediction is wrong", "not found (BUDGET)"),
    "no label": ([found(label=None)], "photos/0.png", "prediction is wrong"),
    "info": (
        [found(info={"cells_used": [1, 2.34567], "note": "n" * 200, "proved": None})],
        f"""cells used [1, 2.35]
        {"n" * 120}…
        {"n" * 200}
        proved \N{EN DASH}""",
        "cells_used",
    ),
}


@pytest.mark.parametrize("case", SAYS)
def test_what_a_report_says(tmp_path, case):
    rows, expected, absent = SAYS[case]
    words = written(tmp_path, *rows)
    for text in expected.splitlines():
        assert text.strip() in words
    assert absent not in words


def test_an_unfinished_run_says_what_is_missing(tmp_path):
    run = run_of(tmp_path / "some", [found()], asked=["photo-0000", "photo-0001", "photo-0002"])
    assert "2 not done yet" in read(write_report(run)).words
    words = read(write_report(run_of(tmp_path / "none", [], asked=["a"]))).words
    assert "No image was searched" in words
    assert "1 not done yet" in words


def test_a_configuration_of_another_shape_is_no_error(tmp_path):
    run = run_of(tmp_path, [found()], question={"note": None})
    assert "With this change the classifier predicts fox" in read(write_report(run)).words


def test_the_mean_change_is_that_of_the_found(tmp_path):
    black, grey, white = (png(torch.full((1, 2, 2), value)) for value in (0.0, 0.2, 1.0))
    rows = [found(0, query=black, image=grey), found(1, query=black, image=white, **FAILED)]
    assert "pixel change of the found, mean 20 %" in written(tmp_path, *rows)


def test_bars_are_as_long_as_their_probabilities(tmp_path):
    page = read(write_report(run_of(tmp_path, [found()])))
    widths = [tag["width"] for tag in page.all("rect") if tag.get("class") in {"before", "after"}]
    assert [float(width) for width in widths] == [90, 2, 4, 97, 6, 1]


def test_pairs_come_in_the_order_of_the_classes(tmp_path):
    page = read(write_report(run_of(tmp_path, [found(1), found(0, target="dog"), found(2)])))
    links = [tag["href"] for tag in page.all("a") if "pair" in (tag["href"] or "")]
    assert links == ["report.html#pair-0", "report.html#pair-1", "report.html#pair-2"]
    assert re.findall(r"Why (\w+) rather than (\w+)", page.text) == [("cat", "dog"), ("cat", "fox"), ("dog", "fox")]


@given(st.floats(0, 1))
def test_a_percentage_is_short_and_not_off_by_more_than_it_shows(p):
    told = percent(p)
    number = float(re.sub(r"[^\d.]", "", told))
    assert len(told) <= 8
    assert number == pytest.approx(100 * p, abs=0.51)
    assert ("<" in told) == (p < 0.0005)
    assert (">" in told) == (p > 0.9995)


def test_plain_data_is_text_and_what_is_not_a_number_a_dash():
    assert plain({"a_b": [True, None, "x", 1, 0.5, ["y", "z"]]}) == "a b: [yes, \N{EN DASH}, x, 1, 0.5, y, z]"
    assert percent(float("nan")) == "\N{EN DASH}"


def test_every_reason_is_a_sentence():
    assert reason(Row(id="", where="", status="failed", code="NEVER-HEARD-OF")) == "NEVER-HEARD-OF"
    assert reason(Row(id="", where="", status="failed", code="IMG-ALPHA")) == "Image is partly transparent"
    assert reason(Row(id="", where="", status="failed", code="BUDGET", message="x")).startswith("No counterf")


# Its pictures


def kept(row: Row) -> tuple[dict[str, bytes], object]:
    files: dict[str, bytes] = {}

    def place(name: str, data: bytes) -> str:
        assert name not in files
        files[name] = data
        return name

    return files, card(row, CLASSES, place)


def test_query_and_counterfactual_are_the_stored_bytes():
    row = found()
    files, shown = kept(row)
    assert files["photo-0000.query.png"] == row.query
    assert files["photo-0000.counterfactual.png"] == row.image
    assert files["photo-0000.change.png"] == files[shown.look.difference.src]
    _, shown = kept(found(query=picture(0, 1), image=picture(1, 3)))  # of different shape
    assert (shown.look.difference, shown.look.change) == (None, None)


@pytest.mark.parametrize(("side", "width", "pixelated"), [(28, 168, True), (64, 192, True), (224, 176, False)])
def test_small_pictures_are_enlarged_by_a_whole_number_and_large_ones_scaled_down(side, width, pixelated):
    _, shown = kept(found(query=picture(0, 3, side), image=picture(1, 3, side)))
    assert (shown.look.query.width, shown.look.query.height, shown.look.query.pixelated) == (width, width, pixelated)


def test_the_path_comes_first_as_one_strip_of_at_most_so_many_frames():
    row = found(artifacts={"answers": [picture(1)] * 3, "path": [picture(n) for n in range(30)]})
    files, shown = kept(row)
    assert [strip.name for strip in shown.strips] == ["path", "answers"]
    path = shown.strips[0]
    assert path.width == FRAMES * 56 + (FRAMES - 1) * 7
    assert path.alt == "path: 30 pictures"
    assert set(files) == {f"photo-0000.{r}.png" for r in ("query", "counterfactual", "change", "path", "answers")}


def test_attention_is_drawn_on_the_picture_that_it_is_named_after():
    attention = png(torch.ones(1, 8, 8))
    row = found(
        artifacts={
            "query_attention": [attention, attention],
            "distractor": [picture(5)],
            "distractor_attention": [attention],
            "lonely_attention": [attention],
        }
    )
    files, shown = kept(row)
    assert [strip.name for strip in shown.strips] == ["query attention", "distractor attention", "lonely attention"]
    drawn = unpng(files["photo-0000.distractor_attention.png"])
    assert drawn.shape == (3, 224, 224)
    assert torch.equal(drawn[0, 14::28, 14::28], unpng(picture(5))[0])
    assert files["photo-0000.lonely_attention.png"] == attention


@pytest.mark.parametrize(
    "damage",
    [
        {"image": b"no picture"},
        {"query": picture(0)[:40]},
        {"artifacts": {"path": [picture(0), picture(1)[:50]]}},
        {"artifacts": {"distractor": [b"no picture"]}},
    ],
)
def test_a_damaged_picture_in_the_store_is_named(tmp_path, damage):
    run = run_of(tmp_path, [found(**damage)])
    (shard,) = tmp_path.glob("rows-*.parquet")
    with pytest.raises(RatherError, match="photo-0000") as told:
        write_report(run)
    assert told.value.code == "RUN-DAMAGED"
    assert told.value.where == str(shard)


# Its charts

CURVES = {
    "search path": {
        "probability": {"together": [0.0, 0.25, 1.0], "members": [[0.0, 0.5, 1.0], [0.0, 0.125, 1.0]]},
        "uncertainty": {"aleatoric": [0.0, 0.6, 0.1], "epistemic": [0.0, 0.2, 0.0]},
    },
    "interpolation": {
        "image space": {"together": [0.0, 1.0], "members": []},
        "latent space": {"together": [0.0, 0.5], "members": []},
    },
}


def test_a_line_goes_where_its_numbers_are():
    made, rest = charts(CURVES, "fox", "counterfactual")
    assert rest == {}
    path, doubt, between = made
    # From 122 at the bottom to 8 at the top, and from 44 to 292 across.
    assert [line.d for line in path.lines] == ["M44 122L168 93.5L292 8"]
    assert path.lines[0].members == ["M44 122L168 65L292 8", "M44 122L168 107.8L292 8"]
    assert path.ticks == [(122, "0%"), (65, "50%"), (8, "100%")]
    assert doubt.ticks == [(122, "0"), (65, "0.5"), (8, "1")]
    assert [line.name for line in doubt.lines] == ["aleatoric", "epistemic"]
    assert between.below == ("image, t = 0", "", "counterfactual, t = 1")
    assert between.alt == "Probability of fox along the interpolation. image space: 0%, 100%; latent space: 0%, 50%"


def test_curves_are_drawn_and_not_listed(tmp_path):
    page = read(write_report(run_of(tmp_path / "run", [found(info={"curves": CURVES, "cells": 3})])))
    drawn = [tag for tag in page.all("svg") if tag.get("role") == "img"]
    assert [tag["aria-label"].partition(".")[0] for tag in drawn] == [
        "Probability of fox along the search",
        "Uncertainty along the search, in nats",
        "Probability of fox along the interpolation",
    ]
    assert "thin lines: the 2 members" in page.words
    assert "curves" not in page.words
    assert "cells 3" in page.words
    assert len([tag for tag in page.all("path") if tag.get("class") == "line"]) == 5 + 5  # drawn, explained


@pytest.mark.parametrize(
    "curves",
    [
        "RuntimeError: no",
        {"search path": "RuntimeError: no"},
        {"search path": {"probability": {"together": [0.5]}}},
        {"search path": {"probability": {"together": [0.5, "x"]}, "uncertainty": {"aleatoric": [0.5, None]}}},
        {"search path": {"probability": {"together": [0.5, 1], "members": [3]}}},
        {"search path": {"uncertainty": {}}, "interpolation": {"image space": [0.5, -1]}},
        {"interpolation": [0.5, 0.5]},
        {"somebody": {"else": [0.5, 0.5]}},
        [0.5, 0.5],
        0.5,
        True,
    ],
)
def test_curves_that_are_none_are_listed_as_they_are(tmp_path, curves):
    made, rest = charts(curves, "fox", "counterfactual")
    assert made == []
    assert rest == curves
    assert f"curves {plain(curves)}".replace("\u202f", " ") in written(tmp_path, found(info={"curves": curves}))


def test_the_curves_that_failed_are_listed_beside_the_others(tmp_path):
    info = {"curves": CURVES | {"trajectory": "RuntimeError: no"}}
    words = written(tmp_path, found(**FAILED, info=info))
    assert "Probability of fox along the search" in words
    assert "image, t = 0 best attempt, t = 1" in words
    assert "curves trajectory: RuntimeError: no" in words


@given(st.lists(st.floats(0, 2.3), min_size=2, max_size=30))
def test_no_line_leaves_its_chart(values):
    (chart,), _ = charts({"search path": {"uncertainty": {"aleatoric": values}}}, "fox", "end")
    numbers = [tuple(map(float, point.split())) for point in chart.lines[0].d[1:].split("L")]
    assert len(numbers) == len(values)
    assert all(44 <= x <= 292 and 8 <= y <= 122 for x, y in numbers)
    assert numbers == sorted(numbers)
    top = float(chart.ticks[-1][1])
    for (_, y), value in zip(numbers, values, strict=True):
        assert (122 - y) / 114 * top == pytest.approx(value, abs=0.05 * top / 114 + 1e-9)


def test_a_trajectory_is_shown_large_and_not_among_the_strips():
    row = found(artifacts={"trajectory": [picture(0, 3, 480)], "path": [picture(1), picture(2)]})
    files, shown = kept(row)
    assert [strip.name for strip in shown.strips] == ["path"]
    assert shown.trajectory.width == 400
    assert shown.trajectory.alt.endswith("on the probability of fox")
    assert files["photo-0000.trajectory.png"] == row.artifacts["trajectory"][0]
    _, shown = kept(found(artifacts={"trajectory": [picture(1), picture(2)]}))  # a series of this name is none
    assert shown.trajectory is None
    assert [strip.name for strip in shown.strips] == ["trajectory"]


# Its forms


def test_few_rows_are_one_file_with_everything_inside(tmp_path):
    file = write_report(run_of(tmp_path / "run", [found(n) for n in range(4)]))
    assert file == tmp_path / "run" / "report.html"
    assert all(tag["src"].startswith("data:image/png;base64,") for tag in read(file).all("img"))
    assert {f.name for f in file.parent.iterdir() if not f.name.startswith(("rows-", ".lock"))} == {
        "run.json",
        "report.html",
    }


def test_many_rows_are_pages_with_their_pictures_beside_them(tmp_path):
    rows = [found(n) for n in range(120)]
    file = write_report(run_of(tmp_path / "run", rows))
    folder = tmp_path / "run" / "report"
    assert file == folder / "index.html"
    assert {f.name for f in folder.iterdir()} == {"assets", "index.html", "page-2.html"}
    pages = [read(folder / name) for name in ("index.html", "page-2.html")]
    ids = [[tag["id"] for tag in page.all("article")] for page in pages]
    assert [len(page) for page in ids] == [ROWS_A_PAGE, 20]
    assert sorted(ids[0] + ids[1]) == [f"row-photo-{n:04d}" for n in range(120)]
    for page in pages:
        for tag in page.all("img"):
            assert (folder / tag["src"]).is_file()
            assert tag["loading"] == "lazy"
            assert tag["alt"] is not None
    assert (folder / "assets" / "photo-0119.counterfactual.png").read_bytes() == rows[119].image
    assert "Why dog rather than fox? continued" in pages[1].words
    for page in pages:
        links = [tag["href"] for tag in page.all("a")]
        assert "index.html#pair-0" in links
        assert "index.html#pair-1" in links


@pytest.mark.parametrize(("count", "single", "name"), [(51, True, "report.html"), (2, False, "report/index.html")])
def test_either_form_can_be_asked_for(tmp_path, count, single, name):
    file = write_report(run_of(tmp_path, [found(n) for n in range(count)]), single_file=single)
    assert file == tmp_path / name
    assert len(read(file).all("article")) == count


@pytest.mark.parametrize("single", [True, False])
def test_the_report_of_the_other_form_does_not_stay_beside_it(tmp_path, single):
    run = run_of(tmp_path, [found(n) for n in range(2)])
    stale = write_report(run, single_file=not single)
    page = write_report(run, single_file=single)
    assert page.exists()
    assert not stale.exists()
    kept = {file.name for file in tmp_path.iterdir() if not file.name.startswith((".", "rows-"))}
    assert kept == {"run.json", "report.html" if single else "report"}


def test_what_somebody_else_wrote_under_our_names_stays(tmp_path):
    theirs = [tmp_path / "report" / name for name in ("index.html", "page-2.html", "assets/x.png")]
    for file in theirs:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("theirs")
    write_report(run_of(tmp_path / "run", [found()]), tmp_path, single_file=True)
    assert all(file.read_text() == "theirs" for file in theirs)


def test_it_is_made_of_the_store_alone_and_goes_where_it_should(tmp_path):
    run = run_of(tmp_path / "run", [found(n) for n in range(3)])
    before = sorted(file.name for file in run.folder.iterdir())
    page = write_report(run, tmp_path / "a" / "b")
    assert page == tmp_path / "a" / "b" / "report.html"
    assert sorted(file.name for file in run.folder.iterdir()) == before
    assert write_report(Run.open(run.folder)).read_bytes() == page.read_bytes()


@pytest.mark.parametrize("single", [True, False])
def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path, single):
    (tmp_path / "file").write_text("")
    with pytest.raises(RatherError) as told:
        write_report(run_of(tmp_path / "run", [found()]), tmp_path / "file" / "x", single_file=single)
    assert told.value.code == "STORE-NOT-WRITABLE"


# What it must not do


def hostile_rows(payloads: list[str]) -> list[Row]:
    """Rows whose every text is a payload."""
    return [
        Row(
            id=f"{text}{n}{status}",
            where=text,
            status=status,
            code=text,
            message=text,
            label=text,
            predicted=f"{text}{n}",
            target=text,
            before=[0.7, 0.3],
            after=[0.2, 0.8],
            query=picture(0),
            image=picture(1) if status in {"found", "not_found"} else None,
            artifacts={
                text: [picture(2)],
                "path": [picture(3)] * 2,
                f"{text}_attention": [picture(4)],
                "trajectory": [picture(5)],
            },
            info={
                text: text,
                "list": [text, {text: text}],
                "long": text * 20,
                "curves": {text: text, "interpolation": {text: [0.1, 0.9]}, "search path": text},
                "regions": {text: {"style": 0.5, "change": 0.5}},
                "attributes": {text: -0.5},
                "attributes_in_references": {text: {text: 0.5}},
                "confidence": [0.1, 0.9],
                "bin": 0,
                "counterfactual_bin": 1,
            },
        )
        for n, text in enumerate(payloads)
        for status in ("found", "not_found", "already", "failed")
    ]


def hostile(tmp_path: Path, payloads: list[str]) -> Run:
    """A run of such rows with such a configuration."""
    rows, first = hostile_rows(payloads), payloads[0]
    question = {
        "classes": [row.predicted for row in rows[:2]],
        "classifier": {"name": first, first: first},
        "method": {"name": first, first: [first]},
        "data": first,
        "target": first,
        "seed": first,
        first: first,
    }
    return run_of(tmp_path / "<img src=x onerror=alert(1)>", rows, question)


OURS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "footer", "script"),
    *("h1", "h2", "p", "b", "i", "a", "bdi", "br", "small", "span", "div", "ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "svg", "rect", "article"),
    *("details", "summary", "button", "label", "input", "dialog", "form"),
    *("path", "g", "text"),  # of a chart
}


def harmless(page: Page, address: str, styles: int = 1) -> None:
    """No text has become a tag, a handler, a style or an address; the policy allows what there is, word for word."""
    assert {tag for tag, _ in page.tags} <= OURS
    assert page.all("script") == [{}]
    assert len(page.all("dialog")) == 1
    assert page.all("style") == [{}] * styles
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("href", "src", "action", "data"):
            assert re.fullmatch(address, attributes.get(name) or ""), attributes[name]
    (policy,) = (tag["content"] for tag in page.all("meta") if tag.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: 'self' file:"
    for kind in ("script", "style"):
        sums = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in page.content[kind]]
        assert rules[f"{kind}-src"] == " ".join(f"'sha256-{one}'" for one in sums)


def test_no_text_of_a_run_is_more_than_text(tmp_path):
    file = write_report(hostile(tmp_path, PAYLOADS), single_file=False)
    for part in file.parent.glob("*.html"):
        harmless(read(part), r"((assets/[\w.-]+\.png)|([\w-]+\.html))?(#[\w-]+)?")
    words = read(file).text
    for payload in PAYLOADS:
        if payload.isprintable():
            assert payload[:100] in words
    assert "\u202e" not in words
    assert "\x1b" not in words


def test_names_cannot_leave_the_folder(tmp_path):
    write_report(hostile(tmp_path, ["../../../x", "/etc/x", "..\\x"]), single_file=False)
    assert [file.name for file in tmp_path.iterdir()] == ["<img src=x onerror=alert(1)>"]
    assert {file.name for file in next(tmp_path.iterdir()).iterdir() if "rows" not in file.name} == {
        ".lock",
        "run.json",
        "report",
    }


def test_the_templates_trust_nothing():
    folder = Path(rather.report.report.__file__).parent / "templates"
    text = "".join(file.read_text() for file in folder.iterdir())
    assert not re.findall(r"\|\s*safe|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?:|//\w", text)
    assert "autoescape" not in text


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.skip("no Chromium found; set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    switches = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        opened = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=path, args=switches, headless=True
        )
        yield opened
        opened.close()


def visit(browser, file: Path):
    """The page of a file, and all that it should not have done."""
    page, faults = browser.new_page(), []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: request.url.startswith(("file:", "data:")) or faults.append(f"request: {request.url}"),
    )
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.goto(file.as_uri())
    return page, faults


ALL_LOADED = """() => {
  const pictures = [...document.images];
  for (const picture of pictures) picture.loading = "eager";
  return Promise.all(pictures.map((p) => p.decode().then(() => p.naturalWidth > 0, () => false)));
}"""


@pytest.mark.parametrize("single", [True, False])
def test_both_forms_open_from_disk_without_a_fault(tmp_path, browser, single):
    pictures = {"path": [picture(n) for n in range(3)], "query_attention": [picture(4)]}
    pictures["trajectory"] = [picture(5, 3, 480)]
    said = {
        "regions": {"hair": {"style": 0.5, "change": 0.5}, "x" * 90: {"style": 1.0, "change": 0.25}},
        "attributes": {"glasses": 0.5, "x" * 90: -0.25},
        "attributes_in_references": {"glasses": {"x" * 90: 0.5, "fox": 0.125}},
        "confidence": [0.1, 0.4, 0.9],
        "bin": 0,
        "counterfactual_bin": 2,
    }
    pictures["layout"] = [picture(6, 3)]
    rows = [found(n, artifacts=pictures, info={"curves": CURVES, **said}) for n in range(4)]
    rows += [found(5, status="not_found", code="BUDGET")]
    page, faults = visit(browser, write_report(run_of(tmp_path, rows), single_file=single))
    loaded = page.evaluate(ALL_LOADED)
    assert len(loaded) > 5 * 3
    assert all(loaded)
    # The style is applied too: a policy that does not fit would leave it out.
    assert page.evaluate("getComputedStyle(document.body).marginTop") == "0px"
    assert page.evaluate("getComputedStyle(document.querySelector('.chart .line')).strokeWidth") == "2px"
    assert page.evaluate("getComputedStyle(document.querySelector('rect.less')).fill") == "rgb(13, 69, 173)"
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert faults == []
    page.close()


def test_looking_closely_and_choosing_a_question(tmp_path, browser):
    rows = [found(0), found(1), found(2, status="not_found", code="BUDGET")]
    page, faults = visit(browser, write_report(run_of(tmp_path, rows)))
    card = page.locator("#row-photo-0000")
    own = card.locator("img[data-role=counterfactual]").get_attribute("src")
    card.locator("button.look").hover()
    query = card.locator("img[data-role=query]").get_attribute("src")
    assert card.locator("img[data-role=counterfactual]").get_attribute("src") == query
    card.locator("button.look").press("Enter")
    stage = page.locator("dialog .stage img")
    assert [stage.nth(n).get_attribute("src") for n in range(2)] == [query, own]
    page.keyboard.press("Home")
    assert stage.nth(1).evaluate("image => image.style.opacity") == "0"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.mouse.move(0, 0)
    assert card.locator("img[data-role=counterfactual]").get_attribute("src") == own
    page.locator("nav.pairs a").nth(1).click()
    assert [page.locator(f"#row-photo-000{n}").is_visible() for n in range(3)] == [False, True, False]
    page.locator(".only a").click()
    page.locator("#show-not-found").check()
    assert [page.locator(f"#row-photo-000{n}").is_visible() for n in range(3)] == [False, False, True]
    assert faults == []
    page.close()


def test_a_hostile_run_does_nothing_in_a_browser(tmp_path, browser):
    file = write_report(hostile(tmp_path, PAYLOADS), single_file=True)
    page, faults = visit(browser, file)
    page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
    assert all(page.evaluate(ALL_LOADED))
    for _ in range(3):
        page.keyboard.press("Tab")
    page.locator("button.look").first.click()
    assert faults == []
    page.close()
