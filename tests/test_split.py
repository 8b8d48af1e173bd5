"""Cutting nets: the two parts are the net, the cut is where all of the answer goes through."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.nn import functional as F

from rather.classifiers.outputs import OneTensor
from rather.classifiers.split import split
from rather.classifiers.traced import trace
from refusing import refusal

X = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def kinds(net):
    return [type(layer) for layer in net]


def agree(net, layer=None, x=X):
    """The parts, after it is sure that together they are the net, for other images and another batch too."""
    net.eval()
    body, head = split(net, layer, example=x)
    with torch.no_grad():
        for images in (x, 1 - x[:1], x.repeat(2, 1, 1, 1)):
            features = body(images.clone())
            kept = features.clone()
            torch.testing.assert_close(head(features), net(images.clone()))
            assert torch.equal(features, kept), "the head wrote into its map"
            assert features.ndim == 4
    return body, head


class Written(nn.Module):
    """A net as people write them: functions, a view, a dictionary, and arguments that nobody gives."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.out = nn.Conv2d(3, 4, 3), nn.Dropout(), nn.Linear(4 * 25, 5)

    def forward(self, x, mask=None):
        if mask is not None:
            x = x * mask
        x = F.max_pool2d(F.relu(self.conv(x), inplace=True), 2)
        x = F.dropout(self.drop(x), training=self.training)
        return {"logits": self.out(x.view(x.size(0), -1)), "kind": "written"}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3)
        self.relu, self.out = nn.ReLU(inplace=True), nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.one(x))
        x = self.relu(x + self.two(x))
        x = self.relu(self.three(x))
        return self.out(x.mean([2, 3]))


