"""Methods of regions, attributes and bins, against what their generators of stripes do exactly."""

import json

import pytest
import torch

from analytic import (
    CLASSES,
    example,
    others,
    pictures,
    spatial,
    striped_editor,
    striped_exaggerator,
    striped_regions,
    stripes,
)
from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Noise
from rather.generators.exaggerator import bin_of, condition_count, conditions
from rather.generators.semantic import Semantic, changes_by_region, one_hot
from rather.hub.methods import build_method
from rather.methods.attributes import Attributes
from rather.methods.exaggeration import Exaggeration
from rather.methods.steex import STEEX
from rather.runs.runner import preflight_all
from rather.search.references import References

pytestmark = [pytest.mark.numbers, pytest.mark.shapes]


def asked(count=5):
    net, x = spatial(), pictures(count)
    return net, x, Goal.criticism(others(net, x)), Noise(0, [str(n) for n in range(count)])


@pytest.mark.parametrize("name", ["steex", "attributes"])
def test_each_row_is_decoded_with_what_was_kept_of_it(name):
    net, x, goal, noise = asked()
    generator = dict(example(name))["generator"]
    if name == "steex":
        generator.segmenter, generator.generator = _LightAndDark(), _OnItsLayout()
    else:
        generator.encoder, generator.decoder = _Itself(), _OnItself()
    more = {"patience": 0} if name == "attributes" else {"steps": 10}
    method = build_method({"name": name, **more}, {"generator": generator})
    found = method.search(net, x, goal, noise)
    if name == "attributes":
        assert len(found.steps.unique()) > 1  # so that rows leave one after the other
    for row in range(len(x)):
        mine = torch.tensor([row])
        alone = method.search(net, x[mine], goal[mine], noise[mine])
        torch.testing.assert_close(found.images[row], alone.images[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(found.artifacts["path"][row], alone.artifacts["path"][0], atol=1e-4, rtol=0)


class _LightAndDark(torch.nn.Module):
    def forward(self, x):
        return torch.cat([x, 1 - x], 1)


class _OnItsLayout(torch.nn.Module):
    def forward(self, codes, layout):
        return stripes().decode(codes.sum(1)) + 0.05 * layout[:, :1]


class _Itself(torch.nn.Module):
    def forward(self, x):
        return [x]


class _OnItself(torch.nn.Module):
    def forward(self, features, attributes):
        return stripes().decode((attributes - 0.5) * 10) + 0.1 * (features[0] - 0.5)


@pytest.mark.parametrize("name", ["steex", "attributes", "exaggeration"])
def test_facts_are_json_whatever_the_generator_makes(name):
    net, x, goal, _ = asked(2)
    generator = dict(example(name))["generator"]
    part = "generator" if name == "steex" else "decoder"
    setattr(generator, part, _Nothing())
    more = {"lr": 1e30} if name == "steex" else {}
    result = build_method({"name": name, **more}, {"generator": generator})(net, x, goal)
    assert result.failure == ("NONFINITE", "NONFINITE")
    assert json.dumps(dict(result.info), allow_nan=False)


class _Nothing(torch.nn.Module):
    def forward(self, given, condition):
        given = given if isinstance(given, torch.Tensor) else condition
        return given.flatten(1).sum(1)[:, None, None, None] * torch.full((1, 1, 6, 6), torch.nan)


# ---------------------------------------------------------------- steex


def test_only_the_named_regions_change_their_style():
    net, x, goal, noise = asked()
    for names, still in ((("upper",), "lower"), (("lower",), "upper")):
        found = STEEX(generator=striped_regions(), regions=names).search(net, x, goal, noise)
        for told in found.info["regions"]:
            assert told[still]["style"] == 0
            assert told[names[0]]["style"] > 0
    found = STEEX(generator=striped_regions()).search(net, x, goal, noise)
    assert all(told["upper"]["style"] > 0 < told["lower"]["style"] for told in found.info["regions"])


def test_names_may_be_written_as_on_a_command_line():
    assert STEEX.of({"generator": striped_regions(), "regions": "upper, lower"}).regions == ("upper", "lower")
    with pytest.raises(RatherError, match="upper") as refused:  # before any image is looked at
        STEEX(generator=striped_regions(), regions=("uper",))
    assert refused.value.code == "CFG-SETTING"


def test_takes_all_of_its_steps_and_pays_for_distance():
    net, x, goal, noise = asked()
    far, near = (
        STEEX(generator=striped_regions(), distance_weight=weight, steps=30).search(net, x, goal, noise)
        for weight in (0.0, 30.0)
    )
    assert far.steps.tolist() == [30] * 5
    ways = [sum(told[r]["style"] for r in told) for found in (far, near) for told in found.info["regions"]]
    assert sum(ways[:5]) > 2 * sum(ways[5:])


def test_where_no_pixel_changes_no_region_has_a_share():
    net, x, goal, noise = asked()
    found = STEEX(generator=striped_regions(), steps=1, lr=1e-9).search(net, x, goal, noise)
    assert all(told[r]["change"] == 0 for told in found.info["regions"] for r in told)


def test_a_generator_of_other_images_is_refused():
    other = Classifier(torch.nn.Identity(), torch.nn.Flatten(), classes=("a", "b"), shape=(1, 1, 2))
    x, goal = torch.zeros(1, 1, 1, 2), Goal.criticism(torch.tensor([1]))
    for method in (STEEX(generator=striped_regions()), Attributes(generator=striped_editor())):
        with pytest.raises(RatherError) as refused:
            method.search(other, x, goal, Noise(0, ["a"]))
        assert refused.value.code == "GEN-SIZE"


def test_changes_are_shared_out_among_regions():
    layout = one_hot(torch.tensor([[[0, 0], [1, 2]]]), 3)
    x, z = torch.zeros(1, 2, 2, 2), torch.tensor([[[[0.1, 0.2], [0.3, 0.0]], [[0.1, 0.0], [0.3, 0.0]]]])
    torch.testing.assert_close(changes_by_region(x, z, layout), torch.tensor([[0.4, 0.6, 0.0]]))
    assert changes_by_region(x, x, layout).tolist() == [[0, 0, 0]]


# ---------------------------------------------------------------- attributes


def test_frozen_attributes_stay_and_the_most_changed_come_first():
    net, x, goal, noise = asked()
    method = Attributes(generator=striped_editor(), frozen=("left",))
    start = striped_editor().read(x)
    found = method.search(net, x, goal, noise)
    for row, told in enumerate(found.info["attributes"]):
        assert "left" not in told
        changes = [abs(change) for change in told.values()]
        assert changes == sorted(changes, reverse=True)
        ends = striped_editor().read(found.images[row : row + 1])[0] - start[row]
        for name, change in told.items():  # the editor does exactly what it is told
            assert float(ends[("bright", "left", "top").index(name)]) == pytest.approx(change, abs=2e-3)
    with pytest.raises(RatherError, match="bright") as refused:
        Attributes(generator=striped_editor(), frozen=("brigt",))
    assert refused.value.code == "CFG-SETTING"


def test_how_often_attributes_go_with_a_class_is_counted_in_the_references():
    net, x, goal, noise = asked()
    images = pictures(24, seed=1)
    labels = net.probabilities(images).argmax(1)
    references = References(images, tuple(map(str, range(24))), labels)
    found = Attributes(generator=striped_editor(), references=references).search(net, x, goal, noise)
    read, said = striped_editor().read(images) > 0.5, net.probabilities(x).argmax(1)
    for row, told in enumerate(found.info["attributes_in_references"]):
        assert told.keys() == found.info["attributes"][row].keys()
        for name, shares in told.items():
            assert shares.keys() == {CLASSES[said[row]], CLASSES[goal.target[row]]}
            for label, share in shares.items():
                own = read[labels == CLASSES.index(label), ("bright", "left", "top").index(name)]
                assert share == pytest.approx(float(own.float().mean()), abs=1e-3)


def test_of_a_class_without_references_no_frequency_is_told():
    net, x, goal, noise = asked()
    references = References(pictures(6, seed=1), tuple("abcdef"), torch.zeros(6, dtype=torch.long))
    found = Attributes(generator=striped_editor(), references=references).search(net, x, goal, noise)
    shares = [share for told in found.info["attributes_in_references"] for share in told.values()]
    assert {label for each in shares for label in each} == {CLASSES[0]}
    assert json.dumps(found.info["attributes_in_references"], allow_nan=False)


# ---------------------------------------------------------------- exaggeration


def test_the_first_bin_that_flips_is_the_answer():
    net, x, goal, noise = asked()
    found = Exaggeration(generator=striped_exaggerator()).search(net, x, goal, noise)
    for row in range(len(x)):
        series = found.artifacts["path"][row]
        reached = goal[torch.tensor([row] * 4)].reached(net(series)).tolist()
        end, own = found.info["counterfactual_bin"][row], found.info["bin"][row]
        flips = [n for n, flip in enumerate(reached) if flip and n > own]
        assert end == (flips[0] if flips else 3)
        assert found.steps[row] == end - own
        torch.testing.assert_close(found.images[row], series[end], atol=3e-3, rtol=0)
        said = net.probabilities(series)[:, goal.target[row]]
        assert found.info["confidence"][row] == pytest.approx(said.tolist(), abs=1e-5)


def test_of_two_classes_a_bin_of_one_is_a_bin_of_the_other():
    target, bins = torch.tensor([0, 1, 0]), torch.tensor([0, 4, 1])
    assert condition_count(2, 5) == 5
    assert conditions(target, bins, 2, 5).argmax(1).tolist() == [4, 4, 3]
    assert condition_count(3, 5) == 15
    assert conditions(target, bins, 3, 5).argmax(1).tolist() == [0, 9, 1]
    assert bin_of(torch.tensor([0.0, 0.39, 1.0]), 10).tolist() == [0, 3, 9]


def test_an_exaggerator_is_of_one_classifier():
    net = spatial()
    other = Classifier(net.body, net.head, classes=("a", "b", "c"), shape=net.shape)
    with pytest.raises(RatherError) as refused:
        striped_exaggerator().check_classifier(other)
    assert refused.value.code == "MODEL-CLASSES"
    with pytest.raises(RatherError, match="a, b, c"):  # before a run begins
        preflight_all(other, [{"generator": striped_exaggerator()}], pictures(4), batch_size=4, timeout=None)


def test_somebodys_nets_that_fail_or_give_other_images_are_refused_in_one_line():
    net, x = spatial(), pictures(5)
    whole = striped_regions()
    small = Semantic(whole.segmenter, whole.encoder, _Cut(), shape=(1, 6, 6), regions=("upper", "lower"), size=3)
    broken = Semantic(torch.nn.Linear(7, 7), whole.encoder, _Cut(), shape=(1, 6, 6), regions=("upper", "lower"), size=3)
    assert whole.preflight(net, x) == []
    for wrong in (small, broken):
        with pytest.raises(RatherError) as refused:
            wrong.preflight(net, x)
        assert refused.value.code == "GEN-SIZE"
        assert "\n" not in str(refused.value)


class _Cut(torch.nn.Module):
    """Images of a column less."""

    def forward(self, codes, layout):
        return codes.new_zeros(len(codes), 1, *layout.shape[2:])[..., 1:]
