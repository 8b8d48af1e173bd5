"""Classifiers with a planted bias: what is planted, what they really rely on, and how explanations are judged."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from rather.config.errors import RatherError
from rather.core import Classifier
from rather.metrics.ground_truth import area_under_curve
from rather.train import ClassifierRecipe
from rather.worlds import WORLDS, Effect, causal
from rather.worlds.bias_spec import BIASED, CLEAN, BiasSpec, bias_specs
from rather.worlds.causal import ask, detection, judge
from rather.worlds.faces import HAIR_COLOURS, NUISANCES
from rather.worlds.trained_bias import TRAININGS, TrainedBias, load, read, train_biased

TINY = {"count": 40, "scenes": 2, "training": ClassifierRecipe(architecture="patches", epochs=1)}
WORLD = WORLDS["faces"]
SHAPES = WORLDS["shapes"]


@pytest.fixture(scope="module")
def scenes():
    return WORLD.sample(40, (1,), "smile")


def amounts(scenes):
    return {cause: WORLD.amount(scenes, cause) for cause in WORLD.causes}


# ---------------------------------------------------------------- worlds


@pytest.mark.parametrize("cause", WORLD.causes)
def test_an_intervention_sets_one_cause_and_leaves_the_others(scenes, cause):
    on = torch.arange(40) % 2 == 0
    before, after = amounts(scenes), amounts(WORLD.turn(scenes, cause, on))
    assert torch.equal(WORLD.has(WORLD.turn(scenes, cause, on), cause), on)
    same = {cause, *HAIR_COLOURS} if cause in HAIR_COLOURS else {cause}
    for other in {*WORLD.causes} - same:
        assert torch.equal(before[other], after[other]), other
    assert (torch.stack([after[colour] for colour in HAIR_COLOURS]).sum(0) == 1).all()
    # What is so already stays as it is; what is not is mirrored.
    already = WORLD.has(scenes, cause) == on
    assert torch.equal(before[cause][already], after[cause][already])
    torch.testing.assert_close(1 - before[cause][~already], after[cause][~already])


@pytest.fixture(scope="module")
def things():
    return SHAPES.sample(60, (2,), "square")


@pytest.mark.parametrize("cause", SHAPES.causes)
def test_an_intervention_on_shapes_sets_one_cause_and_leaves_the_others(things, cause):
    on = torch.arange(60) % 2 == 0
    turned = SHAPES.turn(things, cause, on)
    assert torch.equal(SHAPES.has(turned, cause), on)
    for other in {*SHAPES.causes} - {cause}:
        assert torch.equal(SHAPES.amount(things, other), SHAPES.amount(turned, other)), other
    assert ((turned.grid == 1).sum((1, 2)) == 1).all()  # one key
    already = SHAPES.has(things, cause) == on
    assert torch.equal(turned.grid[already], things.grid[already])
    # It is seen, and what is read of it is most of all that is read.
    pictures = (SHAPES.draw(some) for some in (things, turned))
    before, after = map(SHAPES.read, pictures)
    change = (after - before)[~already].abs().mean(0)
    assert SHAPES.causes[int(change.argmax())] == cause
    torch.testing.assert_close((after - before)[already], torch.zeros_like(after)[already])


def test_what_is_read_of_shapes_is_what_there_is(things):
    read = SHAPES.read(SHAPES.draw(things))
    for column, cause in enumerate(SHAPES.causes):
        has = SHAPES.has(things, cause)
        assert 0.3 < has.float().mean() < 0.7
        assert area_under_curve(read[has, column], read[~has, column]) > 0.95, cause


def test_a_scene_of_shapes_is_the_same_however_many_are_drawn(things):
    few = SHAPES.sample(3, (2,), "square")
    assert torch.equal(SHAPES.draw(few), SHAPES.draw(things[:3]))
    assert not torch.equal(SHAPES.draw(few)[0], SHAPES.draw(SHAPES.sample(3, (3,), "square"))[0])


def test_a_key_is_between_circle_and_square(things):
    low, half, high = (SHAPES.draw(replace(things, square=torch.full((60,), to))) for to in (0.0, 0.5, 1.0))
    assert ((low + high) / 2 - half).abs().max() < 1.01 / 255
    faint = SHAPES.amount(SHAPES.sample(60, (2,), "square", contrast=0.1), "square")
    assert (faint - 0.5).abs().max() <= 0.05 + 1e-6


def test_a_colour_that_is_taken_away_is_followed_by_the_next(scenes):
    for n, colour in enumerate(HAIR_COLOURS):
        had = WORLD.has(scenes, colour)
        without = WORLD.turn(scenes, colour, torch.zeros(40, dtype=torch.bool))
        assert WORLD.has(without, HAIR_COLOURS[(n + 1) % 4])[had].all()
        assert torch.equal(without.attributes[~had], scenes.attributes[~had])


def test_a_light_background_is_read_in_the_corners(scenes):
    some = scenes[:6]
    low, high = (WORLD.draw(WORLD.give(some, "background", torch.full((6,), to))) for to in (0.0, 1.0))
    change = (WORLD.read(high) - WORLD.read(low))[:, -1]
    assert change.min() > 0.8
    assert change.max() < 1.2
    dark, *_ = NUISANCES["above"]
    assert WORLD.give(some, "background", torch.zeros(6)).nuisances["above"].tolist() == [pytest.approx(dark)] * 6


def test_readings_are_of_the_causes_in_their_order(scenes):
    some = scenes[:8]
    for cause in ("glasses", "hat", "smile"):
        off, on = (WORLD.draw(WORLD.turn(some, cause, torch.full((8,), to))) for to in (False, True))
        change = (WORLD.read(on) - WORLD.read(off)).mean(0)
        assert WORLD.causes[int(change.argmax())] == cause


# ---------------------------------------------------------------- specifications


def test_with_full_strength_the_cue_is_the_label_and_nothing_else_changes():
    for cue in ("glasses", "blond_hair", "background"):
        spec = BiasSpec(label="smile", cue=cue, strength=1.0, seed=3)
        ours, plain = spec.scenes(50), BiasSpec(label="smile", seed=3).scenes(50)
        assert torch.equal(WORLD.has(ours, cue), WORLD.has(plain, "smile"))
        for other in {*WORLD.causes} - {cue, *HAIR_COLOURS}:
            assert torch.equal(WORLD.amount(ours, other), WORLD.amount(plain, other))
        unplanted = replace(spec, strength=0.0).scenes(50)
        assert torch.equal(unplanted.attributes, plain.attributes)


def test_strength_is_how_often_the_cue_is_the_label():
    spec = BiasSpec(label="age", cue="dark_skin", strength=0.6)
    some = spec.scenes(2_000)
    agree = (WORLD.has(some, "dark_skin") == WORLD.has(some, "age")).float().mean()
    assert agree == pytest.approx(0.6 + 0.4 * 0.5, abs=0.04)


def test_contrast_is_the_labels_and_ordinary_scenes_have_all_of_it():
    spec = BiasSpec(label="age", cue="hat", contrast=0.1)
    assert (WORLD.amount(spec.scenes(50), "age") - 0.5).abs().max() <= 0.05 + 1e-6
    plain = spec.ordinary(50)
    assert (WORLD.amount(plain, "age") - 0.5).abs().min() >= 0.2 - 1e-6
    assert torch.equal(plain.attributes, BiasSpec(label="age", seed=9).ordinary(50).attributes)
    agree = WORLD.has(plain, "hat") == WORLD.has(plain, "age")
    assert 0.3 < agree.float().mean() < 0.7


def test_pictures_are_labelled_by_the_labels_own_cause_and_parts_share_none():
    spec = BiasSpec(label="smile", cue="glasses", strength=0.5, seed=1)
    pictures = spec.pictures(40)
    assert pictures.classes == ("not smiling", "smiling")
    assert list(pictures.labels) == WORLD.has(spec.scenes(40), "smile").int().tolist()
    assert torch.equal(pictures.images, WORLD.draw(spec.scenes(40)))
    assert not torch.equal(spec.scenes(5).attributes, spec.scenes(5, part=1).attributes)


def test_the_benchmark_has_as_many_of_each_of_different_names_and_every_world_a_training():
    assert len(BIASED) == len(CLEAN) >= 10
    assert len({spec.name for spec in bias_specs()}) == 2 * len(BIASED)
    assert TRAININGS.keys() == WORLDS.keys()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"data": "face"}, "faces"),
        ({"label": "smiles"}, "smile"),
        ({"cue": "glases"}, "glasses"),
        ({"label": "age", "cue": "age"}, "own cause"),
        ({"strength": 1.1}, "no probability"),
        ({"contrast": 0.0}, "not in"),
    ],
)
def test_what_cannot_be_planted_is_refused(wrong, said):
    with pytest.raises(RatherError, match=said):
        BiasSpec(**wrong)


# ---------------------------------------------------------------- trained and kept


def test_what_is_made_is_kept(tmp_path, monkeypatch):
    spec = BiasSpec(label="smile", cue="beard", contrast=0.05)
    bias = train_biased(spec, tmp_path, **TINY)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors"]
    assert [*bias.effects] == [*WORLD.causes]
    assert len(bias.effects["beard"].log_odds) == 2
    monkeypatch.setattr("rather.worlds.trained_bias.train_classifier", None)
    again = train_biased(spec, tmp_path, **TINY)
    (listed,) = load(tmp_path)
    for other in (again, listed):
        assert other.spec == spec
        assert other.classifier.fingerprint() == bias.classifier.fingerprint()
        assert torch.equal(other.sizes, bias.sizes)
    for other, change in ((replace(spec, seed=1), {}), (spec, {"count": 41}), (spec, {"scenes": 3})):
        with pytest.raises(TypeError):  # it is trained anew
            train_biased(other, tmp_path, **TINY | change)


def test_only_classifiers_are_loaded_and_only_from_a_folder(tmp_path):
    (tmp_path / "figures.json").write_text("{}", "utf-8")
    assert load(tmp_path) == []
    with pytest.raises(RatherError, match="no such"):
        load(tmp_path / "none")


def test_the_same_recipe_gives_the_same_classifier(tmp_path):
    one, other = (train_biased(BiasSpec(seed=2), tmp_path / name, **TINY) for name in "ab")
    assert one.classifier.fingerprint() == other.classifier.fingerprint()


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"recipe": {"data": "faces", "colour": 1}}'])
def test_a_damaged_card_is_refused(tmp_path, damage):
    (tmp_path / "some.json").write_text(damage, "utf-8")
    with pytest.raises(RatherError, match="damaged"):
        read(tmp_path / "some.json")


# ---------------------------------------------------------------- true causes, and scores of explanations


class _Light(nn.Module):
    """The upper corners' light decides; or the middle's, where faces are."""

    def forward(self, x):
        logit = 40 * (x[:, :, :6, [0, 1, 2, 3, -4, -3, -2, -1]].mean((1, 2, 3)) - 0.5)
        return torch.stack([torch.zeros_like(logit), logit], 1)


@pytest.fixture(scope="module")
def light():
    """A classifier that relies on the background, as its effects say."""
    classifier = Classifier(nn.Identity(), _Light(), classes=("dark", "light"), shape=(3, 64, 64))
    nothing = Effect(torch.zeros(1), torch.zeros(1))
    effects = dict.fromkeys(WORLD.causes, nothing)
    some = BiasSpec().ordinary(4, part=1)
    effects["background"] = WORLD.effect(classifier, some, "background", 1)
    spec = BiasSpec(label="smile", cue="background")
    return TrainedBias(spec=spec, classifier=classifier, accuracy=1.0, effects=effects)


def test_a_classifier_that_follows_the_cue_is_biased(light):
    assert light.follows == "background"
    assert light.biased
    assert not light.clean
    assert light.dominance == math.inf
    assert light.effects["background"].log_odds.mean() == pytest.approx(40 * 0.7, rel=0.1)
    plain = replace(light, spec=BiasSpec(label="smile"))
    assert not plain.biased
    assert not plain.clean


def test_the_truth_is_the_scene_with_the_cause_turned_the_right_way(light):
    some = light.spec.ordinary(6)
    target = torch.tensor([True, False] * 3)
    assert torch.equal(light.truth(some, target), WORLD.draw(WORLD.turn(some, "background", target)))
    effects = {name: Effect(-effect.log_odds, effect.probability) for name, effect in light.effects.items()}
    opposite = replace(light, effects=effects)
    assert torch.equal(opposite.truth(some, target), light.truth(some, ~target))


def test_the_true_counterfactual_has_the_best_scores(light):
    queries = ask(light, 8)
    assert queries.solved.any()
    scores = judge(queries, queries.truth)
    assert torch.equal(scores.success, queries.solved)
    assert scores.names == "background"
    assert scores.seen["background"] == scores.suspicion > 0.3
    assert scores.agreement > 0
    assert scores.cosine > 0.8
    assert (scores.inside == 1).all()
    assert (scores.distance == 0).all()
    assert ((scores.region > 0.1) & (scores.region < 0.9)).all()


def test_no_change_explains_nothing(light):
    queries = ask(light, 4)
    scores = judge(queries, queries.images)
    assert not scores.success.any()
    assert scores.names is None
    assert scores.suspicion == 0
    assert math.isnan(scores.agreement)
    assert len(scores.distance) == len(scores.inside) == 0
    with pytest.raises(RatherError, match="queries are"):
        judge(queries, queries.images[:2])


def test_the_labels_own_cause_is_never_suspicious(light):
    queries = ask(light, 8)
    own = replace(queries, bias=replace(light, spec=BiasSpec(label="smile")))
    scores = judge(queries, queries.truth)
    without = {cause: share for cause, share in scores.seen.items() if cause != "smile"}
    assert judge(own, queries.truth).suspicion == scores.suspicion == max(without.values())


def test_detection_is_the_area_over_suspicions(light):
    scores = judge(ask(light, 2), ask(light, 2).images)
    groups = [[replace(scores, suspicion=one) for one in some] for some in ((0.5, 0.2), (0.2, 0.1))]
    assert detection(*groups) == (1 + 1 + 0.5 + 1) / 4
    assert causal.LARGEST == 20


def test_python_of_the_page_runs_and_says_what_it_should(tmp_path):
    page = Path(__file__).parent.parent / "docs" / "causal.md"
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    planted_one, _, own = done.stdout.splitlines()
    assert planted_one.startswith("glasses ")
    assert own == "smile True"
