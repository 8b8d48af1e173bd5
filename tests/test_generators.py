"""What lies in generators/ must pass, and the one loop that trains it."""

import ast
import json
import math
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

import rather
from rather.config.errors import RatherError
from rather.core import Classifier
from rather.generators._conditional import coin_divergence as asked_for
from rather.generators.autoencoder import Autoencoder
from rather.generators.classwise import by_class
from rather.generators.gan import Inversion
from rather.generators.recipe import GeneratorRecipe, Phase
from rather.generators.simsiam import Encoder, agreement, view
from rather.generators.tcvae import decomposed, log_normal
from rather.generators.vae import divergence
from rather.hub.checkpoints import read_generator, save_generator
from rather.hub.generators import generator_class, list_generators, load_generator, makers
from rather.io.png import png
from rather.train.fit import Schedule, fit
from rather.train.generator import train_generator

ALL = sorted(list_generators())
KINDS = ["gan", "tcvae", "vae"]  # those of autoencoders
OTHERS = [kind for kind in ALL if kind not in KINDS]
SHAPES = [(1, 28, 28), (3, 33, 47), (3, 128, 64)]
HOME = Path(rather.__file__).parent / "generators"
#: What each kind has beside what all have, small.
MORE = {
    "gan": {"latent": 3, "refine": 3},
    "vae": {"latent": 3},
    "tcvae": {"latent": 3},
    "semantic": {"regions": ("ground", "square"), "style": 3},
    "editor": {"attributes": ("left", "top")},
    "oracle": {"attributes": ("left", "top")},
    "paired": {"attributes": ("left", "top")},
    "ddpm": {"levels": 12, "ema": 0.5},
    "exaggerator": {"classes": ("dark", "bright"), "bins": 4},
    "simsiam": {"projection": 2},
    "classwise": {"labels": ("dark", "bright"), "latent": 3},
}


def tiny(kind: str) -> GeneratorRecipe:
    return generator_class(kind).of({"width": 4, "steps": 6, "batch_size": 4, **MORE[kind]})


def brightness(side: int = 32) -> Classifier:
    """Dark or bright, of grey images."""
    net = nn.Linear(side * side, 2)
    with torch.no_grad():
        net.weight[:] = torch.tensor([[-30.0], [30.0]]) / side**2
        net.bias[:] = torch.tensor([4.0, -4.0])
    return Classifier(
        nn.Identity(), nn.Sequential(nn.Flatten(), net), classes=("dark", "bright"), shape=(1, side, side)
    )


def known(kind: str, images: Tensor) -> list[Tensor]:
    """The columns that a kind reads, of squares."""
    x = images.float() / 255
    columns = {
        "images": images,
        "labels": torch.arange(len(x)) % 2,
        "layouts": (x[:, 0] > 0.5).short(),
        "attributes": torch.stack([x[..., :16].flatten(1).mean(1), x[:, :, :16].flatten(1).mean(1)], 1) > 0.04,
        "probabilities": brightness().probabilities(x),
    }
    columns["edited"], columns["edited_attributes"] = images.roll(1, 0), columns["attributes"].roll(1, 0)
    return [
        columns[key].float() if key in {"attributes", "edited_attributes"} else columns[key]
        for key in generator_class(kind).reads
    ]


def squares(count: int = 16, side: int = 28) -> Tensor:
    """White squares at random places, as bytes."""
    g = torch.Generator().manual_seed(0)
    images = torch.zeros(count, 1, side, side, dtype=torch.uint8)
    for image, (x, y) in zip(images, torch.randint(side - 10, (count, 2), generator=g).tolist(), strict=True):
        image[:, y : y + 10, x : x + 10] = 255
    return images


class Constant(nn.Module):
    """Whatever it sees, one grey."""

    def __init__(self, grey: float) -> None:
        super().__init__()
        self.grey = grey

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.grey)


