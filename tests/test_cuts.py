"""Nets of every kind are cut where a map holds all of the answer, or else run on patches of the image."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rather.classifiers.hooked import HookedBody
from rather.classifiers.maps import Layout, Patches, layout_of
from rather.classifiers.outputs import Function
from rather.classifiers.split import split
from refusing import refusal

X = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
OTHER = torch.rand(5, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def answer(net, x):
    given = net(x)
    return given["logits"] if isinstance(given, dict) else given


def parts(net, layer=None):
    """Body and head, after it is sure that they are the net: its answers, its gradients, on any number of images."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    net.eval().requires_grad_(False)
    body, head = split(net, layer, example=X)
    for x in (X, OTHER, OTHER[:1]):
        torch.testing.assert_close(head(body(x)), answer(net, x))
        with torch.no_grad():  # ways around the map would show: it is another image's than the one that came before
            torch.testing.assert_close(head(body(x.flip(0))), answer(net, x).flip(0))
    if answer(net, X.clone().requires_grad_()).requires_grad:
        one, other = OTHER.clone().requires_grad_(), OTHER.clone().requires_grad_()
        ours = torch.autograd.grad(head(body(one)).log_softmax(1)[:, 0].sum(), one)
        theirs = torch.autograd.grad(answer(net, other).log_softmax(1)[:, 0].sum(), other)
        torch.testing.assert_close(ours, theirs)
    assert not any(module._forward_hooks or "forward" in module.__dict__ for module in net.modules())
    return body, head


def wilful(x):
    """Nobody can follow code that decides by the numbers it sees."""
    return x if x.sum() > -1e9 else -x


