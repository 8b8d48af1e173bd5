"""What methods need beside their settings: found by their fields, taken from what is near, told in a run."""

import pytest
import torch

import rather.hub.generators
import rather.hub.resources
from analytic import example, latent_stripes, pictures, resources, spatial, stripes
from rather.config.errors import RatherError
from rather.core import Classifier
from rather.data.source import Dataset, InMemory
from rather.generators.autoencoder import Autoencoder
from rather.generators.ddpm import Denoiser
from rather.generators.semantic import Semantic
from rather.hub.methods import build_method, list_methods, method_class
from rather.hub.presets import expand
from rather.hub.resources import (
    NAMES,
    Requirement,
    ResourceSpec,
    bundled_net,
    requirements,
    resolve_generator,
    resolve_latent,
    resolve_second_classifier,
)
from rather.latents.classifiers import LatentClassifiers
from rather.runs.runner import Job, run_config
from rather.search.references import References


@pytest.mark.parametrize(
    ("plan", "needs"),
    [
        ({"name": "wachter"}, set()),
        ({"name": "goyal"}, {"references"}),
        ({"name": "xgem"}, {"generator"}),
        ({"name": "clarity"}, {"latent"}),
        ({"name": "several", "method": {"name": "minimal", "method": "revise"}}, {"generator"}),
        ({"name": "several", "method": "wachter"}, set()),
    ],
)
def test_a_plan_wants_what_its_methods_have_a_field_for(plan, needs):
    assert {want.name for want in requirements(expand(plan))} == needs


@pytest.mark.parametrize(
    ("plan", "bundled"),
    [("revise", "vae"), ("xgem", "vae"), ("introspection", "gan"), ("gci", "gan"), ("dive-100", "tcvae")],
)
def test_digits_get_the_generator_of_the_methods_paper_where_it_is_bundled(plan, bundled, monkeypatch):
    (want,) = (want for want in requirements(expand({"name": plan})) if want.name == "generator")
    for known in ({"digits-vae", f"digits-{bundled}"}, {"digits-vae"}):
        monkeypatch.setattr(rather.hub.resources, "list_weights", lambda *_, known=known: known)
        own = bundled_net(digits(), want.bundled)
        assert own == (f"digits-{bundled}" if f"digits-{bundled}" in known else "digits-vae")
        assert bundled_net(spatial(), want.bundled) is None


@pytest.mark.parametrize("name", list_methods())
def test_all_that_methods_cannot_do_without_can_be_given(name):
    required = {key for key, field in method_class(name).model_fields.items() if field.is_required()}
    assert required <= NAMES | {"method"}