def code_of(call, *args, **more) -> str:
    with pytest.raises(RatherError) as caught:
        call(*args, **more)
    assert "\n" not in str(caught.value)
    return caught.value.code


# ---------------------------------------------------------------- the contract


@pytest.mark.shapes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_images_to_latents_and_back(kind, shape):
    torch.manual_seed(0)
    generator = tiny(kind)
    net = generator.build(shape, count=9)
    x = torch.rand(4, *shape)
    for phase in net.phases():
        loss = net(phase, x)
        assert loss.shape == (4,)
        assert loss.isfinite().all()
    autoencoder = net.product("a")
    z = autoencoder.encode(x)
    again = autoencoder.decode(z)
    assert z.shape == (4, 3)
    assert again.shape == x.shape
    assert again.min() >= 0
    assert again.max() <= 1
    torch.testing.assert_close(autoencoder.encode(x[2:3]), z[2:3], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(autoencoder.decode(z[2:3]), again[2:3])
    z.requires_grad_()
    assert torch.autograd.grad(autoencoder.decode(z).sum(), z)[0].abs().sum() > 0


@pytest.mark.shapes
@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_take_images_and_what_is_known_of_them(kind):
    torch.manual_seed(0)
    net = tiny(kind).build((1, 32, 32), count=9, classifier=brightness())
    images = squares(5, 32)
    for phase in net.phases():
        loss = net(phase, images.float() / 255, *known(kind, images)[1:])
        assert loss.shape == (5,)
        assert loss.isfinite().all()
    product = net.product("a")
    x = images.float() / 255
    given = product(x)
    assert given.shape in {x.shape, (5, 2)}
    if not isinstance(product, Encoder):  # a projection is no picture, and no probability
        assert given.min() >= 0
        assert given.max() <= 1
    torch.testing.assert_close(product(x[2:3]), given[2:3], atol=1e-5, rtol=1e-4)
    assert not any(p.requires_grad for p in product.parameters())


@pytest.mark.parametrize("shape", [(1, 8, 32), (1, 32, 8), (1, 20, 32)])
def test_pictures_that_cannot_be_halved_are_refused(shape):
    for kind in ("editor", "exaggerator"):
        assert code_of(tiny(kind).build, shape) == "TRAIN-DATA"


def test_an_exaggerators_classifier_goes_where_it_goes_and_is_no_part_of_it():
    judge = brightness()
    net = tiny("exaggerator").build((1, 32, 32), classifier=judge)
    assert not {id(p) for p in judge.parameters()} & {id(p) for p in net.parameters()}
    net.double()
    assert {tensor.dtype for tensor in judge.state_dict().values()} == {torch.float64}


def test_what_an_exaggerator_is_asked_for_has_a_gradient_however_sure_the_classifier_is():
    wanted, target = torch.tensor([0.05, 0.95, 0.35]), torch.tensor([1, 0, 2])
    logits = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 1.0], [0.0, 1.0, 0.5]])
    said = logits.softmax(1)[range(3), target]
    expected = kl_divergence(Bernoulli(wanted), Bernoulli(said))
    torch.testing.assert_close(asked_for(wanted, logits, target), expected)
    sure = torch.tensor([[0.0, 40.0, 0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(asked_for(wanted[:1], sure, target[:1]).sum(), sure)
    assert slope[0, 1].item() == pytest.approx(0.95)  # of softplus(odds) - 0.05 odds


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_measured_and_shown(kind):
    generator = tiny(kind)
    product = generator.build((1, 32, 32), classifier=brightness()).product("a")
    images = squares(5, 32)
    columns = dict(zip(generator.reads, known(kind, images), strict=True)) | {"images": images.float() / 255}
    figures = generator.figures(product, columns)
    assert all(math.isfinite(v) for v in figures.values() if isinstance(v, float))
    assert all(row.shape == (5, 1, 32, 32) for row in generator.preview(product, columns))


@pytest.mark.parametrize("kind", ["editor", "oracle"])
def test_attributes_that_nobody_knows_are_neither_right_nor_wrong(kind):
    generator = tiny(kind)
    torch.manual_seed(0)
    product = generator.build((1, 32, 32)).product("a")
    x = squares(5, 32).float() / 255
    said = (product.read if kind == "editor" else product.values)(x)
    told = (said > 0.5).float()
    told[:4, 0], told[:, 1] = torch.nan, torch.nan
    figures = generator.figures(product, {"images": x, "attributes": told})
    assert figures["read_right" if kind == "editor" else "right"] == 1
    assert figures.get("worst_attribute", "left") == "left"
    assert all(row.isfinite().all() for row in generator.preview(product, {"images": x, "attributes": told}))


@pytest.mark.parametrize("kind", ALL)
def test_is_a_frozen_value_of_plain_settings(kind):
    generator = tiny(kind)
    settings = json.loads(json.dumps(generator.settings()))
    assert settings.pop("name") == kind
    assert generator_class(kind).of(settings) == generator
    with pytest.raises(ValueError, match="frozen"):
        generator.width = 3
    assert code_of(generator_class(kind).of, {"width": 0}) == "CFG-SETTING"
    assert code_of(generator_class(kind).of, {"widht": 4}) == "CFG-SETTING"
    source = (HOME / f"{kind}.py").read_text()
    assert len(source.splitlines()) <= 350
    assert re.search(r"\b20[12]\d\b", ast.get_docstring(ast.parse(source)) or "")
    assert all(field.description for field in type(generator).model_fields.values())


@pytest.mark.parametrize("kind", ALL)
def test_every_parameter_is_trained_and_loss_falls(kind):
    generator = tiny(kind)
    torch.manual_seed(0)
    net = generator.build((1, 32, 32), count=16, classifier=brightness())
    moved = [p for phase in net.phases().values() for p in phase.parameters]
    assert {id(p) for p in moved} == {id(p) for p in net.parameters() if p.requires_grad}
    before = [p.detach().clone() for p in net.parameters()]
    losses = []
    schedule = Schedule(steps=60, lr=0.01, batch_size=8, seed=0)
    data = known(kind, squares(side=32))
    fit(net, data, schedule, progress=lambda _done, _all, loss: losses.append(loss))
    assert all((p != b).any() for p, b in zip(net.parameters(), before, strict=True))
    assert not net.training
    if kind in {"vae", "tcvae", "oracle"}:  # of a game, or of phases one after the other, no loss need fall
        assert sum(losses[-10:]) < sum(losses[:10])


@pytest.mark.parametrize("kind", ALL)
def test_file_gives_back_what_was_saved(kind, tmp_path):
    generator = tiny(kind)
    torch.manual_seed(0)
    autoencoder = generator.build((3, 32, 32)).product("mine")
    file = tmp_path / "mine.safetensors"
    save_generator(file, generator, autoencoder, {"seed": 0})
    again = read_generator(file)
    assert again.fingerprint() == autoencoder.fingerprint()
    assert (again.name, again.shape, again.fingerprint_extra()) == (
        "mine",
        (3, 32, 32),
        autoencoder.fingerprint_extra(),
    )
    assert load_generator(str(file)).fingerprint() == autoencoder.fingerprint()
    assert not any(p.requires_grad for p in again.parameters())


# ---------------------------------------------------------------- kinds of other packages

LINEAR = '''"""Linear autoencoder, a kind of another package."""
from torch import nn
from rather.generators.autoencoder import Autoencoder
from rather.generators.recipe import GeneratorNet, GeneratorRecipe, Phase

class LinearRecipe(GeneratorRecipe):
    makes = Autoencoder
    latent: int = 2
    """Numbers in a latent."""

    def build(self, shape, *, count=1, classifier=None):
        return LinearNet(shape, self.latent)

class LinearNet(GeneratorNet):
    def __init__(self, shape, latent):
        super().__init__()
        self.shape, self.latent, size = shape, latent, shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, size), nn.Sigmoid(), nn.Unflatten(1, shape))

    def phases(self):
        return {"linear": Phase([*self.parameters()])}

    def forward(self, phase, *batch):
        return (self.decoder(self.encoder(batch[0])) - batch[0]).square().flatten(1).sum(1)

    def product(self, name):
        return Autoencoder(self.encoder, self.decoder, shape=self.shape, size=self.latent, name=name)
'''


def test_a_kind_of_another_package_is_one_file(tmp_path, monkeypatch):
    site, out = tmp_path / "site", tmp_path / "mine.safetensors"
    (site / "linear-1.dist-info").mkdir(parents=True)
    (site / "linear-1.dist-info" / "METADATA").write_text("Name: linear\nVersion: 1\n")
    (site / "linear-1.dist-info" / "entry_points.txt").write_text("[rather.generators]\nlinear = linear:LinearRecipe\n")
    (site / "linear.py").write_text(LINEAR)
    (tmp_path / "data").mkdir()
    for n in range(20):
        (tmp_path / "data" / f"{n}.png").write_bytes(png(torch.full((3, 8, 8), n / 20)))
    monkeypatch.syspath_prepend(site)
    assert list_generators()["linear"] == "from linear:LinearRecipe"
    command = [sys.executable, "-m", "rather", "train", "linear", "--data", tmp_path / "data", "--size", "8"]
    command += ["--out", out, "--set", "steps=4", "--set", "latent=3", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(HOME.parent.parent)])}
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout)["tested_on"] == 2
    autoencoder = load_generator(str(out))
    assert (autoencoder.kind, autoencoder.size, autoencoder.shape) == (
        "autoencoder",
        3,
        (1, 8, 8),
    )  # the pictures are grey
    assert sorted(makers(Autoencoder)) == ["gan", "linear", "tcvae", "vae"]


