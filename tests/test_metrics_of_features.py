"""Nets in whose features pictures are compared, and what is measured in them."""

from math import prod

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import inception_v3, squeezenet1_1

from rather.config.errors import RatherError
from rather.hub.classifiers import load_classifier
from rather.io.bundled import list_weights, weights_file
from rather.metrics import frechet_distance, kid_of_features, s3
from rather.metrics.features import pooled, prepared
from rather.metrics.features.inception import Inception, architecture
from rather.metrics.features.squeezenet import SqueezeNet


@pytest.fixture(scope="module")
def squeezed():
    return SqueezeNet(64)


def test_squeezenet_is_torchvisions_with_the_authors_pixels(squeezed):
    theirs = squeezenet1_1(weights=None).features.eval()
    theirs.load_state_dict(squeezed.net.state_dict())
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    pixels = torch.stack([255 * x[:, 2] - 104, 255 * x[:, 1] - 117, 255 * x[:, 0] - 123], 1)
    torch.testing.assert_close(squeezed.features(x), theirs(pixels))
    assert not any(p.requires_grad for p in squeezed.parameters())
    assert not squeezed.train().training


def test_weights_of_squeezenet_are_half_floats_without_classes_and_in_no_list_of_classifiers(squeezed):
    file = weights_file("squeezenet", "features")
    size = 2 * sum(prod(p.shape) for p in squeezed.net.parameters())
    assert size < file.stat().st_size < size + 10_000
    assert "squeezenet" not in list_weights("classifier", "generator")


def test_squeezenet_takes_any_size_and_grey_pictures(squeezed):
    grey = torch.rand(2, 1, 28, 40)
    assert squeezed.features(grey).shape == (2, 512, 3, 3)
    torch.testing.assert_close(squeezed.features(grey), squeezed.features(grey.expand(-1, 3, -1, -1)))
    assert squeezed.name == "squeezenet-64"  # in another size the features are others


def test_squeezenet_sees_colours_in_their_order(squeezed):
    x = torch.rand(2, 3, 64, 64)
    assert (squeezed.features(x) - squeezed.features(x.flip(1))).abs().max() > 1


@pytest.mark.shapes
def test_prepared_pictures_are_bilinear_and_those_of_the_right_size_untouched():
    x = torch.rand(2, 3, 9, 9)
    assert torch.equal(prepared(x, 9, antialias=True), x)
    large = prepared(x, 18, antialias=False)
    torch.testing.assert_close(
        large[..., 1, 1], 0.75**2 * x[..., 0, 0] + 0.1875 * (x[..., 0, 1] + x[..., 1, 0]) + 0.0625 * x[..., 1, 1]
    )
    board = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).float().expand(1, 1, -1, -1)
    torch.testing.assert_close(
        prepared(board, 4, antialias=True)[0, :, 1:3, 1:3], torch.full((3, 2, 2), 0.5), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("bad", [-0.01, 1.01, torch.nan])
def test_values_out_of_range_are_refused_before_they_are_measured(bad, squeezed):
    x = torch.rand(2, 3, 8, 8)
    x[1, 2, 3, 4] = bad
    with pytest.raises(RatherError) as caught:
        squeezed.features(x)
    assert caught.value.code == "DATA-NONFINITE"
    with pytest.raises(RatherError) as caught:
        squeezed.features(torch.rand(2, 4, 8, 8))
    assert caught.value.code == "DATA-SHAPE"


def test_a_frechet_distance_can_be_taken_in_any_net_of_features(squeezed):
    classifier = load_classifier("digits")
    x, y = torch.rand(2, 5, 1, 28, 28)
    assert frechet_distance(x, y, squeezed) != frechet_distance(x, y, classifier)
    a, b = pooled(squeezed, x), pooled(classifier, y)
    assert kid_of_features(a, a) < 0  # unbiased, and so below 0 for equal sets
    with pytest.raises(RatherError, match="two pictures"):
        kid_of_features(b, b[:1])


# ---------------------------------------------------------------- Inception


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """A file as users have it, of random weights."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    state = architecture().state_dict()
    torch.save({key: t for key, t in state.items() if not key.endswith("num_batches_tracked")}, file)
    return file


def test_inception_has_the_names_of_the_published_file_and_its_own_poolings(inception_file):
    theirs = inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False).eval()
    net = Inception(inception_file)
    assert net.net.state_dict().keys() == theirs.state_dict().keys()
    theirs.load_state_dict(net.net.state_dict())
    x = torch.rand(1, 192, 5, 5)
    branches = net.net.Mixed_5b(x), theirs.Mixed_5b(x)
    torch.testing.assert_close(branches[0][:, :224], branches[1][:, :224])
    pools = [some[:, 224:] for some in branches]
    torch.testing.assert_close(pools[0][..., 1:-1, 1:-1], pools[1][..., 1:-1, 1:-1])
    corner = theirs.Mixed_5b.branch_pool(x[..., :2, :2].mean((2, 3), keepdim=True))
    torch.testing.assert_close(pools[0][..., 0, 0], corner[..., 0, 0])  # a mean of 4 pixels, not of 9
    assert not torch.allclose(pools[1][..., 0, 0], corner[..., 0, 0])
    last = torch.rand(1, 2048, 3, 3)
    most = theirs.Mixed_7c.branch_pool(last.amax((2, 3), keepdim=True))
    torch.testing.assert_close(net.net.Mixed_7c(last)[:, -192:, 1, 1], most[..., 0, 0])


def test_inception_takes_pictures_in_its_own_range_and_size(inception_file):
    net = Inception(inception_file)
    seen = []
    net.net.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    grey = torch.rand(1, 1, 20, 30)
    found = pooled(net, grey)
    assert found.shape == (1, 2048)
    assert seen[0].shape == (1, 3, 299, 299)
    assert -1 <= seen[0].min() < -0.5
    assert 0.5 < seen[0].max() <= 1
    theirs = []
    net.net.dropout.register_forward_pre_hook(lambda _, given: theirs.append(given[0].flatten(1)))
    net.net(seen[0])
    torch.testing.assert_close(found.float(), theirs[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(RatherError) as caught:
        net.features(255 * grey)
    assert caught.value.code == "DATA-NONFINITE"


def test_inception_without_its_weights_is_refused_in_a_line(tmp_path):
    with pytest.raises(RatherError, match=r"FID needs the weights.*does not bring") as caught:
        Inception(tmp_path / "none.pth")
    assert caught.value.code == "MODEL-NOT-FOUND"
    assert "\n" not in str(caught.value)
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(RatherError) as caught:
        Inception(tmp_path / "other.pth")
    assert caught.value.code == "MODEL-WEIGHTS"


# ---------------------------------------------------------------- identity


@pytest.mark.shapes
def test_s3_is_the_cosine_of_projections_batch_by_batch():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    seen = []
    x, y = torch.rand(2, 300, 3, 2, 2)

    def encoder(part):
        seen.append(len(part))
        return net(part)

    found = s3(x, y, encoder)
    a, b = (net(some).detach().double().numpy() for some in (x, y))
    slow = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(found.numpy(), slow, atol=1e-6)
    assert max(seen) <= 256
    assert not found.requires_grad
