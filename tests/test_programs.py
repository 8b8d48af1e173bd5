"""Nets that come with their code: Python files, TorchScript, torch.export; and functions in the place of nets."""

import hashlib
import io
import re
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from rather.core import Classifier
from rather.hub.classifiers import load_classifier
from refusing import refusal

SHAPE = (1, 6, 6)
X = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1))
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")

CODE = """
import numpy as np
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

instance = Net()
def factory(): return Net()
def with_default(weights="none"): return Net()
def function(images): return instance(images)
nameless = lambda x: instance(x)
def array(x): return instance(torch.as_tensor(np.asarray(x))).detach().numpy()
def maker_of_a_function(): return array
def script(): return torch.jit.script(Net().eval())
def program(): return torch.export.export(Net().eval(), (torch.rand(2, 1, 6, 6),))
def exported_module(): return torch.export.export(Net().eval(), (torch.rand(2, 1, 6, 6),)).module()

number = 3
def nothing(): pass
"""
NAMES = re.findall(r"^(?:class|def) (\w+)|^(\w+) = ", CODE.partition("number")[0], re.MULTILINE)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.fixture
def code(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    return file, [f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"]


@pytest.mark.parametrize("name", [one or other for one, other in NAMES])
def test_whatever_a_name_in_a_file_is_it_answers_as_the_net_does(code, name):
    file, trust = code
    classifier = load_classifier(f"{file}:{name}", shape=SHAPE, trust=trust)
    assert classifier.name == name
    with torch.no_grad():
        torch.testing.assert_close(classifier(X), net()(X))


def test_what_is_no_net_is_refused(code):
    file, trust = code
    for name in ("number", "nothing"):
        assert refusal(load_classifier, f"{file}:{name}", shape=SHAPE, trust=trust).code == "MODEL-FACTORY"
    assert refusal(Classifier, 3, shape=SHAPE).code == "MODEL-COPY"


def saved(kind, folder):
    file = folder / f"net-{kind}"
    if kind == "torchscript":
        torch.jit.save(torch.jit.trace(net(), X), file)
    else:
        dynamic = ({0: torch.export.Dim("b", min=1, max=64)},) if kind == "export-any" else None
        torch.export.save(torch.export.export(net(), (X[:2],), dynamic_shapes=dynamic), file)
    return file


@pytest.mark.parametrize("kind", ["torchscript", "export", "export-any"])
def test_a_program_runs_with_consent_and_has_gradients(kind, tmp_path):
    """One for batches of two answers five."""
    file = saved(kind, tmp_path)
    spec = f"{kind.removesuffix('-any')}:{file}"
    shape = SHAPE if kind == "torchscript" else None
    error = refusal(load_classifier, spec, shape=shape)
    assert error.code == "MODEL-CODE"
    trust = [error.do.split()[-1]]
    assert trust == [f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"]
    classifier = load_classifier(spec, shape=shape, trust=trust)
    assert classifier.shape == SHAPE
    x, own = X.clone().requires_grad_(), X.clone().requires_grad_()
    answer, expected = classifier(x), net()(own)
    torch.testing.assert_close(answer, expected)
    (gradient,), (wanted,) = (torch.autograd.grad(y.sum(), z) for y, z in ((answer, x), (expected, own)))
    torch.testing.assert_close(gradient, wanted)
    assert classifier.fingerprint() == load_classifier(spec, shape=shape, trust=trust).fingerprint()
    other = "export" if kind == "torchscript" else "torchscript"
    assert f"Say {spec}" in refusal(load_classifier, f"{other}:{file}").do
    file.write_bytes(file.read_bytes() + b"0")
    assert refusal(load_classifier, spec, shape=shape, trust=trust).code in {"MODEL-CODE", "MODEL-FILE-DAMAGED"}


def test_a_program_that_this_version_cannot_read_is_damaged(tmp_path):
    file = tmp_path / "net.pt"
    with zipfile.ZipFile(saved("torchscript", tmp_path)) as good, zipfile.ZipFile(file, "w") as broken:
        for name in good.namelist():
            broken.writestr(name, b"klass" if name.endswith(".py") else good.read(name))
    trust = [f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"]
    assert refusal(load_classifier, f"torchscript:{file}", trust=trust).code == "MODEL-FILE-DAMAGED"


def test_a_program_in_memory_is_copied():
    own = torch.jit.load(io.BytesIO(torch.jit.trace(net(), X).save_to_buffer()))
    classifier = Classifier(own, shape=SHAPE)
    torch.testing.assert_close(classifier(X), net()(X).detach())
    assert all(parameter.requires_grad for parameter in own.parameters())


def test_a_function_may_answer_in_numpy():
    def answer(x):
        return np.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], 1)

    torch.testing.assert_close(Classifier(answer, shape=SHAPE)(X)[:, 0], X.mean((1, 2, 3)))
