"""What the report draws of regions, attributes and series of bins, and that it draws nothing else."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytic import example, others, pictures, spatial
from rather.core import rows_of
from rather.io.png import png
from rather.plots import BRIGHTER, DARKER
from rather.report.cards import plain
from rather.report.charts import confidence_chart
from rather.report.html import environment
from rather.report.panels import FIRST, SHOWN, TARGETS, panels, summary
from rather.report.report import write_report
from test_report import found, kept, picture, read, run_of

REGIONS = {
    "skin": {"style": 0.25, "change": 0.2},
    "mouth": {"style": 1.5, "change": 0.7},
    "hat": {"style": 0.0, "change": 0.0},
}
ATTRIBUTES = {"glasses": 0.75, "smile": -0.5, "beard": 0.001}
OFTEN = {"glasses": {"cat": 0.38, "fox": 0.62}, "smile": {"cat": 1.0, "fox": 0.001}}
SERIES = {"confidence": [0.0, 0.25, 0.5, 1.0], "bin": 1, "counterfactual_bin": 3}
ODD = ["x", "", math.nan, math.inf, -2, 1.5, 10**400, True, None, [0.5], {"x": 0.5}, [], {}]


def words(tmp_path, *rows) -> str:
    return read(write_report(run_of(tmp_path / "run", list(rows)))).words


def table(panel) -> list[tuple]:
    told = [(each.name, each.value, *each.cells) for each in panel.measures]
    return [
        tuple(one.replace("\u202f", " ").replace("\u00a0", " ") if isinstance(one, str) else one for one in row)
        for row in told
    ]


# Of a row


def test_regions_come_by_their_share_of_the_change():
    (panel,), rest = panels({"regions": REGIONS, "other": 3})
    assert table(panel) == [("mouth", 0.7, "70 %", "1.5"), ("skin", 0.2, "20 %", "0.25"), ("hat", 0.0, "0 %", "0")]
    assert rest == {"other": 3}


def test_many_regions_end_in_the_others():
    (panel,), _ = panels({"regions": {str(n): {"style": 1, "change": 0.09 - n / 1000} for n in range(11)}})
    assert [each.name for each in panel.measures] == [*"01234567", "3 others"]
    assert panel.measures[-1].value == pytest.approx(0.082 + 0.081 + 0.08)
    assert panel.measures[-1].cells[1] == "\N{EN DASH}"


def test_attributes_come_by_how_far_they_changed_with_their_frequencies_beside_them():
    (panel,), rest = panels({"attributes": ATTRIBUTES, "attributes_in_references": OFTEN})
    assert table(panel) == [
        ("glasses", 0.75, "+0.75", "cat 38 %, fox 62 %"),
        ("smile", -0.5, "\N{MINUS SIGN}0.50", "cat 100 %, fox <1 %"),
        ("beard", 0.001, "0.00", "\N{EN DASH}"),
    ]
    assert panel.signed
    assert rest == {}


def test_bars_of_attributes_go_left_and_right_of_a_line(tmp_path):
    info = {"attributes": ATTRIBUTES}
    page = read(write_report(run_of(tmp_path, [found(0, info=info, status="not_found", code="BUDGET")])))
    bars = [tag for tag in page.all("rect") if tag.get("class") in {"more", "less"}]
    assert [(tag["class"], float(tag["x"]), float(tag["width"])) for tag in bars] == [
        ("more", 0, 75),
        ("less", -50, 50),
        ("more", 0, 0.1),
    ]
    assert len([tag for tag in page.all("path") if tag.get("class") == "zero"]) == 3


def test_they_have_the_colours_of_the_difference():
    style = environment().get_template("report.css").render()
    for name, colour in (("more", BRIGHTER), ("less", DARKER)):
        drawn = style.partition(f"--{name}: #")[2][:6]
        assert [int(drawn[n : n + 2], 16) / 255 for n in (0, 2, 4)] == pytest.approx(colour, abs=0.005)


def test_a_series_of_bins_is_a_line_with_both_bins_marked(tmp_path):
    chart, rest = confidence_chart({**SERIES, "cells": 3}, "fox", "counterfactual")
    assert rest == {"cells": 3}
    assert chart.lines[0].d == "M44 122L126.7 93.5L209.3 65L292 8"
    assert [(mark.name, mark.x, mark.y) for mark in chart.marks] == [
        ("the image, bin 1", 126.7, 93.5),
        ("the counterfactual, bin 3", 292, 8),
    ]
    assert chart.alt.startswith("Probability of fox in each bin. the classifier: 0%, 25%, 50%, 100%; ")
    told = words(tmp_path, found(info={**SERIES, "cells": 3}))
    assert "the image, bin 1 the counterfactual, bin 3 cells 3 photos/0.png" in told


def test_the_layout_stands_beside_its_regions_and_else_among_the_strips():
    shown = {"layout": [picture(1)], "answers": [picture(2)]}
    files, card = kept(found(artifacts=shown, info={"regions": REGIONS}))
    assert [strip.name for strip in card.strips] == ["answers"]
    assert files[card.layout.src] == shown["layout"][0]
    for info in ({}, {"regions": "none"}, {"attributes": ATTRIBUTES}):
        _, card = kept(found(artifacts=shown, info=info))
        assert [strip.name for strip in card.strips] == ["layout", "answers"]
        assert card.layout is None


def test_what_is_drawn_is_not_listed(tmp_path):
    info = {"regions": REGIONS, "attributes": ATTRIBUTES, "attributes_in_references": OFTEN, **SERIES}
    told = words(tmp_path, found(info={**info, "cells": 3}))
    assert "mouth 70 % 1.5 skin 20 % 0.25 hat 0 % 0" in told
    assert "glasses +0.75 cat 38 %, fox 62 %" in told
    _, card = kept(found(info={**info, "cells": 3}))
    assert card.info == [("cells", "3")]


# Of what is no such fact


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda odd: {"regions": odd},
        lambda odd: {"regions": REGIONS | {"nose": odd}},
        lambda odd: {"regions": REGIONS | {"nose": {"style": 0.5, "change": odd}}},
        lambda odd: {"attributes": ATTRIBUTES | {"hat": odd}},
        lambda odd: {"attributes_in_references": odd},
        lambda odd: SERIES | {"confidence": odd},
        lambda odd: SERIES | {"confidence": [0.5, odd]},
        lambda odd: SERIES | {"bin": odd},
        lambda odd: SERIES | {"counterfactual_bin": odd},
    ],
)
def test_info_of_another_form_is_listed_as_it_is(make, odd):
    listed_as_it_is(make(odd))


@pytest.mark.parametrize(
    "info",
    [
        *({"regions": {"skin": {"style": style, "change": 0.5}}} for style in (-1, math.nan, 10**400, "x")),
        {"regions": {str(n): {"style": 0.0, "change": 0.6} for n in range(2)}},  # more than all
        {"confidence": [0.25, 0.75], "edits": 2},  # of edits, not of bins
    ],
    ids=repr,
)
def test_some_info_is_no_region_and_no_series(info):
    listed_as_it_is(info)


def listed_as_it_is(info):
    _, card = kept(found(info=info))
    assert card.panels == card.charts == []
    assert dict(card.info) == {key.replace("_", " "): plain(value) for key, value in info.items()}
    assert summary([found(info=info)]) == []


@pytest.mark.parametrize(
    "often",
    [*ODD, {"hat": {"fox": 0.5}}, {"smile": {}}, {"smile": {"fox": 2}}, {"smile": dict.fromkeys("abcde", 0)}],
    ids=repr,
)
def test_frequencies_of_another_form_are_listed_beside_the_attributes(often):
    info = {"attributes": ATTRIBUTES, "attributes_in_references": often}
    (panel,), rest = panels(info)
    assert [len(each.cells) for each in panel.measures] == [1, 1, 1]
    assert rest == {"attributes_in_references": often}


def test_ten_thousand_names_make_no_long_page(tmp_path):
    many = [f"name{n}" for n in range(10_000)]
    info = {"regions": {name: {"style": 0.0, "change": 1e-4} for name in many}, "attributes": dict.fromkeys(many, 0.5)}
    page = read(write_report(run_of(tmp_path, [found(info=info)])))
    assert len(page.all("tr")) < 60
    assert "9,992 others >99 %" in page.words
    assert "9,992 more changed less" in page.words


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["style", "change", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["regions", "attributes", "attributes_in_references", *SERIES]), JSON, max_size=6)
)
def test_whatever_a_file_says_there_is_a_page(info):
    info = json.loads(json.dumps(info))
    drawn, rest = panels(info)
    assert rest.items() <= info.items()
    template = environment().from_string('{% from "card.html" import show_panel %}{{ show_panel(panel) }}')
    for panel in [*drawn, *summary([found(info=info)])]:
        assert template.render(panel=panel)
        assert all(abs(each.value) <= 1 for each in panel.measures)


# Of a run


def test_the_regions_of_a_run_are_the_mean_over_all_found():
    rows = [
        found(0, info={"regions": REGIONS}),
        found(1, info={"regions": {"skin": {"style": 1.0, "change": 1.0}}}),
        found(2, info={"regions": {"hair": {"style": 1.0, "change": 1.0}}}, status="not_found"),
        found(3),
    ]
    (panel,) = summary(rows)
    assert panel.title[0] == "Share of the change in each region, mean of 2 found images"
    assert table(panel) == [("skin", 0.6, "60 %", "2"), ("mouth", 0.35, "35 %", "1"), ("hat", 0.0, "0 %", "1")]


def test_the_attributes_of_a_run_are_told_for_each_target_apart():
    old = [found(n, target="fox", info={"attributes": ATTRIBUTES}) for n in range(2)]
    old.append(found(2, target="fox", info={"attributes": {"smile": -0.25, "hat": 0.125}}))
    young = found(3, target="dog", info={"attributes": {"glasses": -0.75}})
    first, second = summary([young, *old, found(4, info={"attributes": "x"})])
    assert first.title == ("Change of the attributes towards", "fox", "mean of 3 found images")
    assert table(first)[:3] == [
        ("glasses", 0.5, "+0.50", "67 %"),
        ("smile", pytest.approx(-1.25 / 3), "\N{MINUS SIGN}0.42", "100 %"),
        ("hat", pytest.approx(0.125 / 3), "+0.04", "33 %"),
    ]
    assert second.title == ("Change of the attributes towards", "dog", "mean of 1 found image")
    assert table(second) == [("glasses", -0.75, "\N{MINUS SIGN}0.75", "100 %")]


def test_only_the_first_attributes_of_a_row_are_its_reasons():
    (panel,) = summary([found(info={"attributes": {f"a{n}": 0.9 - n / 10 for n in range(9)}})])
    assert len(panel.measures) == SHOWN
    assert [each.cells[1][:-2] for each in panel.measures] == ["100"] * FIRST + ["0"] * (SHOWN - FIRST)


def test_of_many_targets_those_with_most_rows_are_told():
    rows = [found(n, target=str(n % 7), info={"attributes": ATTRIBUTES}) for n in range(7 + 6)]
    made = summary([*rows, rows[6], rows[6]])
    assert len(made) == TARGETS
    assert made[0].title[1] == "6"


def test_the_summary_of_a_run_stands_on_its_first_page_alone(tmp_path):
    rows = [found(n, info={"regions": REGIONS}) for n in range(102)]
    index = write_report(run_of(tmp_path, rows), single_file=False)
    assert "Share of the change in each region, mean of 102 found images" in read(index).words
    assert "mouth 70 % 102" in read(index).words
    assert "mean of 102" not in read(index.parent / "page-2.html").words


# Of the methods


@pytest.mark.parametrize(
    ("name", "said"), [("steex", {"regions"}), ("attributes", {"attributes"}), ("exaggeration", {*SERIES})]
)
def test_what_a_method_says_is_drawn(name, said):
    classifier, x = spatial(), pictures(1)
    result = example(name)(classifier, x, others(classifier, x))
    info = json.loads(json.dumps(dict(rows_of(result.info, 0))))
    drawn = {
        key: [png(image) for image in series.view(-1, *series.shape[-3:])]
        for key, series in rows_of(result.artifacts, 0)
    }
    _, card = kept(found(info=info, artifacts=drawn))
    assert len(card.panels) + len(card.charts) == 1
    assert {key for key, _ in card.info} == {key.replace("_", " ") for key in info.keys() - said}
    assert (card.layout is not None) == (name == "steex")
