"""What metrics are given: tensors of rows, cells that are looked up in the pictures, the answers of several seeds."""

from dataclasses import replace

import pytest
import torch

from rather.bench.batch import EvalBatch, _call, _stacked, key_points_in_cells, objects_in_cells
from rather.bench.judges import build_judges
from rather.bench.spec import AskedData
from rather.config.errors import RatherError
from rather.data.source import Source
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.io.png import png
from rather.metrics import load_metrics
from rather.runs.store import Row

PICTURE = png(torch.zeros(3, 64, 64))
UNKNOWN = "it is not known which pixels of queries and distractors show the object"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The judges for shapes, and a picture of each part whose key is known."""
    data, net = load_dataset("shapes"), load_classifier("shapes")
    judges = build_judges(net, data, AskedData(data="shapes"), kept=tmp_path_factory.mktemp("kept"))
    query, distractor = (
        next(n for n in range(20) if source.key_cell(n) is not None) for source in (data.test, data.train)
    )
    cells = [4 * row + column for row, column in (data.test.key_cell(query), data.train.key_cell(distractor))]
    return judges, data.test.id(query), data.train.id(distractor), cells


class Animals(Source):
    """Pictures of 4 x 4 pixels, each with an animal somewhere; the mask of "torn" is damaged."""

    name, classes, regions = "animals", (), ("animal", "background")

    def __init__(self, **animals: tuple[slice, slice]) -> None:
        self.animals = animals

    def __len__(self):
        return len(self.animals) + 1

    def id(self, index):
        return [*self.animals, "torn"][index]

    def label(self, index):
        return None

    def where(self, index):
        return self.id(index)

    def read(self, index):
        return torch.zeros(3, 4, 4)

    def layout(self, index):
        if self.id(index) == "torn":
            raise RatherError("DATA-DAMAGED", where="torn.png")
        layout = torch.ones(4, 4, dtype=torch.uint8)
        layout[self.animals[self.id(index)]] = 0
        return layout


def scored(name: str, rows: list[Row], judges):
    return _call(load_metrics()[name], EvalBatch(rows, judges).given)


def together(name: str, seeds: list[EvalBatch]):
    return _call(load_metrics()[name], lambda need: _stacked(seeds, need))


def answered(name: str, **info: object) -> Row:
    return Row(id=name, where="", status="found", query=PICTURE, image=PICTURE, info=info)


def test_a_method_that_exchanges_nothing_has_no_score_beside_one_that_does(shapes):
    judges, query, distractor, (key, its_key) = shapes
    away = [(key + 1) % 16, (its_key + 1) % 16]
    rows = [
        answered(query),
        answered(query, edits=3, distractor=distractor),
        answered(query, edits=[], distractor=distractor),
        answered(query, edits=[[key, its_key], away], distractor=distractor),
        answered(query, edits=[[key, away[1]]], distractor=distractor),
        answered(query, edits=[[key, its_key]]),
    ]
    found = scored("near_key_point", rows, judges)
    assert found.isnan().tolist() == [True, True, True, False, False, True]
    assert found[3:5].tolist() == [0.5, 0.5]
    assert scored("near_key_point", rows[:3], judges).isnan().all()


def test_places_are_not_known_of_pictures_from_elsewhere(tmp_path):
    shapes = load_classifier("shapes"), load_dataset("shapes")
    other = build_judges(*shapes, AskedData(data="shapes", references="elsewhere"), kept=tmp_path)
    assert other.lacks("key_points_of") == "distractors are of elsewhere, where no places are looked up"
    own = build_judges(*shapes, AskedData(data="shapes"), kept=tmp_path)
    assert own.lacks("key_points_of") == ""
    assert other.lacks("objects_of") == own.lacks("objects_of") == UNKNOWN
    assert [net.question()["key_points_of"] for net in (other, own)] == [None, ["shapes", "shapes"]]


def test_cells_inside_the_object_are_those_of_each_picture_and_a_damaged_mask_is_no_zero(shapes):
    upper, left, all_of_it = slice(0, 2), slice(0, 1), slice(None)
    queries, distractors = Animals(own=(upper, all_of_it)), Animals(other=(all_of_it, left))
    judges = replace(shapes[0], objects_of=(queries, distractors))
    assert judges.lacks("objects_of") == ""
    rows = [
        answered(name, edits=edits, distractor=distractor)
        for name, edits, distractor in (
            ("own", [[3, 12]], "other"),  # both inside, and neither if they were taken for each other
            ("own", [[12, 3]], "other"),  # neither, though the other way round both
            ("own", [[0, 1], [15, 15]], "other"),  # one of four
            ("torn", [[0, 0]], "other"),
            ("own", [[0, 0]], "torn"),
        )
    ]
    found = scored("inside_object", [answered("own"), *rows], judges)
    assert found.isnan().tolist() == [True, False, False, False, True, True]
    assert found[1:4].tolist() == [1, 0, 0.25]


def test_seeds_agree_on_the_first_cell_where_all_of_them_exchange_one(shapes):
    one, other = (
        [answered("a", edits=[[4, 0]], distractor="x"), answered("b", edits=[[cell, 0], [2, 1]], distractor="x")]
        for cell in (1, 3)
    )
    bare = [answered("a"), answered("b", edits=[[1, 0]], distractor="x")]
    seeds = [EvalBatch(rows, shapes[0]) for rows in (one, other, one)]
    assert together("cell_agreement", seeds).tolist() == pytest.approx([1, 1 / 3])
    assert together("cell_agreement", [seeds[0], EvalBatch(bare, shapes[0])]).isnan().tolist() == [True, False]


def test_cardinality_counts_the_successful_explanations_of_all_seeds(shapes):
    def seed(change: list[float], *, successful: bool) -> EvalBatch:
        batch = EvalBatch([answered("a")], shapes[0])
        vars(batch).update(changes=torch.tensor([change]), successful=torch.tensor([successful]))
        return batch

    changes = ([1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0])
    seeds = [*(seed(change, successful=True) for change in changes), seed([0, 0, 1.0], successful=False)]
    assert together("cardinality", seeds).tolist() == [2]


class Two(Source):
    """Two pictures of 4 x 4 pixels; the second has the left eye, and its upper half is an animal."""

    name, classes = "two", ()
    point_names, regions = ("left eye", "right eye", "tail"), ("animal", "background")

    def __len__(self):
        return 2

    def id(self, index):
        return ("a", "b")[index]

    def label(self, index):
        return None

    def where(self, index):
        return self.id(index)

    def read(self, index):
        return torch.zeros(1, 4, 4)

    def layout(self, index):
        upper = (torch.arange(4)[:, None] < 2 * index).expand(4, 4)
        return (~upper).byte()

    def key_points(self, index):
        return torch.tensor([[0.9, 0.1, index], [0.9, 0.1, 0], [0.1, 0.9, 1]])


def test_key_points_are_of_the_pictures_that_are_asked_for_with_both_sides_as_one():
    found = key_points_in_cells(Two(), ["b", "a", "b"], (2, 2))
    assert found.shape == (3, 2, 4)
    assert found.nonzero().tolist() == [[0, 0, 1], [0, 1, 2], [1, 1, 2], [2, 0, 1], [2, 1, 2]]


def test_the_object_is_all_that_is_not_background():
    assert objects_in_cells(Two(), ["b", "a"], (2, 2)).tolist() == [[True, True, False, False], [False] * 4]


class Torn(Two):
    """The same, with neither key points nor a mask of the first that could be read."""

    def layout(self, index):
        self._refuse(index)
        return super().layout(index)

    def key_points(self, index):
        self._refuse(index)
        return super().key_points(index)

    def _refuse(self, index):
        if index == 0:
            raise RatherError("DATA-DAMAGED", where="a.png")


def test_a_picture_whose_places_cannot_be_read_shows_nothing_and_the_others_what_they_did():
    ids, grid = ["b", "a", "b"], (2, 2)
    for where in (key_points_in_cells, objects_in_cells):
        found, whole = where(Torn(), ids, grid), where(Two(), ids, grid)
        assert not found[1].any()
        assert torch.equal(found[[0, 2]], whole[[0, 2]])
        assert found[0].any()


def test_a_drawn_face_is_in_the_middle():
    source = load_dataset("faces").test
    (inside,) = objects_in_cells(source, [source.id(3)], (4, 4))
    assert inside.view(4, 4)[1:3, 1:3].all()
    assert not inside.view(4, 4)[0, 0]
