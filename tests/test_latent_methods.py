"""Latent methods against their formulas written out with torch's own Adam, brute force, and closed forms."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from analytic import CLASSES, latent_stripes, others, pictures, spatial, stripes
from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Method, Noise
from rather.generators.autoencoder import Autoencoder
from rather.generators.gan import GANRecipe
from rather.latents.classifiers import LatentClassifiers, LatentHeads
from rather.latents.fisher import (
    all_but_a_part,
    fisher_information,
    fisher_masks,
    latent_information,
    spectral_clusters,
)
from rather.methods import dive
from rather.methods.clarity import Clarity
from rather.methods.dive import DiVE
from rather.methods.introspection import Introspection
from rather.methods.minimal import Minimal
from rather.methods.revise import REVISE
from rather.methods.several import Several
from rather.search.descend import on_grid
from rather.search.references import References
from tolerance import assert_same_pictures

NET, GENERATOR, LATENT, X = spatial(), stripes(), latent_stripes(), pictures(5)
TARGET = others(NET, X)
NEVER = Goal(TARGET, torch.full((5,), 2.0))  # more confidence than there is: the search takes all its steps
REFERENCES = References(pictures(24, seed=1), tuple(map(str, range(24))))


def every(**more: object) -> list[Method]:
    return [
        REVISE(generator=GENERATOR, **more),
        Clarity(latent=LATENT, **more),
        Introspection(generator=GENERATOR, **more),
        DiVE(generator=GENERATOR, count=2, steps=60, **more),
    ]


each_method = pytest.mark.parametrize("method", every(), ids=lambda method: method.name())


# The descents are those of the formulas


def literally(loss: Callable[[Tensor], Tensor], start: Tensor, steps: int, lr: float) -> Tensor:
    """Where torch's Adam ends on a loss that is a sum over the rows, and so one of each row."""
    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=lr)
    for _ in range(steps):
        adam.zero_grad()
        loss(z).backward()
        adam.step()
    return z.detach()


def assert_ends_at(method: Method, classifier: Classifier, images: Tensor) -> None:
    result = method(classifier, X, NEVER)
    assert result.steps.tolist() == [method.steps] * 5
    torch.testing.assert_close(result.images, on_grid(images.clamp(0, 1)), atol=1 / 255 + 1e-6, rtol=0)
    assert (result.images - images).abs().mean() < 0.5 / 255


def cross_entropy(classifier: Classifier, images: Tensor, target: Tensor = TARGET) -> Tensor:
    members = [F.cross_entropy(member(images), target, reduction="sum") for member in classifier.members]
    return torch.stack(members).mean()


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("classifier", [NET, LATENT.classifier()], ids=["one", "ensemble"])
def test_revise_minimises_its_formula(distance: str, classifier: Classifier) -> None:
    def loss(z: Tensor) -> Tensor:
        image = GENERATOR.decode(z)
        away = (image - X).flatten(1)
        d = away.abs().mean(1) if distance == "l1" else away.square().mean(1).sqrt()
        return cross_entropy(classifier, on_grid(image)) + 20 * d.sum()

    method = REVISE(generator=GENERATOR, steps=12, lr=0.05, distance_weight=20, distance=distance)
    end = literally(loss, GENERATOR.encode(X), 12, 0.05)
    assert_ends_at(method, classifier, GENERATOR.decode(end))


def test_introspection_minimises_its_formula() -> None:
    def loss(z: Tensor) -> Tensor:
        image = GENERATOR.decode(z)
        return 0.1 * cross_entropy(NET, on_grid(image)) + (image - X).abs().flatten(1).mean(1).sum()

    method = Introspection(generator=GENERATOR, steps=12, lr=0.05, class_weight=0.1)
    assert_ends_at(method, NET, GENERATOR.decode(literally(loss, GENERATOR.encode(X), 12, 0.05)))


def test_clarity_minimises_its_formula() -> None:
    start = GENERATOR.encode(X)

    def loss(z: Tensor) -> Tensor:
        nets = [F.cross_entropy(one, TARGET, reduction="sum") for one in LATENT.logits(z)]
        return (nets[0] + nets[1]) / 2 + 3 * (z - start).square().mean(1).sum()

    method = Clarity(latent=LATENT, steps=12, lr=0.05, distance_weight=3)
    assert_ends_at(method, NET, GENERATOR.decode(literally(loss, start, 12, 0.05)))