# ---------------------------------------------------------------- the losses, against closed forms


@pytest.mark.parametrize("kind", ["vae", "tcvae"])
def test_a_latent_that_is_a_map_keeps_what_is_where(kind):
    torch.manual_seed(0)
    net = generator_class(kind)(latent=2 * 16, cells=4, width=8).build((3, 32, 32), count=4).product("map")
    x = torch.rand(2, 3, 32, 32)
    z = net.encode(x)
    assert z.shape == (2, 32)
    assert net.decode(z).shape == x.shape
    other = x.clone()
    other[:, :, :2, :2] = 0
    # Group norms pass on what the whole image is like, but not where.
    far, near = (net.encode(other) - z).abs().unflatten(1, (2, 4, 4)).amax(1)[:, [3, 0], [3, 0]].unbind(1)
    assert (far < near / 2).all()


@pytest.mark.parametrize("kind", ["vae", "tcvae"])
@pytest.mark.parametrize(("latent", "cells"), [(20, 4), (1024, 32)])
def test_a_latent_that_its_cells_cannot_share_is_refused(kind, latent, cells):
    settings = generator_class(kind)(latent=latent, cells=cells, width=8)
    assert code_of(settings.build, (3, 32, 32), count=4) == "CFG-SETTING"


def test_divergence_is_that_of_normal_distributions():
    mean, log_var = torch.randn(5, 3), torch.randn(5, 3)
    theirs = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(mean, log_var), theirs)