class Wilful(nn.Module):
    """Its code decides by the numbers that it sees, so that nobody can follow it."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(400, 5)

    def forward(self, x):
        x = self.conv(x)
        return self.out((x if x.sum() > -1e9 else -x).flatten(1))


def test_a_net_of_functions_becomes_two_chains_of_layers():
    net = Written().eval()
    body, head = split(net, example=X)
    assert kinds(body) == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert kinds(head) == [nn.Flatten, nn.Linear]
    assert body[0] is net.conv
    with torch.no_grad():
        assert torch.equal(head(body(X)), net(X)["logits"])


def test_vgg_is_cut_before_its_pooling_which_does_nothing_at_its_own_size():
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    decision = nn.Sequential(nn.Linear(4 * 36, 8), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(8, 5))
    net = nn.Sequential(features, nn.AdaptiveAvgPool2d(6), nn.Flatten(), decision)
    body, head = agree(net)
    assert kinds(body) == kinds(features)
    assert kinds(head) == [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]
    _, head = agree(net, x=torch.rand(3, 3, 8, 8))
    assert kinds(head) == [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]


def test_a_residual_net_has_a_pooled_linear_head():
    body, head = agree(Residual())
    assert kinds(head) == [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
    assert body(X).shape == (3, 4, 10, 10)


@pytest.mark.parametrize("layer", ["one", "three"])
def test_any_layer_that_all_goes_through(layer):
    # An inplace ReLU follows each: the head must not write into the map that it is given.
    net = Residual().eval()
    body, _ = agree(net, layer)
    with torch.no_grad():
        first = net.one(X)
        expected = first if layer == "one" else net.three(F.relu(F.relu(first) + net.two(F.relu(first))))
        assert torch.equal(body(X), expected)


@pytest.mark.parametrize(
    ("layer", "why", "do"),
    [("two", "skip connection", "one"), ("out", "2 dimensions", "three"), ("onne", "no such layer", "one")],
)
def test_a_layer_that_does_not_do_is_answered_with_one_that_does(layer, why, do):
    error = refusal(split, Residual().eval(), layer, example=X)
    assert error.code == "MODEL-LAYER"
    assert why in str(error)
    assert do in error.do
    assert "two" not in error.do


def test_a_net_whose_code_cannot_be_followed_runs_as_a_whole():
    net = Wilful()
    for layer in (None, "conv"):
        body, _ = agree(net, layer)
        assert torch.equal(body(X), net.conv(X))


def test_around_code_that_cannot_be_followed_the_rest_can_be_cut():
    class Stubborn(nn.Module):
        def forward(self, x):
            return x if x.sum() > -1e9 else -x

    body, head = agree(nn.Sequential(nn.Conv2d(3, 4, 3), Stubborn(), nn.Flatten(), nn.Linear(400, 5)))
    assert kinds(body) == [nn.Conv2d, Stubborn]
    assert kinds(head) == [nn.Flatten, nn.Linear]


def test_what_tracing_gets_wrong_is_left_uncut():
    class Counts(nn.Module):
        """Tracing sees its batch as one number for all; here it would bake in another answer."""

        def __init__(self):
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 4, 12), 0

        def forward(self, x):
            self.calls += 1
            return self.conv(x).flatten(1) * (2 if isinstance(x, fx.Proxy) else 1)

    body, head = split(Counts().eval(), example=X)
    assert isinstance(body, nn.Identity)
    assert isinstance(head, OneTensor)


def test_a_net_without_a_map_has_the_image_as_its_map():
    body, head = agree(nn.Sequential(nn.Flatten(), nn.Linear(432, 5)))
    assert isinstance(body, nn.Identity)
    assert kinds(head) == [nn.Flatten, nn.Linear]


def test_a_net_that_writes_into_its_images_is_given_a_copy():
    class Writes(nn.Module):
        def forward(self, x):
            return x.mul_(2).flatten(1)[:, :5] if x.sum() > 0 else x.flatten(1)[:, :5]

    agree(Writes())


def test_beyond_a_pooling_nothing_is_a_place_of_the_image():
    class Turned(nn.Module):  # ConvNeXt's norm does so: (b, 1, 1, d) is four-dimensional, and no map
        def forward(self, x):
            return F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), Turned(), nn.Flatten(), nn.Linear(4, 5))
    body, _ = agree(net)
    assert kinds(body) == [nn.Conv2d]


def test_modules_of_the_name_net_are_found():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
            self.out = nn.Linear(400, 5)

        def forward(self, x):
            return self.out(self.net(x).flatten(1))

    for layer in ("net", "net.0"):
        body, _ = agree(Outer(), layer)
        assert body(X).shape == (3, 4, 10, 10)


class Plus(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return x + self.inner(x)


LAYERS = {
    "conv": lambda: nn.Conv2d(3, 3, 3, padding=1),
    "norm": lambda: nn.BatchNorm2d(3),
    "relu": lambda: nn.ReLU(inplace=True),
    "pool": lambda: nn.AvgPool2d(2),
    "nested": lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout()),
    "adaptive": lambda: nn.AdaptiveAvgPool2d(4),
    "residual": Plus,
}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=5), st.data())
def test_any_chain_of_blocks_can_be_cut_after_any_block(names, data):
    torch.manual_seed(0)
    blocks = [LAYERS[name]() for name in names if name != "pool" or names.count("pool") < 3]
    if not blocks:
        return
    net = nn.Sequential(*blocks, nn.Flatten(), nn.LazyLinear(5)).eval()
    with torch.no_grad():
        net(X)
    where = data.draw(st.integers(0, len(blocks) - 1))
    body, head = agree(net, str(where))
    with torch.no_grad():
        assert torch.equal(body(X.clone()), net[: where + 1](X.clone()))
    assert isinstance(head, nn.Sequential) or "residual" in names[where + 1 :]
    agree(net)


def test_necks_are_the_steps_without_which_the_image_does_not_reach_the_answer():
    from torchvision.models import get_model

    for name in ("shufflenet_v2_x0_5", "squeezenet1_1", "mobilenet_v3_small"):
        net = get_model(name, weights=None).eval()
        steps = trace(OneTensor(net, None), torch.rand(2, 3, 64, 64))
        needed = steps.steps(steps.image, steps.output)
        without = {node for node in needed if steps.image not in _reached({node, steps.count}, steps.output)}
        of_image = {node for node in without if steps.image in _reached({steps.count}, node)}
        assert steps.necks == of_image | {steps.image}
        assert len(steps.necks) > 10


def _reached(without, end):
    seen, ahead = set(), [end]
    while ahead:
        node = ahead.pop()
        if node not in without and node not in seen:
            seen.add(node)
            ahead += node.all_input_nodes
    return seen
