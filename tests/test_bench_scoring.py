"""Scores of rows that some have not, and of the answers of several seeds."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rather.bench.answers import Answers
from rather.bench.exchanges import cell_agreement, near_key_point
from rather.bench.judges import nets_of
from rather.bench.scoring import SCORES, TOGETHER
from rather.config.errors import RatherError
from rather.data.source import Source
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.io.png import png
from rather.runs.store import Row

PICTURE = png(torch.zeros(3, 64, 64))
OF_NOBODY = "nobody knows which pixels of queries and distractors show the object"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The nets for shapes, and a picture of each part whose key is known."""
    data, net = load_dataset("shapes"), load_classifier("shapes")
    nets = nets_of(net, data, kept=tmp_path_factory.mktemp("kept"))
    query, distractor = (
        next(n for n in range(20) if source.key_cell(n) is not None) for source in (data.test, data.train)
    )
    cells = [4 * row + column for row, column in (data.test.key_cell(query), data.train.key_cell(distractor))]
    return nets, data.test.id(query), data.train.id(distractor), cells


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


def answered(name: str, **info: object) -> Row:
    return Row(id=name, where="", status="found", query=PICTURE, image=PICTURE, info=info)


def test_a_method_that_exchanges_nothing_has_no_score_beside_one_that_does(shapes):
    nets, query, distractor, (key, its_key) = shapes
    away = [(key + 1) % 16, (its_key + 1) % 16]
    rows = [
        answered(query),
        answered(query, edits=3, distractor=distractor),
        answered(query, edits=[], distractor=distractor),
        answered(query, edits=[[key, its_key], away], distractor=distractor),
        answered(query, edits=[[key, away[1]]], distractor=distractor),
        answered(query, edits=[[key, its_key]]),
    ]
    found = near_key_point(Answers(rows, nets))
    assert found.isnan().tolist() == [True, True, True, False, False, True]
    assert found[3:5].tolist() == [0.5, 0.5]
    assert near_key_point(Answers(rows[:3], nets)).isnan().all()


def test_places_are_not_known_of_pictures_from_elsewhere(tmp_path):
    nets = nets_of(load_classifier("shapes"), load_dataset("shapes"), kept=tmp_path, references="elsewhere")
    assert nets.lacks("key_points_of") == "distractors are of elsewhere, where no places are looked up"
    own = nets_of(load_classifier("shapes"), load_dataset("shapes"), kept=tmp_path)
    assert own.lacks("key_points_of") == ""
    assert nets.lacks("objects_of") == own.lacks("objects_of") == OF_NOBODY
    assert [net.question()["key_points_of"] for net in (nets, own)] == [None, ["shapes", "shapes"]]


def test_cells_inside_the_object_are_those_of_each_picture_and_a_damaged_mask_is_no_zero(shapes):
    upper, left, all_of_it = slice(0, 2), slice(0, 1), slice(None)
    queries, distractors = Animals(mine=(upper, all_of_it)), Animals(other=(all_of_it, left))
    nets = replace(shapes[0], objects_of=(queries, distractors))
    assert nets.lacks("objects_of") == ""
    rows = [
        answered(name, edits=edits, distractor=distractor)
        for name, edits, distractor in (
            ("mine", [[3, 12]], "other"),  # both inside, and neither if they were taken for each other
            ("mine", [[12, 3]], "other"),  # neither, though the other way round both
            ("mine", [[0, 1], [15, 15]], "other"),  # one of four
            ("torn", [[0, 0]], "other"),
            ("mine", [[0, 0]], "torn"),
        )
    ]
    found = SCORES["inside_object"].of(Answers([answered("mine"), *rows], nets))
    assert found.isnan().tolist() == [True, False, False, False, True, True]
    assert found[1:4].tolist() == [1, 0, 0.25]


def test_seeds_agree_on_the_first_cell_where_all_of_them_exchange_one(shapes):
    one, other = (
        [answered("a", edits=[[4, 0]], distractor="x"), answered("b", edits=[[cell, 0], [2, 1]], distractor="x")]
        for cell in (1, 3)
    )
    bare = [answered("a"), answered("b", edits=[[1, 0]], distractor="x")]
    seeds = [Answers(rows, shapes[0]) for rows in (one, other, one)]
    assert cell_agreement(seeds).tolist() == pytest.approx([1, 1 / 3])
    assert cell_agreement([seeds[0], Answers(bare, shapes[0])]).isnan().tolist() == [True, False]


def test_cardinality_counts_the_telling_answers_of_all_seeds():
    def seed(change: list[float], after: int) -> SimpleNamespace:
        labels = [torch.tensor([k]) for k in (0, after, 0, 0)]  # the truth stays
        return SimpleNamespace(attributes=(torch.zeros(1, 3), torch.tensor([change])), said=labels)

    seeds = [seed([1, 0, 0], 1), seed([0, 1, 0], 1), seed([0, -1, 0], 1), seed([0, 0, 1], 0)]
    assert TOGETHER["cardinality"].of(seeds).tolist() == [2]
