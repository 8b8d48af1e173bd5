"""Drawn faces: the same every time, changed in nothing but what was asked, and every pixel's region."""

import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rather.config.errors import RatherError
from rather.data import source
from rather.hub.datasets import list_datasets, load_dataset
from rather.train.pictures import read_pictures
from rather.worlds import faces
from rather.worlds.faces import ATTRIBUTES, HAIR_COLOURS, REGIONS, RULES, DrawnFaces, Population, cache, draw
from rather.worlds.faces.attributes import GRADED

pytestmark = pytest.mark.shapes

FEW = 6
PLAIN = {"glasses": 0, "beard": 0, "hat": 0, "long_hair": 0}


def people(count=FEW, seed=5):
    return faces.sample(count, seed)


def shows(layouts, *regions):
    """Which pixels show one of these regions."""
    return torch.isin(layouts, torch.tensor([REGIONS.index(region) for region in regions]).byte())


def changed(before, after):
    return (before - after).abs().amax(1) > 1e-6


def refused(call, *arguments, **named):
    with pytest.raises(RatherError) as error:
        call(*arguments, **named)
    return error.value.code


def some(count=70, population=None, part="test", side=16):
    return DrawnFaces("faces", part, count, seed=0, population=population or Population(), side=side)


# ---------------------------------------------------------------- names


def test_names_are_the_variants():
    script = (
        "import sys; from rather.hub.datasets import list_datasets; list_datasets(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert {name for name in list_datasets() if name.startswith("faces")} == {"faces"} | {
        f"faces/{variant}" for variant in faces.VARIANTS if variant != "smile"
    }


def test_unknown_names_are_refused_with_a_near_one():
    with pytest.raises(RatherError, match="Did you mean faces/age"):
        load_dataset("faces/aeg")
    with pytest.raises(RatherError, match="Did you mean faces/age"):
        faces.load("aeg")


# ---------------------------------------------------------------- samples


def test_a_face_does_not_depend_on_how_many_there_are():
    many, one = people(40), people(3)
    assert torch.equal(many.attributes[:3], one.attributes)
    assert all(torch.equal(many.nuisances[name][:3], value) for name, value in one.nuisances.items())


def test_seeds_and_parts_share_no_face():
    light = [s.nuisances["light"] for s in (people(seed=0), people(seed=1), some(FEW).faces)]
    light.append(some(FEW, part="train").faces.nuisances["light"])
    assert len(torch.cat(light).unique()) == len(light) * FEW


def test_attributes_are_in_their_ranges():
    values = people(2_000).attributes
    for column, name in enumerate(ATTRIBUTES):
        value = values[:, column]
        if name in GRADED:
            assert ((value >= 0) & (value <= 0.3) | (value >= 0.7) & (value <= 1)).all()
            assert value.unique().numel() > 1_000
        else:
            assert set(value.tolist()) == {0.0, 1.0}, name
    colours = torch.stack([people(2_000).attribute(name) for name in HAIR_COLOURS])
    assert (colours.sum(0) == 1).all()
    assert (colours.mean(1) - 0.25).abs().max() < 0.04


def test_attributes_are_independent_where_nothing_is_planted():
    values = people(20_000).attributes.round()
    related = torch.corrcoef(values.T) - torch.eye(len(ATTRIBUTES))
    colours = [list(ATTRIBUTES).index(name) for name in HAIR_COLOURS]  # these exclude each other
    related[torch.tensor(colours)[:, None], torch.tensor(colours)] = 0
    assert related.abs().max() < 0.03  # four standard errors


def test_planted_attributes_go_with_the_label_as_often_as_stated():
    usual = {"glasses": 0.4, "hat": 0.2}
    rule = RULES["age"]
    sample = faces.sample(20_000, 1, Population(rule, {"glasses": 0.95, "hat": 0.7}))
    label = rule.label(sample.attributes).float()
    for name, strength in {"glasses": 0.95, "hat": 0.7}.items():
        by_chance = (1 - strength) * usual[name]
        assert sample.attribute(name)[label == 1].mean() == pytest.approx(strength + by_chance, abs=0.015)
        assert sample.attribute(name)[label == 0].mean() == pytest.approx(by_chance, abs=0.015)
    plain = faces.sample(20_000, 1, Population(rule))
    for name in set(ATTRIBUTES) - set(usual):
        assert torch.equal(sample.attribute(name), plain.attribute(name))


def test_contrast_brings_only_the_causes_of_the_label_together():
    plain, weak = (faces.sample(500, 0, Population(RULES["age"], contrast=c)) for c in (1.0, 0.2))
    assert torch.equal(plain.attribute("smile"), weak.attribute("smile"))
    assert torch.allclose(weak.attribute("age") - 0.5, 0.2 * (plain.attribute("age") - 0.5))
    assert torch.equal(*(RULES["age"].label(sample.attributes) for sample in (plain, weak)))