def test_dive_minimises_its_formula() -> None:
    start = GENERATOR.encode(X)
    method = DiVE(generator=GENERATOR, count=3, steps=12, lr=0.05, distance_weight=4, lasso=0.5, diversity=6)
    result = method(NET, X, NEVER, ids=list("abcde"))

    def loss(eps: Tensor) -> Tensor:
        total = torch.zeros(())
        for k in range(3):
            image = GENERATOR.decode(start + eps[:, k])
            total = total + cross_entropy(NET, on_grid(image)) + 0.5 * eps[:, k].abs().sum() / 3
            total = total + 4 * (image - X).abs().flatten(1).mean(1).sum() / 3
            for i in set(range(3)) - {k}:
                total = total + 6 * F.cosine_similarity(eps[:, i], eps[:, k]).square().sum() / 3
        return total

    first = 0.01 * Noise(0, list("abcde")).normal(3, 3)
    end = literally(loss, first, 12, 0.05)
    wanted = GENERATOR.decode((start[:, None] + end).flatten(0, 1)).view(5, 3, 1, 6, 6)
    torch.testing.assert_close(
        torch.stack([*result.artifacts["answers"]]), on_grid(wanted), atol=1 / 255 + 1e-6, rtol=0
    )


# What is found


def nearest_flip(x: Tensor, target: int, fineness: int = 25) -> float:
    """The least mean absolute difference of any of the generator's pictures at the target: brute force."""
    grid = torch.linspace(-1, 1, 2 * fineness + 1)
    z = GENERATOR.encode(x[None]) + torch.cartesian_prod(grid, grid, grid)
    images = on_grid(GENERATOR.decode(z).clamp(0, 1))
    there = NET(images).argmax(1) == target
    return float((images - x)[there].abs().flatten(1).mean(1).min())


def test_bisected_introspection_comes_near_the_nearest_picture_there_is() -> None:
    single = Introspection(generator=GENERATOR, lr=0.02, steps=100, patience=20)
    bisected = Minimal(method=single, setting="class_weight", loose=100, tight=0.001)(NET, X, TARGET)
    plain = REVISE(generator=GENERATOR, distance_weight=0)(NET, X, TARGET)
    assert bisected.success.all()
    assert plain.success.all()
    for row, image in enumerate(bisected.images):
        best = nearest_flip(X[row], int(TARGET[row]))
        distance = float((image - X[row]).abs().mean())
        assert best - 0.001 <= distance <= best + 0.01
    changed = [(r.images - X).abs().mean() for r in (bisected, plain)]
    assert changed[0] < changed[1]


@each_method
def test_answers_are_pictures_of_the_generator_at_the_end_of_a_path_from_the_reconstruction(method: Method) -> None:
    result = method(NET, X, TARGET)
    assert result.success.all()
    again = GENERATOR(result.images) - 0.001
    torch.testing.assert_close(again, result.images, atol=1.5 / 255, rtol=0)
    assert result.info["reconstruction_called"] == [CLASSES[k] for k in NET(X).argmax(1).tolist()]
    assert result.info["reconstruction_at_goal"] == [False] * 5
    ends = zip(result.artifacts["path"], result.artifacts["reconstruction"], result.images, strict=True)
    for path, again, image in ends:
        if not isinstance(method, DiVE):  # which starts a little way off
            torch.testing.assert_close(on_grid(path[0]), again)
        torch.testing.assert_close(on_grid(path[-1]), image)


@each_method
def test_takes_prototypes_ensembles_and_confidence(method: Method) -> None:
    goal = Goal.prototype(NET(X))
    result = method(NET, X, goal)
    assert result.success.all()
    before, after = (p.gather(1, goal.target[:, None]) for p in (result.before, result.after))
    assert (1 - after <= (1 - before) / 2 + 1e-6).all()
    result = method(LATENT.classifier(), X, Goal.criticism(TARGET, 0.8))
    assert result.success.all()
    assert (result.after.gather(1, TARGET[:, None]) >= 0.8).all()


@each_method
def test_works_inside_wrappers(method: Method) -> None:
    several = Several(method=method, count=2)(NET, X, TARGET)
    assert several.success.all()
    assert [len(answers) for answers in several.artifacts["answers"]] == [2] * 5
    setting = "class_weight" if isinstance(method, Introspection) else "distance_weight"
    minimal = Minimal(method=method, setting=setting, loose=1, tight=1.5, steps=1)(NET, X, TARGET)
    assert minimal.success.all()
    assert len(minimal.artifacts["reconstruction"]) == 5


