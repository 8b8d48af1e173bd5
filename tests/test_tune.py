"""Several values of a setting on the same images, and the choice among them."""

import json

import pytest
import torch

from analytic import grey_denoiser, others, pictures, spatial
from rather.commands.tune import Trial, heights, highest, largest, trials
from rather.config.errors import RatherError
from rather.core import Goal, Noise
from rather.hub.methods import build_method
from rather.methods.sweep import Sweep
from rather.methods.wachter import Wachter
from rather.stats import wilson
from tolerance import assert_same_pictures


def swept(*values: float, count: int = 4):
    net, x = spatial(), pictures(count)
    method = Sweep(method=Wachter(steps=40, lr=0.02), setting="distance_weight", values=values)
    return method, net, x, Goal.criticism(others(net, x))


def test_each_value_is_the_method_with_that_value():
    method, net, x, goal = swept(0.1, 1000.0)
    noise = Noise(0, list("abcd"))
    found = method.search(net, x, goal, noise)
    for n, value in enumerate((0.1, 1000.0)):
        alone = Wachter(steps=40, lr=0.02, distance_weight=value)(net, x, goal, ids=list("abcd"))
        assert_same_pictures(torch.stack([s[n] for s in found.artifacts["sweep"]]), alone.images)
        assert [told[n] for told in found.info["sweep_found"]] == alone.success.tolist()
    assert [told[0] for told in found.info["sweep_found"]] == [True] * 4
    assert not all(told[1] for told in found.info["sweep_found"])  # hardly anything may move


def test_the_answer_is_the_nearest_success_whatever_the_order():
    for values in ((0.1, 1000.0), (1000.0, 0.1)):
        method, net, x, goal = swept(*values)
        result = method(net, x, goal)
        assert result.success.all()
        changes = torch.tensor(result.info["sweep_change"])
        reached = torch.tensor(result.info["sweep_found"])
        nearest = torch.where(reached, changes, 9).amin(1)
        torch.testing.assert_close((result.images - x).abs().flatten(1).mean(1), nearest)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"setting": "closenes"}, "distance_weight"),
        ({"values": []}, "values"),
        ({"setting": "steps", "values": [-1]}, "steps"),
        ({"setting": "steps", "values": [1.2, 1.4]}, "whole"),
    ],
)
def test_what_cannot_be_swept_is_refused(settings, says):
    with pytest.raises(RatherError, match=says) as refused:
        build_method({"name": "sweep", "method": "wachter", **settings})
    assert refused.value.code == "CFG-SETTING"


class _Run:
    """Rows of a run, without their pictures."""

    folder = "there"

    def __init__(self, info):
        self.info = info

    def rows(self):
        return [type("Row", (), {"status": "found", "info": json.loads(json.dumps(f))}) for f in self.info]


def told(*found: bool):
    values = [float(n) for n in range(len(found))]
    return {"sweep_values": values, "sweep_found": found, "sweep_change": [0.5 / (n + 1) for n in values]}


def test_the_largest_value_that_succeeds_often_enough_is_chosen():
    run = _Run([told(True, True, False), told(True, True, True), told(True, False, False)])
    tried = trials(run)
    assert [(trial.value, trial.passed, trial.rows) for trial in tried] == [(0, 3, 3), (1, 2, 3), (2, 1, 3)]
    assert tried[1].change == 0.25
    assert largest(tried).value == 0
    assert largest(tried, 0.6).value == 1
    assert largest(tried, 0.1).value == 2
    assert largest([Trial(1.0, 2, 3, 0.1)]) is None


def test_a_run_of_another_method_has_nothing_to_choose_from():
    with pytest.raises(RatherError, match="sweep") as refused:
        trials(_Run([{"regions": {}}]))
    assert refused.value.code == "CFG-OPTIONS"


def test_the_interval_is_that_of_the_score_test():
    for count, of in ((0, 5), (3, 7), (40, 40)):
        low, high = wilson(count, of)
        for end in (low, high):  # where the normal approximation just holds
            if 0 < end < 1:
                assert abs(count / of - end) == pytest.approx(1.959964 * (end * (1 - end) / of) ** 0.5)


def test_heights_are_those_of_the_filter_up_to_the_first_that_changes_too_many():
    net, x = spatial(), pictures(12)
    generator = grey_denoiser(variance=0.002)  # so sure that pictures are grey that it makes them so
    tried = heights(generator, net, x, Noise(0, [str(n) for n in range(12)]), num_inference_steps=50, share=0.9)
    assert [height.value for height in tried] == list(range(1, len(tried) + 1))
    assert len(tried) < 50
    assert all(height.passed >= 0.9 * 12 for height in tried[:-1])
    assert tried[-1].passed < 0.9 * 12
    few = heights(generator, net, x[:3], Noise(0, list("012")), num_inference_steps=50, share=0)
    assert len(few) == 50  # to the end
    assert all(height.passed <= 3 for height in few)


def test_heights_end_where_the_generator_has_learned_no_more():
    net, x = spatial(), pictures(2)
    generator = grey_denoiser()
    generator.reach = 60  # of 500
    tried = heights(generator, net, x, Noise(0, list("01")), num_inference_steps=50, share=0)
    assert tried[-1].value == int((generator.schedule.respaced(50).timesteps < 60).sum())


def test_the_highest_below_the_first_that_fails_is_chosen():
    tried = [Trial(1, 99, 100), Trial(2, 96, 100), Trial(3, 90, 100), Trial(4, 97, 100)]
    assert highest(tried).value == 2
    assert highest(tried, 0.9).value == 4
    assert highest(tried, 0.995) is None


def test_tuning_of_what_does_not_fit_is_refused():
    net = spatial()
    with pytest.raises(RatherError) as refused:
        heights(grey_denoiser(), net, torch.rand(1, 1, 6, 6), Noise(0, ["0"]), num_inference_steps=501)
    assert refused.value.code == "CFG-SETTING"