def test_log_normal():
    z, mean, log_var = torch.randn(3, 5, 3).unbind()
    torch.testing.assert_close(log_normal(z, mean, log_var), Normal(mean, (log_var / 2).exp()).log_prob(z))


def test_decomposition_sums_to_the_divergence_of_the_sample():
    mean, log_var = torch.randn(7, 3), torch.randn(7, 3) - 1
    z = mean + torch.randn(7, 3) * (log_var / 2).exp()
    parts = decomposed(z, mean, log_var, 100)
    whole = Normal(mean, (log_var / 2).exp()).log_prob(z).sum(1) - Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(sum(parts), whole)


def test_information_of_posteriors_that_lie_apart_is_the_count_in_nats():
    # Each z is explained by its own image alone, so that it says which of the images it is of.
    mean = 100 * torch.eye(8)
    log_var = torch.zeros(8, 8)
    information, _, _ = decomposed(mean, mean, log_var, 8)
    torch.testing.assert_close(information, torch.full((8,), math.log(8 * 8)), atol=1e-3, rtol=0)


def test_inversion_finds_the_latent_of_a_linear_generator():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4)))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    truth = torch.randn(5, 3)
    x = generator(truth).detach()
    matrix = generator[0].weight.detach()
    # |G(z) - x|^2 / 2 + |z|^2 / 2 is least at the ridge regression's answer.
    ridge = torch.linalg.solve(matrix.T @ matrix + torch.eye(3), matrix.T @ (matrix @ truth.T)).T
    found = Inversion(encoder, generator, 2000)(x)
    torch.testing.assert_close(found, ridge, atol=2e-2, rtol=0)
    torch.testing.assert_close(Inversion(encoder, generator, 20)(x[1:2]), Inversion(encoder, generator, 20)(x)[1:2])