def test_patience_finds_a_nearer_picture() -> None:
    hasty, patient = (REVISE(generator=GENERATOR, distance_weight=30, patience=n) for n in (0, 40))
    one, other = hasty(NET, X, TARGET), patient(NET, X, TARGET)
    away = [(r.images - X).abs().flatten(1).mean(1) for r in (one, other)]
    assert other.success.all()
    assert (away[1] <= away[0] + 1e-4).all()
    assert (other.evaluations >= one.evaluations + 40).all()


# What mere reconstruction does


class Always(nn.Module):
    """Decodes whatever it is given to one picture."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.register_buffer("picture", picture)

    def forward(self, z: Tensor) -> Tensor:
        return self.picture.expand(len(z), -1, -1, -1) + 0 * z.sum(1)[:, None, None, None]


@pytest.mark.parametrize("kind", [REVISE, Introspection, DiVE])
def test_a_flip_by_mere_reconstruction_is_told(kind: type[Method]) -> None:
    poor = Autoencoder(GENERATOR.encoder, Always(X[1]), shape=(1, 6, 6), size=3)
    said = int(NET(X[1:2]).argmax())
    rows = [row for row in range(5) if int(NET(X[row, None]).argmax()) != said]
    result = kind(generator=poor, num_path_frames=0)(NET, X[rows], said)
    assert result.info["reconstruction_called"] == [CLASSES[said]] * len(rows)
    assert result.info["reconstruction_at_goal"] == [True] * len(rows)
    for picture in result.artifacts["reconstruction"]:
        torch.testing.assert_close(picture, X[1])


class Lost(nn.Module):
    """An encoder that is lost where the first pixel is white."""

    def forward(self, x: Tensor) -> Tensor:
        return GENERATOR.encoder(x) + 0 * (1 - x[:, 0, 0, :1]).log()


def test_latents_that_are_not_finite_harm_no_neighbour() -> None:
    lost = Autoencoder(Lost(), GENERATOR.decoder, shape=(1, 6, 6), size=3)
    latent = LatentClassifiers(lost, LATENT.heads, CLASSES)
    x = X.clone()
    x[2, 0, 0, 0] = 1
    well = [0, 1, 3, 4]
    target = others(NET, x)
    for method, broken in zip(
        every(), [{"generator": lost}, {"latent": latent}, *[{"generator": lost}] * 2], strict=True
    ):
        result = type(method)(**{**dict(method), **broken})(NET, x, target)
        alone = method(NET, x[well], target[well], ids=["0", "1", "3", "4"])
        assert_same_pictures(result.images[well], alone.images)
        assert result.success.tolist() == [True, True, False, True, True]
        assert result.failure[2] == "NONFINITE"
        assert result.info["reconstruction_called"][2] is None
        assert all(picture[2].isfinite().all() for picture in result.artifacts.values())


# Clarity


def test_clarity_follows_the_classifier_that_is_one_of_latents() -> None:
    net = LATENT.classifier()
    own, given_it = Clarity()(net, X, TARGET), Clarity(latent=LATENT)(net, X, TARGET)
    assert own.success.all()
    assert torch.equal(own.images, given_it.images)
    single = Clarity()(net.members[1], X, TARGET)  # the slides' latent classifier
    assert torch.equal(single.images, Clarity(latent=LATENT.member(1))(net.members[1], X, TARGET).images)


def test_clarity_asks_the_decoder_only_of_rows_that_may_be_done() -> None:
    decoded: list[int] = []
    handle = GENERATOR.decoder.register_forward_hook(lambda _, args, __: decoded.append(len(args[0])))
    generator = Clarity(latent=LatentClassifiers(GENERATOR, LATENT.heads, CLASSES), num_path_frames=0)
    result = generator(NET, X, TARGET)
    handle.remove()
    assert result.success.all()
    pictures_asked = sum(decoded) - 2 * 5  # beside the reconstructions and the answers themselves
    assert int((result.evaluations - (result.steps + 1) - 1).sum()) == pictures_asked
    assert pictures_asked < 2 * 5


def test_clarity_goes_on_until_the_classifier_agrees() -> None:
    strict = Goal.criticism(TARGET, 0.99)
    method = Clarity(latent=LATENT, distance_weight=0, confidence=0.5)
    result, easy = method(NET, X, strict), method(NET, X, TARGET)
    assert result.success.all()
    assert (result.steps > easy.steps).all()
    assert (result.evaluations > result.steps + 3).all()  # it was asked of pictures more than once


@pytest.mark.parametrize(
    ("code", "method", "classifier"),
    [
        ("GEN-MISSING", Clarity(), NET),
        ("MODEL-CLASSES", Clarity(latent=LatentClassifiers(GENERATOR, LATENT.heads, ("x", "y", "z"))), NET),
        ("GEN-SIZE", REVISE(generator=Autoencoder(nn.Identity(), nn.Identity(), shape=(3, 6, 6), size=3)), NET),
        ("CFG-SETTING", DiVE(generator=GENERATOR, mask="fisher-range", references=REFERENCES), NET),
    ],
)
def test_refusals(code: str, method: Method, classifier: Classifier) -> None:
    with pytest.raises(RatherError) as error:
        method(classifier, X, TARGET)
    assert error.value.code == code


class Deaf(nn.Module):
    """Asks a net, and passes no gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def gan_latent() -> LatentClassifiers:
    """Classifiers of the latents of a GAN, whose inversion passes no gradient."""
    net = GANRecipe(latent=3, refine=2, width=4).build((1, 28, 28))
    torch.manual_seed(0)
    return LatentClassifiers(net.eval().product("gan"), LatentHeads(2, 3, 4, 3), CLASSES)


