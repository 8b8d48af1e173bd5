"""A grey query has a grey answer, whatever the method draws with."""

import pytest
import torch

from analytic import example, in_colour, others, pictures, tinted
from rather.core import Goal
from rather.core.grey import is_grey, with_grey
from rather.hub.methods import list_methods
from tolerance import assert_same_pictures


@pytest.mark.parametrize("name", list_methods())
def test_no_pixel_of_a_grey_query_gets_a_colour(name):
    classifier, grey = in_colour(), pictures(4).repeat(1, 3, 1, 1)
    x = torch.stack([grey[0], tinted(grey[1, :1]), grey[2], tinted(grey[3, :1])])  # every other one has a colour
    target = others(classifier, x)
    result = example(name, channels=3)(classifier, x, target, ids="abcd")
    assert is_grey(x).tolist() == [True, False, True, False]
    assert int((result.images[::2] != result.images[::2, :1]).sum()) == 0
    assert result.success.all(), result.failure
    assert Goal.change(target).reached(classifier.probabilities(result.images).log()).all()  # as the files are judged
    for row in range(4):  # and grey neighbours change nothing
        alone = example(name, channels=3)(classifier, x[row : row + 1], target[row : row + 1], ids="abcd"[row])
        assert_same_pictures(alone.images[0], result.images[row])


def test_a_classifier_in_grey_is_the_same_for_grey_and_has_a_grey_gradient():
    classifier = in_colour()
    x = pictures(3).repeat(1, 3, 1, 1).requires_grad_()
    seen = classifier.in_grey(x)
    assert torch.allclose(seen, classifier(x), atol=1e-5)
    (gradient,) = torch.autograd.grad(seen[:, 0].sum(), x)
    assert is_grey(gradient).all()


def test_only_three_channels_have_colours():
    for channels in (1, 2, 4):
        assert not is_grey(torch.full((2, channels, 3, 3), 0.5)).any()
    x = torch.rand(2, 3, 4, 4)
    made = with_grey(x, torch.tensor([True, False]))
    assert is_grey(made).tolist() == [True, False]
    assert torch.equal(made[1], x[1])