class Stem(nn.Module):
    """Three maps of 12, 6 and 3 cells a side, for nets that differ in what they do with them."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 6, 2, stride=2)
        self.three, self.pool, self.out = nn.Conv2d(6, 6, 2, stride=2), nn.AdaptiveAvgPool2d(1), nn.Linear(6, 5)

    def maps(self, x):
        return self.three(self.two(self.one(x)).relu()).relu()

    def forward(self, x):
        return self.out(self.pool(self.maps(x)).flatten(1))


class EarlySize(Stem):
    def forward(self, x):
        bs = x.size(0)
        return self.out(self.pool(self.maps(x)).view(bs, -1))


class EarlyShape(Stem):
    def forward(self, x):
        b, c, _, _ = x.shape
        return self.out(self.pool(self.maps(x)).reshape(b, 2 * c))


class Followed(Stem):
    def forward(self, x):
        return {"logits": super().forward(wilful(x)), "loss": None}


class Skips(Stem):
    """Some of the answer goes around the third layer, though not around the second; and each is called twice."""

    def forward(self, x):
        middle = self.two(self.one(wilful(x * 2)) + self.one(x))
        return self.out(self.pool(self.three(middle)).flatten(1) + F.avg_pool2d(middle, 6).flatten(1))


class Remembers(Stem):
    """What it keeps of an early layer reaches the answer by no tensor that a later layer is given."""

    def forward(self, x):
        self.kept = wilful(self.two(self.one(x))).mean((2, 3))
        with torch.no_grad():
            return super().forward(x) + self.kept[:, :5]


class Pair(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return (self.inner(x), None)


class Tuples(Stem):
    """Its layers give tuples, as those of transformers do."""

    def __init__(self):
        super().__init__()
        self.three = Pair(nn.Conv2d(6, 6, 2, stride=2))

    def maps(self, x):
        return self.three(self.two(wilful(self.one(x))))[0]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.mlp = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, 2)
        x = x + (q @ k.transpose(1, 2)).softmax(2) @ v
        return x + self.mlp(x).relu()


class Tokens(nn.Module):
    """A vision transformer of 4 x 4 patches.

    Args:
        special: tokens before those of the patches; the first of them is read, or the mean of the others if it is 0.
        followed: whether its code can be traced.
    """

    def __init__(self, special=1, followed=True):
        super().__init__()
        self.patch, self.out = nn.Conv2d(3, 8, 6, stride=6), nn.Linear(8, 5)
        self.followed, self.count = followed, special
        self.special = nn.Parameter(torch.zeros(1, special, 8))
        self.blocks, self.norm = nn.Sequential(Attention(), Attention(), Attention()), nn.LayerNorm(8)

    def forward(self, x):
        n = x.shape[0]
        x = self.patch(x if self.followed else wilful(x)).flatten(2).transpose(1, 2)
        x = self.norm(self.blocks(torch.cat([self.special.expand(n, -1, -1), x], 1)))
        return self.out(x[:, 0] if self.count else x.mean(1))


class Mixed(nn.Module):
    """Channels come last, as in a Swin transformer."""

    def __init__(self, followed):
        super().__init__()
        self.patch, self.mix, self.out = nn.Conv2d(3, 7, 6, stride=6), nn.Linear(7, 7), nn.Linear(7, 5)
        self.followed = followed

    def forward(self, x):
        x = self.patch(x if self.followed else wilful(x)).permute(0, 2, 3, 1)
        return self.out(self.mix(x).mean((1, 2)))


#: A net, the shape of its map, and the layer at which it is cut while it runs as a whole, if it does.
KINDS = {
    "plain": (Stem, (6, 3, 3), None),
    "early size": (EarlySize, (6, 3, 3), None),
    "early shape": (EarlyShape, (6, 3, 3), None),
    "not followed": (Followed, (6, 3, 3), "three"),
    "skips": (Skips, (6, 6, 6), "two"),
    "tuples": (Tuples, (6, 3, 3), "three"),
    "class token": (Tokens, (16, 4, 4), None),
    "three special tokens": (lambda: Tokens(3), (32, 4, 4), None),
    "mean of tokens": (lambda: Tokens(0), (8, 4, 4), None),
    "class token, not followed": (lambda: Tokens(1, followed=False), (16, 4, 4), "blocks.1"),
    "mean of tokens, not followed": (lambda: Tokens(0, followed=False), (8, 4, 4), "norm"),
    "channels last": (lambda: Mixed(followed=True), (7, 4, 4), None),
    "channels last, not followed": (lambda: Mixed(followed=False), (7, 4, 4), "mix"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_net_is_cut(kind):
    make, shape, layer = KINDS[kind]
    body, _ = parts(make())
    assert body(X).shape[1:] == shape
    assert getattr(body, "layer", None) == layer


def test_a_net_whose_answer_goes_around_every_map_is_cut_into_patches():
    for net in (Remembers(), Function(Stem().requires_grad_(requires_grad=False).forward)):
        body, _ = parts(net)
        assert isinstance(body, Patches)
        assert body(X).shape[1:] == (27, 8, 8)


def test_patches_of_images_whose_sides_are_no_multiples():
    x = torch.rand(2, 3, 45, 23)
    body, head = split(Function(lambda x: x.flatten(1)[:, ::100]), example=x)
    assert body(x).shape == (2, 3 * 36, 8, 4)
    assert torch.equal(head(body(x)), x.flatten(1)[:, ::100])


def test_a_head_runs_only_what_comes_after_the_map():
    net = Followed()
    body, head = parts(net)
    assert isinstance(body, HookedBody)
    ran = []
    for name, module in net.named_modules():
        module.register_forward_pre_hook(
            lambda module, _, name=name: ran.append(name) if "forward" not in module.__dict__ else None
        )
    head(body(X))
    assert ran == ["", "one", "two", "three", "pool", "out", "", "pool", "out"]


def test_a_layer_by_name_in_a_net_that_runs_as_a_whole():
    body, _ = parts(Followed(), "one")
    assert body(X).shape[1:] == (4, 12, 12)
    refused = {"three": "Take two", "out": "dimensions", "pool": "", "thre": "Take three"}
    for layer, line in refused.items():
        error = refusal(split, Skips().eval().requires_grad_(False), layer, example=X)
        assert error.code == "MODEL-LAYER"
        assert line in str(error), layer
    assert "cannot be seen" in str(refusal(split, Function(Stem().forward), "three", example=X))


@pytest.mark.parametrize(
    ("shape", "image", "layout"),
    [
        ((2, 8, 7, 7), (56, 56), Layout("channels first", (7, 7))),
        ((2, 7, 7, 8), (56, 56), Layout("channels last", (7, 7))),
        ((2, 7, 7, 7), (56, 56), Layout("channels first", (7, 7))),
        ((2, 4, 8, 9), (32, 64), Layout("channels last", (4, 8))),
        ((2, 49, 8), (56, 56), Layout("tokens", (7, 7))),
        ((2, 53, 8), (56, 56), Layout("tokens", (7, 7), 4)),
        ((2, 33, 5), (64, 32), Layout("tokens", (8, 4), 1)),
        ((2, 49, 8), (64, 64), None),
        ((2, 49, 1), (56, 56), None),
        ((2, 8), (56, 56), None),
        ((2, 0, 7, 7), (56, 56), None),
    ],
)
def test_the_layout_of_a_map_is_known_by_its_shape(shape, image, layout):
    assert layout_of(shape, image) == layout
    if layout is not None:
        given = torch.rand(shape)
        assert layout.to_map(given).shape[2:] == layout.grid
        torch.testing.assert_close(layout.from_map(layout.to_map(given)), given)