@pytest.mark.parametrize("mask", ["none", "fisher-chunk"])
def test_a_classifier_without_gradient_is_refused(mask: str) -> None:
    deaf = Classifier(nn.Identity(), Deaf(NET), classes=CLASSES, shape=(1, 6, 6), name="deaf")
    with pytest.raises(RatherError, match="deaf") as error:
        DiVE(generator=GENERATOR, count=2, mask=mask, references=REFERENCES, optimizer="adam")(deaf, X, TARGET)
    assert error.value.code == "MODEL-GRADIENT"


@pytest.mark.parametrize("mask", ["none", "fisher-chunk"])
def test_classifiers_of_a_gans_latents_are_refused_where_they_are_asked_of_images(mask: str) -> None:
    latent = gan_latent()
    net, x = latent.classifier(), torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    fields = {"generator": latent.autoencoder, "references": References(x, tuple("abcd")), "optimizer": "adam"}
    for method in (REVISE(generator=latent.autoencoder, optimizer="adam"), DiVE(count=2, mask=mask, **fields)):
        with pytest.raises(RatherError, match="latent") as error:
            method(net, x, Goal(net(x).argmax(1), torch.full((4,), 2.0)))
        assert error.value.code == "MODEL-GRADIENT"
    alone = Clarity(steps=2)(net, x, Goal(net(x).argmax(1), torch.full((4,), 2.0)))  # asks latents
    assert alone.steps.tolist() == [2] * 4


def test_fisher_masks_need_references() -> None:
    with pytest.raises(RatherError, match="references"):
        DiVE(generator=GENERATOR, mask="fisher-spectral")


# DiVE


MASKS = ["random", "fisher-chunk", "fisher-range", "fisher-spectral", "fisher-spectral-inverse"]


@pytest.mark.parametrize("mask", MASKS)
def test_answers_move_only_what_their_mask_lets_them(mask: str) -> None:
    free = {"distance_weight": 0, "lasso": 0, "diversity": 0}  # so that what may move does
    method = DiVE(generator=GENERATOR, references=REFERENCES, count=3, mask=mask, steps=5, **free)
    result = method(NET, X, NEVER)
    answers = torch.stack([*result.artifacts["answers"]])
    moved = GENERATOR.encode(answers.flatten(0, 1)).view(5, 3, 3) - GENERATOR.encode(X)[:, None]
    still = moved.abs() < 0.05  # of steps of 0.1, and of rounding to 8 bits
    wanted = {"fisher-range": [0, 1, 2], "fisher-spectral": [2, 2, 2]}.get(mask, [1, 1, 1])
    assert still.sum(2).tolist() == [wanted] * 5
    if mask == "random":  # each row has an order of its own
        assert len(still.unique(dim=0)) > 1
    else:
        assert len(still.unique(dim=0)) == 1


def test_the_information_is_found_once_for_a_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(net: Classifier, generator: Autoencoder, points: Tensor) -> Tensor:
        asked.append(net)
        return latent_information(net, generator, points)

    monkeypatch.setattr(dive, "latent_information", counted)
    method = DiVE(generator=GENERATOR, references=REFERENCES, count=2, mask="fisher-chunk", steps=3)
    first = method(NET, X, TARGET)
    assert torch.equal(method(NET, X, TARGET).images, first.images)
    assert asked == [NET]
    other = LATENT.classifier()
    method(other, X, others(other, X))
    assert asked == [NET, other]
    assert method == DiVE(generator=GENERATOR, references=REFERENCES, count=2, mask="fisher-chunk", steps=3)