@pytest.mark.parametrize("smile", [0, 1])
@pytest.mark.parametrize("hat", [0, 1])
def test_rules(smile, hat):
    attributes = faces.set_attributes(people(2), {"smile": smile, "hat": hat, "age": 1 - smile}).attributes
    assert RULES["smile"].label(attributes).tolist() == [bool(smile)] * 2
    assert RULES["age"].label(attributes).tolist() == [not smile] * 2
    assert RULES["smile-xor-hat"].label(attributes).tolist() == [smile != hat] * 2


# ---------------------------------------------------------------- interventions


@given(name=st.sampled_from(list(ATTRIBUTES)), value=st.sampled_from([0, 1]))
@settings(max_examples=30, deadline=None)
def test_set_changes_only_what_was_asked(name, value):
    before = people()
    if name in HAIR_COLOURS:
        value = 1
    after = faces.set_attributes(before, {name: value})
    assert (after.attribute(name) == value).all()
    assert after.nuisances is before.nuisances
    each = torch.linspace(0, 1, FEW)
    assert torch.equal(faces.set_attributes(before, {"smile": each}).attribute("smile"), each)
    for other in set(ATTRIBUTES) - {name}:
        if name in HAIR_COLOURS and other in HAIR_COLOURS:
            assert (after.attribute(other) == 0).all()
        else:
            assert torch.equal(after.attribute(other), before.attribute(other))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"smile": 1.01}, {"smile": -0.1}, {"age": float("nan")}, {"glasses": 0.5}, {"hat": 2}, {"glases": 1}),
        {"smile": torch.zeros(FEW + 1)},
        {"black_hair": 1, "red_hair": 1},
        dict.fromkeys(HAIR_COLOURS, 0),
    ],
)
def test_values_out_of_range_are_refused(wrong):
    assert refused(faces.set_attributes, people(), wrong) == "CFG-SETTING"


@pytest.mark.parametrize("planted", [{"glases": 0.5}, {"smile": 0.5}, {"age": 0.5}, {"red_hair": 0.5}, {"hat": 1.1}])
def test_populations_and_sides_out_of_range_are_refused(planted):
    assert refused(Population, planted=planted) == "CFG-SETTING"
    assert [refused(Population, contrast=wrong) for wrong in (0.0, 1.5)] == ["CFG-SETTING"] * 2
    assert [refused(draw, people(1), side) for side in (15, 257)] == ["CFG-SETTING"] * 2


# ---------------------------------------------------------------- pictures


def test_pictures_are_the_same_every_time_in_every_batch_and_nearly_in_every_size():
    sample = people(20)
    images, layouts = draw(sample)
    again, _ = draw(sample)
    assert torch.equal(images, again)
    for row in (0, 7, 19):
        alone, layout = draw(sample[[row]])
        assert torch.equal(alone[0], images[row])
        assert torch.equal(layout[0], layouts[row])
    assert (torch.nn.functional.avg_pool2d(draw(sample, 128)[0], 2) - images).abs().mean() < 0.02


@pytest.mark.parametrize("side", [16, 33, 64, 256])
def test_any_side(side):
    images, layouts = draw(people(2), side)
    assert (images.shape, images.dtype) == ((2, 3, side, side), torch.float32)
    assert (layouts.shape, layouts.dtype) == ((2, side, side), torch.uint8)
    assert 0 <= images.min() < images.max() <= 1
    assert layouts.max() < len(REGIONS)
    assert draw(people(0), side)[0].shape == (0, 3, side, side)


@pytest.mark.parametrize(
    ("name", "may_change"),
    [
        ("smile", ("lips", "mouth", "eye", "brow", "skin", "glasses")),
        ("glasses", ("glasses", "eye", "brow", "skin", "nose", "hair", "ear")),
        ("beard", ("beard", "skin", "neck", "lips")),  # the ends of lips are thinner than a pixel
        ("hat", ("hat", "hair", "skin", "brow", "background")),
        ("fringe", ("hair", "skin", "brow")),
    ],
)
def test_an_attribute_changes_no_other_region(name, may_change):
    (before, was), (after, layout) = (draw(faces.set_attributes(people(), PLAIN | {name: v}), 128) for v in (0, 1))
    different = changed(before, after)
    assert different.flatten(1).any(1).all()
    elsewhere = ~(shows(was, *may_change) | shows(layout, *may_change))
    # At an edge, at most two pixels wide, a pixel has the name of the region that it shows more of.
    near = torch.nn.functional.max_pool2d((~elsewhere).float(), 5, 1, 2) > 0
    assert not (different & ~near).any()
    assert ((was != layout) <= different).all()