def test_agreement_is_a_cosine_through_which_the_projection_has_no_gradient():
    p, z = (torch.randn(7, 3, requires_grad=True) for _ in range(2))
    found = agreement(p, z)
    for row in range(7):
        a, b = p[row].detach(), z[row].detach()
        assert found[row].item() == pytest.approx(float(a @ b / (a.norm() * b.norm())), abs=1e-6)
    found.sum().backward()
    assert p.grad.abs().sum() > 0
    assert z.grad is None


def test_an_autoencoder_sees_the_pictures_of_its_class_alone():
    torch.manual_seed(0)
    nets = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))
    x, labels = torch.rand(6, 3), torch.tensor([2, 0, 2, 3, 0, 2])  # and no picture of class 1
    made = by_class(nets, x, labels)
    torch.testing.assert_close(made, torch.stack([nets[k](row) for k, row in zip(labels, x, strict=True)]))
    made.sum().backward()
    assert [bool(net.weight.grad.any()) for net in nets] == [True, False, True, True]


@torch.no_grad()
def test_an_autoencoder_of_no_picture_is_asked_only_for_gradients_and_a_class_without_one_is_unknown():
    asked = []
    nets = [lambda x, k=k: asked.append(k) or x + k for k in range(3)]
    x = torch.rand(3, 2)
    made = by_class(nets, x, torch.tensor([2, 0, 3]))
    assert asked == [0, 2]
    assert torch.equal(made[:2], x[:2] + torch.tensor([[2], [0]]))
    assert made[2].isnan().all()


def test_a_class_without_a_picture_to_train_on_is_refused_by_its_name(tmp_path):
    for label in ("dark", "grey", "bright"):
        (tmp_path / "data" / label).mkdir(parents=True)
    for n in range(20):
        (tmp_path / "data" / "dark" / f"{n}.png").write_bytes(png(torch.full((3, 8, 8), n / 20)))
    for label in ("grey", "bright"):
        (tmp_path / "data" / label / "torn.png").write_bytes(png(torch.ones(3, 8, 8))[:30])
    generator = generator_class("classwise").of({"width": 4, "latent": 2, "steps": 2})
    with pytest.raises(RatherError, match="class bright, grey") as caught:
        train_generator(generator, str(tmp_path / "data"), tmp_path / "mine.safetensors", size=8)
    assert caught.value.code == "TRAIN-DATA"
    assert not [*tmp_path.glob("mine*")]