def test_answers_differ_more_with_the_diversity_term() -> None:
    def alike(diversity: float) -> float:
        method = DiVE(generator=GENERATOR, count=2, steps=60, diversity=diversity, lr=0.02)
        answers = torch.stack([*method(NET, X, NEVER).artifacts["answers"]])
        changes = GENERATOR.encode(answers.flatten(0, 1)).view(5, 2, 3) - GENERATOR.encode(X)[:, None]
        return float(F.cosine_similarity(changes[:, 0], changes[:, 1]).square().mean())

    assert alike(100) < 0.5 * alike(0)


def test_the_nearest_answer_is_the_picture() -> None:
    result = DiVE(generator=GENERATOR, count=4)(NET, X, TARGET)
    for row, answers in enumerate(result.artifacts["answers"]):
        found = torch.tensor(result.info["answers_found"][row])
        assert torch.equal(NET(answers).argmax(1) == TARGET[row], found)
        away = torch.where(found, (answers - X[row]).abs().flatten(1).mean(1), torch.inf)
        chosen = result.info["answers_nearest"][row]
        assert away[chosen] == pytest.approx(float(away.min()))
        assert torch.equal(result.images[row], answers[chosen])
        assert result.info["answers_distinct"][row] == len(answers[found].unique(dim=0))


def test_a_second_classifier_tells_trivial_answers() -> None:
    class Stubborn(nn.Module):
        """Says always the same."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([1.0, 0.0, 0.0]).expand(len(x), 3)

    stubborn = Classifier(nn.Identity(), Stubborn(), classes=CLASSES, shape=(1, 6, 6))
    for second, trivial in ((stubborn, [False, False]), (NET, [True, True])):
        method = DiVE(generator=GENERATOR, count=2, second_classifier=second)
        assert method(NET, X, TARGET).info["answers_trivial"] == [trivial] * 5
        assert "second_classifier" not in method.settings()
    assert "answers_trivial" not in DiVE(generator=GENERATOR, count=2)(NET, X, TARGET).info


# Fisher information, and its clusters


def test_fisher_information_of_a_linear_classifier() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])
    points = torch.tensor([[0.1, -0.3], [1.0, 0.4], [-2.0, 0.7]])
    p = (points @ weight).softmax(1)
    # The gradient of log p_y is W (e_y - p): its second moment is W (diag p - p p') W'.
    wanted = sum(weight @ (one.diag() - one[:, None] * one) @ weight.T for one in p) / 3
    found = fisher_information(lambda z: z @ weight, points)
    torch.testing.assert_close(found.float(), wanted)
    spoilt = torch.cat([points, torch.tensor([[torch.nan, 0.0]])])
    torch.testing.assert_close(fisher_information(lambda z: z @ weight, spoilt), found)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(2, 4), min_size=1, max_size=4), st.integers(0, 9))
def test_spectral_clusters_are_the_blocks(sizes: list[int], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    blocks = [0.5 + torch.rand(n, n, generator=draw) for n in sizes]
    affinity = torch.block_diag(*[block + block.T for block in blocks]) + 1e-3
    mixed = torch.randperm(sum(sizes), generator=draw)
    group = spectral_clusters(affinity[mixed][:, mixed], len(sizes))
    block = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))[mixed]
    assert len(torch.stack([group, block]).unique(dim=1).T) == len(sizes)  # one to one
    assert len(group.unique()) == len(sizes)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 9))
def test_no_cluster_is_empty(size: int, count: int, alike: bool, seed: int) -> None:
    count = min(count, size)
    root = torch.randn(size, 3, generator=torch.Generator().manual_seed(seed))
    affinity = torch.ones(size, size) if alike else root @ root.T
    assert spectral_clusters(affinity, count).unique().tolist() == list(range(count))


def test_masks_by_information() -> None:
    fisher = torch.diag(torch.tensor([1.0, 4.0, 2.0, 3.0]))  # in order: 1, 3, 2, 0
    assert fisher_masks("fisher-chunk", fisher, 2).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    assert fisher_masks("fisher-range", fisher, 3).tolist() == [[1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 0]]
    own, rest = (fisher_masks(kind, fisher, 3) for kind in ("fisher-spectral", "fisher-spectral-inverse"))
    assert torch.equal(own.sum(0), torch.ones(4))
    assert torch.equal(own + rest, torch.ones(3, 4))


def test_parts_share_the_latents_out() -> None:
    masks = all_but_a_part(torch.tensor([[4, 2, 0, 1, 3]]), 3)[0]
    assert masks.tolist() == [[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [1, 1, 1, 0, 1]]
    assert all_but_a_part(torch.tensor([[1, 0]]), 4)[0].tolist() == [[1, 0], [1, 1], [0, 1], [1, 1]]