@pytest.mark.parametrize("region", ["glasses", "hat", "beard"])
def test_a_region_is_there_with_its_attribute_only_and_the_others_always(region):
    for value in (0, 1):
        _, layouts = draw(faces.set_attributes(people(20), PLAIN | {region: value}))
        assert (shows(layouts, region).flatten(1).any(1) == bool(value)).all()
    _, layouts = draw(faces.set_attributes(people(20), PLAIN | {"smile": 1}))
    for always in set(REGIONS) - {"glasses", "hat", "beard", "ear"}:
        assert shows(layouts, always).flatten(1).any(1).all(), always


def test_the_layout_is_where_the_colour_is():
    sample = people(20)
    images, layouts = draw(faces.set_attributes(sample, {"hat": 1, "glasses": 0}), 128)
    inner = torch.nn.functional.max_pool2d((~shows(layouts, "hat")).float(), 3, 1, 1) == 0
    for image, mask, colour in zip(images, inner, sample.nuisances["hat_colour"], strict=True):
        cosine = torch.cosine_similarity(image[:, mask], colour[:, None], dim=0)
        assert cosine[(image[:, mask] < 1).all(0)].min() > 0.999  # light makes a colour brighter, not another


# ---------------------------------------------------------------- what age and smile look like


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 65), slice(0, 256)), (slice(98, 158), slice(73, 183)), (slice(200, 256), slice(0, 256))],
    ids=["top", "middle", "bottom"],
)
def test_age_shows_everywhere_and_gradually(rows, columns):
    def drawn(age):
        return draw(faces.set_attributes(people(2), PLAIN | {"age": age}), 256)[0][..., rows, columns]

    steps = [drawn(age) for age in (0, 0.5, 1)]
    for before, after in pairwise(steps):
        assert (changed(before, after).flatten(1).float().mean(1) > 0.02).all()
    near = drawn(0.501)
    assert (near - steps[1]).abs().max() < 0.02


def test_smiles_show_teeth_and_others_do_not():
    def opening(smile):
        return shows(draw(faces.set_attributes(people(10), {"smile": smile}), 128)[1], "mouth").flatten(1).sum(1)

    shut, still_shut, open_, wide = (opening(smile) for smile in (0, 0.3, 0.7, 1))
    assert still_shut.max() < open_.min()
    assert (shut <= still_shut).all()
    assert (open_ < wide).all()


@pytest.mark.parametrize("name", ["smile", "age"])
def test_gradients_reach_graded_attributes(name):
    value = torch.full((2,), 0.45, requires_grad=True)
    weights = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))

    def score(value):
        return (draw(faces.set_attributes(people(2), PLAIN | {name: value}))[0] * weights).sum((1, 2, 3))

    (gradient,) = torch.autograd.grad(score(value).sum(), value)
    assert gradient.isfinite().all()
    with torch.no_grad():
        slope = (score(value + 1e-3) - score(value - 1e-3)) / 2e-3
    assert torch.allclose(gradient, slope, rtol=0.05, atol=0.5)


def test_gradients_reach_every_attribute():
    sample = people(4)
    attributes = sample.attributes.clone().requires_grad_()
    draw(faces.Faces(attributes, sample.nuisances))[0].square().sum().backward()
    assert attributes.grad is not None
    assert attributes.grad.isfinite().all()
    assert (attributes.grad.abs().amax(0) > 0).all()


# ---------------------------------------------------------------- the data set


@pytest.mark.parametrize("name", [name for name in list_datasets() if name.startswith("faces")])
def test_every_variant_loads(name):
    data = load_dataset(name)
    assert data.name == data.test.name == name
    assert (len(data.train), len(data.test)) == (10_000, 2_000)
    for part in (data.train, data.test):
        assert len(part.classes) == 2
        assert (part.attributes, part.regions) == (tuple(ATTRIBUTES), REGIONS)
    assert data.test.id(12) == "test-00012"
    assert data.test.where(12) == f"{name}, test-00012"


def test_faces_to_explain_are_ordinary_ones():
    biased, plain = faces.load("age-glasses"), faces.load("age")
    assert torch.equal(biased.test.faces.attributes, plain.test.faces.attributes)
    assert not torch.equal(biased.train.faces.attributes, plain.train.faces.attributes)


