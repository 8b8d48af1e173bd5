"""A sticker that decides is found, however many of the images have it."""

import pytest
import torch
from torch import nn

from rather.audit.attributes import attributes, cut
from rather.audit.load import LoadedRun
from rather.audit.rules import suspicious_attributes, suspicious_places
from rather.audit.swaps import places
from rather.core import Classifier

COUNT, SIDE = 200, 16


class GoesByRed(nn.Module):
    """Says b where the corner at the right bottom is red."""

    def forward(self, x):
        corner = x[:, :, 12:, 12:].mean((2, 3))
        red = 40 * (corner[:, 0] - corner[:, 1] - 0.3)
        return torch.stack([-red, red], 1)


def stickers(share, classifier):
    """Grey pictures of a slight colour, of which a share has a red sticker; labels that have nothing to do with it."""
    rng = torch.Generator().manual_seed(0)
    grey = 0.3 + 0.4 * torch.rand(COUNT, 1, 1, 1, generator=rng)
    grain = 0.2 * torch.rand(COUNT, 1, 1, 1, generator=rng) * torch.randn(COUNT, 1, SIDE, SIDE, generator=rng)
    x = (grey + grain + 0.02 * torch.randn(COUNT, 3, SIDE, SIDE, generator=rng)).clamp(0, 1)
    has = torch.randperm(COUNT, generator=rng) < share * COUNT
    x[has, :, 12:, 12:] = torch.tensor([1.0, 0, 0])[:, None, None]
    p, none = classifier.probabilities(x), torch.zeros(0, dtype=torch.long)
    return LoadedRun(
        ids=[str(n) for n in range(COUNT)],
        images=x,
        probabilities=p,
        predicted=p.argmax(1),
        labels=torch.randint(2, (COUNT,), generator=rng),
        found=none,
        target=none,
        counterfactuals=x[:0],
    )


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.53, 0.6, 0.95])
def test_a_sticker_is_found_however_many_have_it(share):
    classifier = Classifier(nn.Identity(), GoesByRed(), classes="ab", shape=(3, SIDE, SIDE))
    run = stickers(share, classifier)
    found = attributes(run, "ab", None)
    named = {one.name: one for one in suspicious_attributes(found, ())}
    assert "strong colours" in named
    assert "the probability of `b` is" in named["strong colours"].evidence
    colours = next(one for one in found if one.name == "strong colours")
    assert colours.has.count == round(share * COUNT)
    assert colours.towards == "b"
    assert colours.answer.value > 0.5
    if 0.3 <= share <= 0.6:  # places are exchanged between a few images, which have to be of all four kinds
        (place,) = suspicious_places(places(run, classifier))
        assert place.name == "bottom, right"


def test_values_without_two_groups_are_cut_at_the_median():
    rng = torch.Generator().manual_seed(0)
    for values in (torch.rand(100, generator=rng), torch.randn(100, generator=rng), torch.full((100,), 0.3)):
        assert cut(values) == values.median()
    outlier = torch.cat([torch.rand(99, generator=rng), torch.tensor([1e6])])
    assert cut(outlier) == outlier.median()
