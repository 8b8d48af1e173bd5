"""Exchanged cells are looked up in the pictures that they come from, by the pictures' ids."""

import torch
from typing_extensions import override

from rather.bench.places import key_points_in_cells, objects_in_cells
from rather.config.errors import RatherError
from rather.data.source import Source
from rather.hub.datasets import load_dataset


class Two(Source):
    """Two pictures of 4 x 4 pixels; the second has the left eye, and its upper half is an animal."""

    name, classes = "two", ()
    point_names, regions = ("left eye", "right eye", "tail"), ("animal", "background")

    @override
    def __len__(self):
        return 2

    @override
    def id(self, index):
        return ("a", "b")[index]

    @override
    def label(self, index):
        return None

    @override
    def where(self, index):
        return self.id(index)

    @override
    def read(self, index):
        return torch.zeros(1, 4, 4)

    @override
    def layout(self, index):
        upper = (torch.arange(4)[:, None] < 2 * index).expand(4, 4)
        return (~upper).byte()

    @override
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

    @override
    def layout(self, index):
        self._refuse(index)
        return super().layout(index)

    @override
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
