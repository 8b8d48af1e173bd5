"""Presets, and the words of the command line made into plans: which settings win, and whose they are."""

import json

import pytest

from analytic import resources
from rather.commands.listing import listing
from rather.config.errors import RatherError
from rather.hub.columns import columns
from rather.hub.methods import build_method, list_methods, method_class
from rather.hub.presets import expand, list_presets, preset
from rather.hub.resources import requirements

GIVEN = resources()


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_builds_and_is_what_it_says(name):
    plan = expand({"name": name})
    kinds = {want.name: want.kind for want in requirements(plan)}
    told = build_method(plan, {field: GIVEN[kind] for field, kind in kinds.items() if kind in GIVEN}).settings()
    own = {key: value for key, value in plan.items() if key not in {"name", "method"}}
    plain = json.loads(json.dumps(told))  # TOML has lists for tuples
    assert own == {key: plain[key] for key in own}
    fields = method_class(plan["name"]).model_fields
    assert [key for key, value in own.items() if fields[key].default == value] == []


def test_presets_and_methods_are_listed_together():
    assert not list_presets().keys() & list_methods().keys()
    listed = listing("methods")
    assert listed.keys() == list_presets().keys() | list_methods().keys()
    assert all(listed[name].startswith("preset: ") for name in list_presets())


def test_a_plan_wins_over_its_preset():
    assert expand({"name": "xgem"}) == {"name": "revise", "distance": "l2"}
    assert expand({"name": "xgem", "distance": "l1", "steps": 3}) == {"name": "revise", "distance": "l1", "steps": 3}
    assert preset("xgem") == {"name": "revise", "distance": "l2"}
    assert preset("revise") is None


def test_settings_of_a_wrapped_method_are_merged_unless_it_is_another():
    inner = expand({"name": "gci", "method": {"steps": 3}})["method"]
    assert inner == {"name": "introspection", "steps": 3}
    assert expand({"name": "gci", "method": "wachter"})["method"] == {"name": "wachter"}
    other = expand({"name": "gci", "method": {"name": "wachter", "steps": 3}})["method"]
    assert other == {"name": "wachter", "steps": 3}


def test_a_preset_may_be_wrapped():
    plan = expand({"name": "several", "method": {"name": "xgem", "steps": 3}})
    assert plan["method"] == {"name": "revise", "distance": "l2", "steps": 3}


@pytest.mark.parametrize("plan", [{"name": "xgme"}, {"name": "several", "method": "xgme"}])
def test_a_wrong_name_is_answered_with_the_nearest(plan):
    with pytest.raises(RatherError, match="xgem") as refused:
        expand(plan)
    assert refused.value.code == "CFG-UNKNOWN"


def test_settings_of_one_method_are_its_own():
    (one,) = columns("wachter@some:net=file.safetensors", {"steps": 3})
    assert one.plan == {"name": "wachter", "steps": 3}
    assert one.classifier == "some:net=file.safetensors"
    assert one.label == "wachter@some:net=file.safetensors"


def test_settings_of_several_methods_say_whose_they_are():
    told = {"2": {"steps": 9}, "wachter": {"steps": 3, "lr": 0.1}, "xgem": {"steps": 4}}
    one, two, three, four = columns("wachter, wachter@a,xgem,schut@a", told)
    assert one.plan == {"name": "wachter", "steps": 3, "lr": 0.1}
    assert two.plan == {"name": "wachter", "steps": 9, "lr": 0.1}
    assert three.plan == {"name": "revise", "distance": "l2", "steps": 4}
    assert four.plan == {"name": "schut"}
    assert [column.label for column in (one, two, three, four)] == ["wachter", "wachter@a", "xgem", "schut@a"]


def test_settings_of_a_wrapped_method_find_their_column():
    told = {"minimal": {"method": {"name": "wachter", "lr": 0.1}}, "2": {"method": {"lr": 0.2}}}
    _, wrapper = columns("wachter,minimal", told)
    assert wrapper.plan["method"] == {"name": "wachter", "lr": 0.2}


@pytest.mark.parametrize(
    ("methods", "settings", "code", "says"),
    [
        ("wachter,schut", {"steps": 3}, "CFG-SETTING", "wachter.KEY"),
        ("wachter,schut", {"goyal": {"steps": 3}}, "CFG-SETTING", "goyal"),
        ("wachter,schut", {"0": {"steps": 3}}, "CFG-SETTING", "2 methods"),
        ("wachter,schut", {"3": {"steps": 3}}, "CFG-SETTING", "2 methods"),
        ("wachter,schut", {"wachter": 3}, "CFG-SETTING", "wachter.KEY"),
        ("wachter,schut", {"1": {"name": "goyal"}}, "CFG-SETTING", "--method"),
        ("wachter", {"name": "schut"}, "CFG-SETTING", "--method"),
        ("wachter,schut,wachter", {}, "CFG-OPTIONS", "twice"),
        ("wachter@a,wachter@a", {}, "CFG-OPTIONS", "wachter@a"),
        ("wachter,schtu", {}, "CFG-UNKNOWN", "schut"),
        ("wachter,", {}, "CFG-UNKNOWN", "METHOD"),
        ("@digits", {}, "CFG-UNKNOWN", "METHOD"),
        ("wachter@", {}, "CFG-UNKNOWN", "METHOD"),
    ],
)
def test_what_is_ambiguous_or_wrong_is_refused_in_one_line(methods, settings, code, says):
    with pytest.raises(RatherError) as refused:
        columns(methods, settings)
    assert refused.value.code == code
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
