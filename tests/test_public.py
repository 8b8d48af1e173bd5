"""What `import rather` offers: complete, typed, by name or by object, and without anything heavy."""

import ast
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import rather
import rather.hub.methods
from rather.config.errors import RatherError
from rather.hub import extensions
from rather.hub.trusted import allow

ROOT = Path(rather.__file__).parent
SCRIPT = Path(__file__).with_name("typed_script.py")
OWN = """
from rather import Method, SearchResult
import torch

class BlackAndWhite(Method):
    '''White where the target is 1, black elsewhere.'''

    level: float = 1.0
    '''Brightness of white.'''

    def search(self, classifier, x, goal, noise):
        one = torch.ones_like(goal.target)
        images = (goal.target[:, None, None, None] * self.level).expand_as(x)
        return SearchResult(images=images, steps=one, evaluations=one)
"""


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return rather.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), shape=(1, 6, 6), classes="abc", name="mine")


@pytest.fixture
def x():
    return torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def classes_of_methods():
    for file in sorted((ROOT / "methods").glob("[a-z]*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and "Method" in map(ast.unparse, node.bases):
                yield node.name, file.stem


def test_every_method_is_offered_under_its_own_name():
    for name, stem in classes_of_methods():
        assert rather.hub.methods.method_class(stem) is getattr(rather, name), name


def test_all_that_is_offered_is_there_and_nothing_heavy_is_loaded_for_it():
    code = "import rather, sys; assert 'ACE' in dir(rather); print({'torch', 'pydantic', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert [name for name in dir(rather) if getattr(rather, name, None) is None] == []
    with pytest.raises(AttributeError):
        _ = rather.Wachtre


def test_names_stand_for_what_they_name(net, x):
    ace = rather.ACE(generator="digits-ddpm", distance_weight=0.002)
    assert repr(ace) == "ACE(generator=digits-ddpm, distance_weight=0.002)"
    assert repr(rather.Minimal(method="wachter")) == "Minimal(method=Wachter())"
    by_tensor = rather.Nearest(references=x[3:])(net, x[:3], net(x[3:]).argmax(1)[0].item())
    assert by_tensor.success.any()
    with pytest.raises(RatherError, match="digits-vae") as error:
        rather.ACE(generator="digits-vae")
    assert error.value.code == "MODEL-KIND"
    with pytest.raises(RatherError, match="got <Linear>"):
        rather.ACE(generator=nn.Linear(1, 1))


def test_help_says_what_each_setting_means():
    text = rather.ACE.__doc__
    for name, field in rather.ACE.model_fields.items():
        assert f"    {name} (" in text
        assert " ".join(field.description.split()) in text
    assert "distance_weight (float >= 0; default 0.001)" in text


@pytest.mark.parametrize(("old", "new"), [("closeness", "distance_weight"), ("frames", "num_path_frames")])
def test_a_setting_of_old_says_its_new_name(old, new):
    with pytest.raises(RatherError, match=rf"wachter\.{old} \(renamed\)\. Say {new}"):
        rather.Wachter(**{old: 1})


def test_a_net_of_any_kind_is_wrapped(x):
    inner = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    one = rather.Classifier(inner, shape=(1, 6, 6), output="binary-logit", mean=[0.5], std=torch.tensor([0.5]))
    assert one(x).shape == (6, 2)
    assert not any(part.training for part in one.modules())
    assert inner.training
    with pytest.raises(RatherError, match="shape="):
        rather.Classifier(inner)


def test_rows_are_indexed_sliced_iterated_and_a_table(net, x):
    target = (net(x).argmax(1) + 1) % 3
    target[1] = net(x).argmax(1)[1]
    found = rather.Wachter()(net, x, target, ids="abcdef")
    assert found.status == ("found", "already", "found", "found", "found", "found")
    assert [one.id for one in found] == list("abcdef")
    assert (found[-1].id, found[1:3].ids, len(found[::2])) == ("f", ("b", "c"), 3)
    row = found[1]
    assert torch.equal(row.query, row.image)
    assert not row.success
    assert (row.status, row.reason, row.steps, row.target) == ("already", "ALREADY-TARGET", 0, row.predicted)
    assert found.to_dict()["status"][1] == "already"
    assert len({len(values) for values in found.to_dict().values()}) == 1
    with pytest.raises(IndexError):
        _ = found[6]


def test_explaining_in_batches_is_explaining_at_once(net, x):
    at_once = rather.explain(net, x, "wachter", target="runner-up")
    batches = rather.explain(net, x, rather.Wachter(), target="runner-up", batch_size=4)
    torch.testing.assert_close(at_once.images, batches.images, atol=1.01 / 255, rtol=0)
    assert at_once.status == batches.status
    assert batches.ids == tuple("012345")
    assert len(batches.artifacts["path"]) == 6
    by_module = rather.explain(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), x, "wachter", target=[0, 1, 2, 0, 1, 2])
    assert by_module.goal.target.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_comparison_is_printed_and_indexed(net, x, tmp_path):
    methods = {"near": rather.Nearest(references=x.flip(0)), "wachter": "wachter"}
    result = rather.compare(methods, net, x, target="next", metrics=["validity", "l1"], out=tmp_path / "both")
    assert list(result) == ["near", "wachter"]
    assert result.estimate("wachter", "validity").value == result["wachter"].success.double().mean()
    change = (result["wachter"].images - result["wachter"].queries).abs().flatten(1).mean(1)
    assert result.estimate("wachter", "l1").value == pytest.approx(change.mean().item(), abs=1e-6)
    assert repr(result).splitlines()[0].split() == ["validity", "l1"]
    again = rather.compare(methods, net, x, target="next", metrics=["validity", "l1"], out=tmp_path / "both")
    assert repr(again) == repr(result)
    with pytest.raises(RatherError, match="metric validty"):
        rather.compare(methods, net, x, metrics=["validty"])


def test_the_script_runs_with_what_is_at_hand(tmp_path, monkeypatch, net, capsys):
    monkeypatch.chdir(tmp_path)
    for n, name in enumerate("ab"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (70, 64), (90 + 60 * n, 120, 150)).save(tmp_path / "photos" / f"{name}.png")
    monkeypatch.setattr(
        rather.Classifier, "from_torchvision", classmethod(lambda _cls, _name: rather.load_classifier("faces-smile"))
    )
    places = {"cub:CUB_200_2011": "faces", "diffusers:google/ddpm-celebahq-256": "faces-ddpm"}
    code = SCRIPT.read_text("utf-8")
    for asked, there in places.items():
        code = code.replace(asked, there)
    code = (
        code.replace("ACE(", "ACE(steps=1, tau=1, ").replace("Wachter(", "Wachter(steps=2, ").replace('"kid"', '"l2"')
    )
    code = code.replace("rather.Goyal(references=birds.train)", "rather.Nearest(references=birds.test)")
    (tmp_path / "script.py").write_text(code)
    runpy.run_path(str(tmp_path / "script.py"))
    assert "ace" in capsys.readouterr().out
    assert (tmp_path / "runs/mine/comparison.json").exists()


def test_a_method_of_one_s_own_is_one_file(net, x, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    with pytest.raises(RatherError) as error:
        rather.load_method(f"{file}:BlackAndWhite")
    assert error.value.code == "MODEL-CODE"
    trust = [error.value.why.replace("sha256 ", "sha256:")]
    mine = rather.load_method(f"{file}:BlackAndWhite", {"level": 0.5}, trust=trust)
    assert repr(mine) == "BlackAndWhite(level=0.5)"
    assert mine.settings() == {"name": "black_and_white", "level": 0.5}
    with pytest.raises(rather.RatherError, match="only with consent"):
        rather.Several(method=f"{file}:BlackAndWhite", count=2)  # consent was for the call above
    with allow(trust):
        assert rather.Several(method=f"{file}:BlackAndWhite", count=2).method.name() == "black_and_white"
    with pytest.raises(rather.RatherError, match="only with consent"):
        rather.Several(method=f"{file}:BlackAndWhite", count=2)
    result = rather.explain(net, x, mine, target="next")
    assert set(result.status) <= {"found", "not_found"}


def test_a_method_of_another_package_is_called_by_its_entry_point(monkeypatch):
    class Mine(rather.Method):
        """Nothing."""

        def search(self, classifier, x, goal, noise):
            raise NotImplementedError

    point = metadata.EntryPoint("mine", "other.package:Mine", "rather.methods")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _self: Mine)
    monkeypatch.setattr(
        extensions,
        "entry_points",
        lambda group, name="mine": [point] if (group, name) == ("rather.methods", "mine") else [],
    )
    assert "mine" in rather.list_methods()
    assert isinstance(rather.load_method("mine"), Mine)
    assert rather.load_method("mine").name() == "mine"