def test_autoencoders_are_of_the_classes_of_the_labels():
    generator = generator_class("classwise").of({})
    assert code_of(generator.build, (1, 28, 28)) == "CFG-SETTING"
    suited = generator.with_names(["dark", "bright"], [], [], None)
    product = suited.build((1, 28, 28)).product("a")
    assert product.of(["bright", "dark"]) == [product.autoencoders[1], product.autoencoders[0]]
    assert code_of(product.of, ["dark", "grey"]) == "MODEL-CLASSES"


def test_pictures_are_nearest_to_the_autoencoder_of_their_class_if_it_repeats_them():
    generator = tiny("classwise")
    product = generator.build((1, 8, 8)).product("a")
    product.autoencoders = nn.ModuleList([Constant(0.0), Constant(1.0)])
    product.everything = Constant(0.5)
    x = torch.tensor([0.1, 0.2, 0.9, 0.9]).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    figures = generator.figures(product, {"images": x, "labels": torch.tensor([0, 0, 1, 0])})
    assert figures["nearest_own"] == 0.75
    assert figures["own_error"] == pytest.approx((0.01 + 0.04 + 0.01 + 0.81) / 4)
    assert figures["all_error"] == pytest.approx((0.16 + 0.09 + 0.16 + 0.16) / 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_views_show_a_part_of_the_picture_and_stay_pictures(channels):
    torch.manual_seed(0)
    x = torch.rand(50, channels, 20, 24)
    assert view(x, smallest=0.3, flip=True).shape == x.shape
    assert 0 <= view(x, smallest=0.3, flip=True).min() <= view(x, smallest=0.3, flip=True).max() <= 1
    slope = torch.linspace(0.2, 0.4, 24).expand(200, channels, 20, 24)
    seen = view(slope, smallest=0.3, flip=False)
    assert (seen.diff(dim=3) > -1e-6).all()  # a part of it, neither mirrored nor beyond its border
    mirrored = view(slope, smallest=1, flip=True)[..., -1, 0] > view(slope, smallest=1, flip=False)[..., -1, 0]
    assert 0.3 < mirrored.float().mean() < 0.9


# ---------------------------------------------------------------- the loop


class Line(nn.Module):
    """Slope and noise: what a step draws at random must be the step's own."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(2))
        self.late = nn.Parameter(torch.zeros(1))

    def phases(self) -> Mapping[str, Phase]:
        return {"first": Phase([self.slope], end=0.5), "second": Phase([self.late], begin=0.5)}

    def forward(self, phase: str, x: Tensor, y: Tensor) -> Tensor:
        slope = self.slope[0] if phase == "first" else self.slope[0].detach() + self.late[0]
        return (slope * x[:, 0] + 0.1 * torch.randn(len(x)) - y) ** 2 + self.slope[1] ** 2


class Still(Line):
    """Without noise."""

    def forward(self, phase: str, x: Tensor, y: Tensor) -> Tensor:
        slope = self.slope[0] if phase == "first" else self.slope[0].detach() + self.late[0]
        return (slope * x[:, 0] - y) ** 2 + self.slope[1] ** 2


X = torch.linspace(-1, 1, 40)[:, None]
HOW = Schedule(steps=60, lr=0.25, batch_size=8, seed=3)


class StoppedError(Exception):
    pass


def interrupt_at(step: int):
    def progress(done: int, _all: int, _loss: float) -> None:
        if done == step:
            raise StoppedError

    return progress


@pytest.mark.parametrize("at", [1, 13, 20, 33])
def test_interrupted_training_ends_with_the_same_weights(at, tmp_path, monkeypatch):
    monkeypatch.setattr("rather.train.fit._SAVE_EVERY", 0)
    straight = fit(Line(), [X, 2 * X[:, 0]], HOW)
    file = tmp_path / "checkpoint"
    with pytest.raises(StoppedError):
        fit(Line(), [X, 2 * X[:, 0]], HOW, checkpoint=file, identity={"a": 1}, progress=interrupt_at(at + 1))
    assert file.exists()
    seen = []
    again = fit(
        Line(), [X, 2 * X[:, 0]], HOW, checkpoint=file, identity={"a": 1}, progress=lambda done, *_: seen.append(done)
    )
    assert seen[0] == at + 1
    done = fit(Line(), [X, 2 * X[:, 0]], HOW, checkpoint=file, identity={"a": 1})  # if what came after failed
    assert torch.equal(done.slope, straight.slope)
    for key, tensor in straight.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    assert 1 < straight.slope[0].item() < 3  # it did learn


def test_phases_have_their_time():
    net = Line()
    slopes = []
    fit(net, [X, 2 * X[:, 0]], HOW, progress=lambda *_: slopes.append([p.sum().item() for p in net.parameters()]))
    assert all(late == 0 for _, late in slopes[:30])
    assert len({slope for slope, _ in slopes[30:]}) == 1
    assert slopes[-1][1] != 0


def test_two_processes_with_half_the_batch_do_what_one_does(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "import sys, torch\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_generators import X, Still, HOW\n"
        "from dataclasses import replace\n"
        "from rather.train.fit import fit\n"
        "net = fit(Still(), [X, 2 * X[:, 0]], replace(HOW, batch_size=4))\n"
        f"torch.save(net.slope, {str(tmp_path)!r} + '/' + str(torch.distributed.get_rank()))\n"
        "torch.distributed.destroy_process_group()\n"
    )
    one = fit(Still(), [X, 2 * X[:, 0]], HOW)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, script], check=True, env=env, capture_output=True, timeout=300)
    slopes = [torch.load(tmp_path / str(rank)) for rank in (0, 1)]
    assert torch.equal(slopes[0], slopes[1])
    torch.testing.assert_close(slopes[0], one.slope)


def test_loop_leaves_torchs_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(Line(), [X, X[:, 0]], HOW)
    assert torch.equal(torch.rand(3), expected)


def test_nan_stops_the_training_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("rather.train.fit._SAVE_EVERY", 0)

    class Bad(Line):
        def forward(self, phase: str, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(phase, x, y) * (torch.nan if phase == "second" else 1)

    file = tmp_path / "checkpoint"
    assert code_of(fit, Bad(), [X, X[:, 0]], HOW, checkpoint=file) == "TRAIN-NONFINITE"
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["rather-checkpoint"])["step"] == 30
        assert all(opened.get_tensor(key).isfinite().all() for key in opened.keys())  # noqa: SIM118


def test_checkpoints_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("rather.train.fit._SAVE_EVERY", 0)
    file = tmp_path / "checkpoint"

    def again(net: nn.Module, **asks: int) -> str:
        return code_of(fit, net, [X, X[:, 0]], HOW, checkpoint=file, identity=asks)

    with pytest.raises(StoppedError):
        fit(Line(), [X, X[:, 0]], HOW, checkpoint=file, identity={"a": 1}, progress=interrupt_at(5))
    whole = file.read_bytes()
    assert again(Line(), a=2) == "TRAIN-CHECKPOINT"
    other = Line()
    other.slope = nn.Parameter(torch.zeros(3))
    assert again(other, a=1) == "TRAIN-CHECKPOINT"
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])

    def forged(told: dict) -> bytes:
        text = json.dumps({**header, "__metadata__": {"rather-checkpoint": json.dumps(told)}}).encode()
        return len(text).to_bytes(8, "little") + text + whole[8 + length :]

    told = json.loads(header["__metadata__"]["rather-checkpoint"])
    strange = [forged({**told, "step": step}) for step in (-3, 10**6, "x")] + [forged({**told, "asks": 3})]
    # Adam's memory of a phase that has begun may not be missing.
    strange += [forged({**told, "step": 50})]
    for bad in (b"", whole[:-7], b"text", pickle.dumps({"a": 1}), *strange):
        file.write_bytes(bad)
        assert again(Line(), a=1) == "TRAIN-CHECKPOINT"
        assert file.read_bytes() == bad  # nothing of a person's is thrown away