def digits():
    """A classifier of the shape and the classes of digits."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    return Classifier(torch.nn.Identity(), net, classes="0123456789", shape=(1, 28, 28))


@pytest.fixture
def asked(monkeypatch):
    """Bundled nets of any name, and which were asked for."""
    names = []

    def bring(spec, **_):
        names.append(spec)
        return {
            "digits-vae": stripes(),
            "stripes": stripes(),
            "latent": latent_stripes().classifier(),
            "spatial": spatial(),
        }.get(spec)

    monkeypatch.setattr(rather.hub.generators, "load_generator", bring)
    monkeypatch.setattr(rather.hub.resources, "load_classifier", bring)
    monkeypatch.setattr(rather.hub.resources, "list_weights", lambda *_: {"digits-vae": "", "digits-latent": ""})
    return names


def test_the_generator_that_was_asked_for_is_taken(asked):
    assert isinstance(resolve_generator("stripes", spatial()), Autoencoder)
    assert asked == ["stripes"]


def test_a_classifier_of_latents_brings_its_own(asked):
    latent = latent_stripes()
    assert resolve_generator(None, latent.classifier()) is latent.autoencoder
    assert resolve_latent(None, latent.classifier()) is latent
    assert asked == []


def test_digits_have_a_bundled_generator_and_others_have_none(asked):
    resolve_generator(None, digits())
    assert asked == ["digits-vae"]
    for take, says in ((resolve_generator, "train vae"), (resolve_latent, "train latent-classifier")):
        with pytest.raises(RatherError, match=says) as refused:
            take(None, spatial())
        assert refused.value.code == "GEN-MISSING"
        assert refused.value.exit_code == 4


def test_classifiers_of_latents_must_be_some_and_know_the_same_classes(asked):
    own = latent_stripes()
    same = Classifier(torch.nn.Identity(), torch.nn.Flatten(), classes=own.classes, shape=own.autoencoder.shape)
    assert resolve_latent("latent", same).classes == own.classes
    with pytest.raises(RatherError, match="sees images") as refused:
        resolve_latent("spatial", same)
    assert refused.value.code == "GEN-NOT-FOUND"
    with pytest.raises(RatherError, match="0, 1, 2") as refused:
        resolve_latent("latent", digits())
    assert refused.value.code == "MODEL-CLASSES"


def test_a_second_classifier_sees_the_same_images(asked):
    assert isinstance(resolve_second_classifier("spatial", spatial()), Classifier)
    with pytest.raises(RatherError) as refused:
        resolve_second_classifier("spatial", digits())
    assert refused.value.code == "DATA-SHAPE"


def test_only_what_is_wanted_is_taken(asked):
    data = InMemory("greys", ("left",), pictures(5), [0] * 5, list("abcde"))
    sources = ResourceSpec(
        pictures=Dataset("greys", data), generator="stripes", latent="latent", second_classifier="spatial"
    )
    assert asked == []
    assert isinstance(sources.resolve(Requirement("generator", Autoencoder), spatial()), Autoencoder)
    assert asked == ["stripes"]
    assert isinstance(sources.resolve(Requirement("references", References), spatial()), References)
    assert isinstance(sources.resolve(Requirement("second_classifier", Classifier), spatial()), Classifier)
    without = ResourceSpec(pictures=Dataset("greys", data))
    assert without.resolve(Requirement("second_classifier", Classifier), spatial()) is None
    without.resolve(Requirement("generator", Autoencoder, ("vae",)), digits())
    assert asked[-1] == "digits-vae"


def asks(method):
    data = InMemory("greys", ("left",), pictures(2), [0, 0], ["a", "b"])
    return run_config(
        Job(
            source=data,
            indices=[0, 1],
            classifier=spatial(),
            method=method,
            references=None,
            target="next",
            confidence=0.0,
            seed=0,
        ),
        "greys",
    )


def test_what_is_asked_tells_generator_latent_and_second_classifier():
    given = resources()
    fields = {"generator": given[Autoencoder], "references": given[References], "second_classifier": spatial()}
    plain = asks(build_method({"name": "wachter"}))
    assert not {"generator", "latent", "second_classifier"} & plain.keys()
    for name in ("revise", "dive"):
        told = asks(build_method({"name": "several", "method": name}, fields))
        assert told["method.generator"]["name"] == given[Autoencoder].name
        assert len(told["method.generator"]["sha256"]) == 64
    assert told["method.second_classifier"]["name"] == "spatial"
    assert told["method.references"]["count"] == 24
    latent = given[LatentClassifiers]
    told = asks(build_method({"name": "clarity"}, {"latent": latent}))
    assert told["latent"]["name"] == latent.name
    assert told == asks(build_method({"name": "clarity"}, {"latent": latent_stripes()}))


def test_a_wrapper_and_what_it_wraps_each_tell_their_own_net():
    given = resources()
    fields = {"generator": given[Autoencoder], "denoiser": given[Denoiser]}
    told = asks(build_method({"name": "refined", "method": "revise"}, fields))
    assert told["method.generator"]["name"] == given[Autoencoder].name
    assert told["denoiser"]["name"] == given[Denoiser].name


def test_another_generator_or_latent_is_another_run():
    one, other = stripes(), stripes()
    other.get_buffer("span").add_(0.5)
    first = asks(build_method({"name": "revise"}, {"generator": one}))
    assert first != asks(build_method({"name": "revise"}, {"generator": other}))
    latents = latent_stripes(), latent_stripes(), latent_stripes()
    with torch.no_grad():
        latents[1].heads.biases[-1][0, 0, 0] += 0.1
        latents[2].autoencoder.get_buffer("black").add_(0.1)
    told = [repr(asks(build_method({"name": "clarity"}, {"latent": latent}))) for latent in latents]
    assert len(set(told)) == 3


def test_a_generator_of_another_kind_is_refused(asked):
    want = Requirement("generator", Semantic, ("semantic",))
    with pytest.raises(RatherError, match="train semantic") as refused:
        resolve_generator("stripes", spatial(), want)
    assert refused.value.code == "MODEL-KIND"
    with pytest.raises(RatherError, match="train semantic") as refused:
        resolve_generator(None, spatial(), want)
    assert refused.value.code == "GEN-MISSING"


def test_faces_get_the_nets_of_their_classifier_before_those_of_their_images(monkeypatch):
    def face(name, classes):
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 2))
        return Classifier(torch.nn.Identity(), net, classes=classes, shape=(3, 64, 64), name=name)

    known = {"faces-vae", "faces-semantic", "faces-smile-exaggerator", "digits-gan"}
    monkeypatch.setattr(rather.hub.resources, "list_weights", lambda *_: known)
    smile, age = face("faces-smile", ("not smiling", "smiling")), face("mine", ("young", "old"))
    assert bundled_net(smile, ["exaggerator"]) == "faces-smile-exaggerator"
    assert bundled_net(age, ["exaggerator"]) is None
    assert bundled_net(age, ["gan", "vae"]) == "faces-vae"
    assert bundled_net(face("dogs", ("pug", "husky")), ["vae"]) is None


@pytest.mark.parametrize("name", ["steex", "attributes", "exaggeration"])
def test_a_generator_of_any_kind_makes_the_run_its_own(name):
    told = asks(example(name))["generator"]
    assert len(told["sha256"]) == 64
    generator = dict(example(name))["generator"]
    for part in ("decoder", "generator"):  # another net, under the same name
        if hasattr(generator, part):
            setattr(generator, part, _Grey())
    assert asks(build_method({"name": name}, {"generator": generator}))["generator"] != told


class _Grey(torch.nn.Module):
    def forward(self, features, _):
        some = features if isinstance(features, torch.Tensor) else features[0]
        return torch.full((len(some), 1, 6, 6), 0.5)
