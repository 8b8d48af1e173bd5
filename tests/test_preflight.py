"""Planted faults, each refused by its name, and healthy nets, each let through."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rather.core import Classifier, ensemble, preflight
from refusing import code_of, refusal

SHAPE = (1, 6, 6)
X = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A convolution, and a linear layer; `wrong` says what is done to their answer."""

    def __init__(self, wrong=lambda logits: logits, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.out, self.wrong = nn.Conv2d(1, 4, 3), nn.Linear(4 * 16, classes), wrong

    def forward(self, x):
        return self.wrong(self.out(F.relu(self.conv(x)).flatten(1)))


class Stays(Net):
    """It does not leave training mode when told."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def train(self, mode=True):
        del mode
        return self

    def forward(self, x):
        return self.out(self.layer(self.conv(x)).flatten(1))


class LiveNorm(Net):
    """It normalises by the batch, in evaluation as well."""

    def forward(self, x):
        return self.out(F.batch_norm(self.conv(x), None, None, training=True).flatten(1))


class Inner(Net):
    """What it does wrong happens inside, before its last layer."""

    def forward(self, x):
        return self.out(self.wrong(self.conv(x)).flatten(1))


def poisoned():
    net = Net()
    with torch.no_grad():
        net.out.weight[0, 0] = torch.nan
    return net


def overflowing():
    net = Net()
    with torch.no_grad():
        net.conv.weight.fill_(1e38)
        net.conv.bias.fill_(3e38)
    return net


#: A net, the code that refuses it, and for some what the line says where or what to do.
FAULTS = {
    "channels": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3)), "MODEL-INPUT", "3 channels"),
    "size": (nn.Sequential(nn.Flatten(), nn.Linear(49, 3)), "MODEL-INPUT"),
    "softmax": (Net(lambda logits: logits.softmax(1)), "MODEL-PROBABILITIES", "output probabilities"),
    "one logit": (Net(classes=1), "MODEL-ONE-OUTPUT", "binary-logit"),
    "one logit, flat": (Net(lambda logits: logits[:, 0], classes=1), "MODEL-ONE-OUTPUT"),
    "one sigmoid": (Net(torch.sigmoid, classes=1), "MODEL-ONE-OUTPUT", "binary-probability"),
    "nothing": (Net(lambda _: None), "MODEL-OUTPUT-TYPE"),
    "two tensors": (Net(lambda logits: (logits, logits)), "MODEL-OUTPUT-TYPE"),
    "named tensors": (Net(lambda logits: {"main": logits, "aux": logits}), "MODEL-OUTPUT-TYPE", "main, aux"),
    "argmax": (Net(lambda logits: logits.argmax(1)), "MODEL-OUTPUT-TYPE"),
    "no batch": (Net(lambda logits: logits[0], classes=4), "MODEL-OUTPUT-SHAPE"),
    "a map": (nn.Conv2d(1, 3, 1), "MODEL-OUTPUT-SHAPE", "(3, 3, 6, 6)"),
    "one more": (Net(lambda logits: torch.cat([logits, logits[:1]])), "MODEL-OUTPUT-SHAPE"),
    "NaN": (Inner(lambda x: (x - 100).sqrt()), "MODEL-NONFINITE", "first seen in out"),
    "overflow": (overflowing(), "MODEL-NONFINITE", "first seen in conv"),
    "NaN weight": (poisoned(), "MODEL-WEIGHTS-NONFINITE", "out.weight"),
    "live dropout": (Net(F.dropout), "MODEL-TRAIN-MODE"),
    "noise": (Net(lambda logits: logits + torch.randn(())), "MODEL-TRAIN-MODE"),
    "own train, dropout": (Stays(nn.Dropout()), "MODEL-TRAIN-MODE"),
    "own train, norm": (Stays(nn.BatchNorm2d(4)), "MODEL-TRAIN-MODE", "layer"),
    "live norm": (LiveNorm(), "MODEL-BATCH-DEPENDENT"),
    "centred": (Net(lambda logits: logits - logits.mean(0)), "MODEL-BATCH-DEPENDENT"),
    "by place": (Net(lambda logits: logits + torch.arange(len(logits))[:, None]), "MODEL-BATCH-DEPENDENT"),
    "squeezed": (Net(lambda logits: logits.squeeze()), "MODEL-BATCH-DEPENDENT"),
}


def by_hand(net):
    """A classifier that a user built of two parts, which nothing has checked."""
    return Classifier(nn.Identity(), net, classes=["a", "b", "c"], shape=SHAPE)


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_net_is_refused_and_so_is_a_classifier_of_it_made_by_hand(name):
    net, code, *line = FAULTS[name]
    error = refusal(Classifier, net, shape=SHAPE)
    assert (error.code, error.exit_code) == (code, 4)
    assert all(part in str(error) for part in line)
    assert code_of(preflight, by_hand(net), X) == code


@pytest.mark.parametrize(
    ("net", "output", "code"),
    [
        (Net(), "probabilities", "MODEL-NOT-PROBABILITIES"),
        (Net(torch.sigmoid), "probabilities", "MODEL-NOT-PROBABILITIES"),
        (Net(classes=1), "binary-probability", "MODEL-NOT-PROBABILITIES"),
        (Net(), "binary-logit", "MODEL-OUTPUT-SHAPE"),
    ],
)
def test_an_output_that_is_not_what_was_said(net, output, code):
    assert code_of(Classifier, net, shape=SHAPE, output=output) == code


def test_images_of_another_shape_and_too_few_names():
    assert code_of(preflight, by_hand(Net()), torch.rand(2, 3, 6, 6)) == "MODEL-INPUT"
    assert code_of(preflight, by_hand(Net(classes=4)), X) == "MODEL-CLASSES"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (torch.Tensor.detach, "no gradient"),
        (torch.round, "zero"),
        (lambda x: (x - x.detach()).sqrt() + x, "NaN"),
        (lambda x: F.relu(x - 100), "zero"),
    ],
)
def test_a_useless_gradient_is_noted_not_refused(wrong, why):
    assert why in preflight(Classifier(Inner(wrong), shape=SHAPE), X)[0]


def test_a_classifier_that_is_sure_still_has_a_gradient():
    # The first choice's probability is 1 in float32, and its gradient 0; the target's is not.
    assert preflight(Classifier(Net(lambda logits: logits * 1e4), shape=SHAPE), X) == []


def test_a_dead_row_and_a_constant_are_noted_not_refused():
    class Half(Net):
        def forward(self, x):
            return super().forward(F.relu(x - 0.9)[..., :2, :2].repeat(1, 1, 3, 3))

    images = torch.stack([torch.zeros(SHAPE), torch.ones(SHAPE)])
    assert preflight(Classifier(Half(), shape=SHAPE), images) == ["1 of 2 images have no gradient"]
    notes = preflight(Classifier(Net(lambda logits: 0 * logits), shape=SHAPE), X)
    assert notes == ["the gradient is zero everywhere", "every image gets the same answer"]


def test_healthy_classifiers_pass_and_nothing_is_changed():
    one = Classifier(Net(), shape=SHAPE)
    both = ensemble([one, Classifier(Inner(F.relu), shape=SHAPE)])
    several = [one, both, by_hand(Net(lambda logits: logits.log_softmax(1)))]
    random, images = torch.get_rng_state(), X.clone()
    before = {key: value.clone() for key, value in both.state_dict().items()}
    assert [preflight(classifier, images) for classifier in several] == 3 * [[]]
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(images, X)
    assert all(torch.equal(value, before[key]) for key, value in both.state_dict().items())
    assert not any(module._forward_hooks for module in both.modules())


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]),
        ("mobilenet_v3_small", [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear, nn.Hardswish, nn.Linear]),
        ("squeezenet1_1", [nn.AdaptiveAvgPool2d, nn.Flatten]),
        ("shufflenet_v2_x0_5", [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]),
        ("mnasnet0_5", [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]),
    ],
)
def test_architectures_of_torchvision_pass_and_have_heads_that_are_chains(name, head):
    from torchvision.models import get_model

    torch.manual_seed(0)
    net = get_model(name, weights=None, num_classes=10)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    classifier = Classifier(net, shape=(3, 96, 96), mean=mean, std=std, name=name)
    x = torch.rand(2, 3, 96, 96)
    assert preflight(classifier, x) == []
    assert [type(layer) for layer in classifier.head] == head
    with torch.no_grad():
        expected = net.eval()((x - classifier.mean) / classifier.std)
        torch.testing.assert_close(classifier(x), expected)
        assert min(classifier.features(x).shape[2:]) >= 2


class AtMost(Net):
    """It takes so many images at once; of more it complains in its own way."""

    def __init__(self, most, complain):
        super().__init__()
        self.most, self.complain, self.seen = most, complain, 0

    def forward(self, x):
        self.seen = max(self.seen, len(x))
        return super().forward(x) if len(x) <= self.most else self.complain(self, x)


def starves(net, x):
    torch.empty(2**50)


def views(net, x):
    return net(x.view(1, *SHAPE))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_images_are_asked_for_at_once_than_may_be(most):
    net = AtMost(most, starves)
    classifier = by_hand(net)
    assert preflight(classifier, X, batch_size=most) == []
    assert classifier.head.seen == most


@pytest.mark.parametrize("complain", [starves, views, lambda net, x: net(x[:1])])
def test_a_net_that_takes_one_image_at_a_time_is_asked_so(complain):
    net = AtMost(1, complain)
    classifier = Classifier(net, shape=SHAPE)
    assert preflight(classifier, X) == []
    torch.testing.assert_close(classifier(X), torch.cat([net(one) for one in X.split(1)]))


def test_too_little_memory_for_a_single_image_is_called_that():
    assert code_of(Classifier, AtMost(0, starves), shape=SHAPE) == "RUN-MEMORY"
    assert code_of(preflight, by_hand(AtMost(0, starves)), X) == "RUN-MEMORY"


def test_an_image_that_the_net_fails_on_is_a_note_unless_it_is_every_one():
    class Fussy(Net):
        def forward(self, x):
            if (x == 0).any():
                raise ValueError("too dark")
            return super().forward(x)

    dark = X.clamp(min=0.01)
    dark[1] = 0
    assert preflight(by_hand(Fussy()), dark) == ["it fails on 1 of the first 4 images: ValueError: too dark"]
    assert code_of(preflight, by_hand(Fussy()), torch.zeros(3, *SHAPE)) == "MODEL-INPUT"