def test_one_face_is_read_by_drawing_few(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    drawn = []
    monkeypatch.setattr(faces.source, "draw", lambda f, side: drawn.append(len(f)) or draw(f, side))
    part = some()
    picture, layout, values = part.read(69), part.layout(69), part.attribute_values(69)
    assert part.read(64) is not None
    assert drawn == [6]
    expected, region = draw(part.faces[[69]], 16)
    assert torch.equal(picture, (expected[0] * 255).round() / 255)
    assert torch.equal(layout, region[0])
    assert torch.equal(values, part.faces.attributes[69])
    assert (part.label(69) == 1) == (values[0] > 0.5)
    assert not list(tmp_path.iterdir())
    with pytest.raises(IndexError):
        part.read(70)


def test_everything_is_what_is_read_one_at_a_time():
    part = some()
    images, layouts = some().everything()
    for index in (0, 31, 32, 69):
        assert torch.equal(images[index].float() / 255, part.read(index))
        assert torch.equal(layouts[index], part.layout(index))
    assert source.read_all(part)[0].shape == (70, 3, 16, 16)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """A cache for even few faces, and how many faces have been drawn since."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(faces.source, "WORTH_KEEPING", 40)
    drawn = []
    monkeypatch.setattr(faces.source, "draw", lambda f, side: drawn.append(len(f)) or draw(f, side))
    return drawn


def test_faces_are_drawn_once(kept):
    first = some().everything()
    again = some().everything()
    assert sum(kept) == 70
    assert all(map(torch.equal, first, again))
    assert len(list(cache.folder().iterdir())) == 1
    some(population=Population(RULES["smile"], {"hat": 0.5})).everything()
    some(part="train").everything()
    assert sum(kept) == 3 * 70
    assert len(list(cache.folder().iterdir())) == 3


def test_reading_most_faces_fills_the_cache_and_one_face_is_read_from_it(kept):
    part = some()
    for index in range(70):
        part.read(index)
    assert sum(kept) <= 70 + 64
    kept.clear()
    for index in (5, 69):
        assert torch.equal(some().read(index), part.read(index))
    assert torch.equal(some().everything()[0][5].float() / 255, part.read(5))
    assert kept == []


@pytest.mark.parametrize("damage", ["empty", "nonsense", "cut", "another's"])
def test_a_damaged_cache_is_drawn_again(kept, damage):
    first = some().everything()
    (file,) = cache.folder().iterdir()
    whole = file.read_bytes()
    some(60).everything()
    (other,) = {*cache.folder().iterdir()} - {file}
    broken = {"empty": b"", "nonsense": b"nonsense" * 20, "cut": whole[:-100], "another's": other.read_bytes()}
    file.write_bytes(broken[damage])
    kept.clear()
    assert all(map(torch.equal, first, some().everything()))
    assert sum(kept) == 70
    assert file.read_bytes() == whole


def test_without_a_place_for_a_cache_faces_are_drawn(kept, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert all(map(torch.equal, some().everything(), some().everything()))
    assert sum(kept) == 2 * 70


def test_twins_are_the_same_faces_with_one_thing_changed():
    known = DrawnFaces("few", "test", 60, seed=3, population=Population(RULES["age"]), side=32)
    twins = known.twins
    turned = []
    for n in range(60):
        own, values = known.attribute_values(n), twins.attribute_values(n)
        changed = {name for name, a, b in zip(known.attributes, own, values, strict=True) if a != b}
        assert len(changed) <= 1 or (len(changed) == 2 and changed <= {*HAIR_COLOURS})
        assert sum(values[list(known.attributes).index(name)] for name in HAIR_COLOURS) == 1
        turned += changed
        if n < 6:
            images, _ = draw(faces.Faces(values[None], known.faces[[n]].nuisances), 32)
            torch.testing.assert_close(twins.read(n), images[0], atol=0.5 / 255 + 1e-6, rtol=0)
        assert twins.label(n) == int(RULES["age"].label(values[None]))
    assert {*turned} >= {*known.attributes} - {*HAIR_COLOURS}
    assert {*turned} & {*HAIR_COLOURS}
    assert known.twins is twins


def test_pictures_and_their_twins_are_read_together():
    known = DrawnFaces("few", "test", 3, seed=3, population=Population(RULES["age"]), side=32)
    pictures, left_out = read_pictures(known, labelled=True, columns=("attributes", "edited", "edited_attributes"))
    assert not left_out
    assert torch.equal(pictures.images[1].float() / 255, known.read(1))
    assert torch.equal(pictures.edited[1].float() / 255, known.twins.read(1))
    assert torch.equal(pictures.edited_attributes[1], known.twins.attribute_values(1))
    assert torch.equal(pictures[torch.tensor([2, 0])].edited, pictures.edited[[2, 0]])
    assert len(read_pictures(known, labelled=True, columns=("images", "probabilities"))[0]) == 3
    alone = source.InMemory("own", ("a",), torch.rand(2, 3, 8, 8), [0, 0], ["1", "2"])
    with pytest.raises(RatherError, match="no edited are known"):
        read_pictures(alone, labelled=True, columns=("edited",))
