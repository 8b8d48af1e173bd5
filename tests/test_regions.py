"""The part of an image that may change, and which part decides."""

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from rather.commands.cli import main
from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Noise, SearchResult
from rather.core.region import restricted, search_inside, unrestricted
from rather.data.regions import region_names, region_of
from rather.data.source import InMemory
from rather.hub.datasets import load_dataset
from rather.methods.wachter import Wachter
from rather.runs.comparison import open_comparison
from rather.runs.regions import region_effects

SHAPE = (1, 6, 8)


@pytest.fixture
def source() -> InMemory:
    return InMemory("none", (), torch.zeros(1, *SHAPE), [None], ["0"])


def left_half() -> Classifier:
    """Whether the left half is light: what is on the right has no influence."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    weights = torch.zeros(6, 8)
    weights[:, :4] = 1.0
    with torch.no_grad():
        net[1].weight.copy_(weights.flatten()[None])
        net[1].bias.fill_(-12.0)
    return Classifier(net, shape=SHAPE, output="binary-logit", classes=("dark", "light"))


def test_a_rectangle_is_left_top_width_height(source: InMemory) -> None:
    mask = region_of("2,1,3,4", source, SHAPE).mask(0)
    wanted = torch.zeros(6, 8, dtype=torch.bool)
    wanted[1:5, 2:5] = True
    assert torch.equal(mask, wanted)
    assert torch.equal(region_of("outside:2,1,3,4", source, SHAPE).mask(0), ~wanted)


def test_a_mask_picture_is_resized_to_the_image(source: InMemory, tmp_path: Path) -> None:
    drawn = Image.new("L", (16, 12))
    drawn.paste(255, (8, 0, 16, 12))
    drawn.save(tmp_path / "mask.png")
    region = region_of(str(tmp_path / "mask.png"), source, SHAPE)
    assert torch.equal(region.mask(0), torch.arange(8).expand(6, 8) >= 4)
    drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mask.png")
    assert region_of(str(tmp_path / "mask.png"), source, SHAPE).name != region.name  # another run


def test_a_named_region_is_that_of_each_image() -> None:
    faces = load_dataset("faces").test
    region = region_of("hair", faces, (3, 64, 64))
    for index in (0, 7):
        assert torch.equal(region.mask(index), faces.layout(index) == faces.regions.index("hair"))


@pytest.mark.parametrize("text", ["5,0,4,1", "0,0,0,3", "nowhere", "1,2,3", "missing.png", "outside:nowhere"])
def test_what_is_no_region_is_refused(source: InMemory, text: str) -> None:
    with pytest.raises(RatherError, match="region does not exist"):
        region_of(text, source, SHAPE)


def test_all_regions_are_those_of_the_data(source: InMemory) -> None:
    faces = load_dataset("faces").test
    assert region_names("all", faces) == faces.regions
    assert region_names("hair, lips", faces) == ["hair", "lips"]
    for text, of in [("all", source), ("hair,hare", faces), ("", faces)]:
        with pytest.raises(RatherError, match="region does not exist"):
            region_names(text, of)


def test_a_restricted_classifier_reads_the_region_alone() -> None:
    classifier, x = left_half(), torch.rand(1, *SHAPE)
    region = torch.zeros(1, 6, 8, dtype=torch.bool)
    region[:, 2:] = True
    inside = restricted(classifier, x, region)
    z = torch.rand(3, *SHAPE, requires_grad=True)
    assert torch.equal(inside(z), classifier(torch.where(region[:, None], z, x)))
    (gradient,) = torch.autograd.grad(inside(z)[:, 1].sum(), z)
    assert (gradient[:, :, :2] == 0).all()
    assert unrestricted(inside) is classifier is unrestricted(classifier)


@pytest.mark.parametrize("region", [torch.ones(1, 6, 8), torch.ones(6, 8, dtype=torch.bool), [[True]]])
def test_another_mask_is_refused(region: object) -> None:
    with pytest.raises(RatherError, match="mask"):
        Wachter()(left_half(), torch.zeros(1, *SHAPE), 1, region=region)  # type: ignore[arg-type]


def test_each_row_is_searched_in_its_own_region() -> None:
    def whiten(_: Classifier, x: torch.Tensor, goal: Goal, noise: Noise) -> SearchResult:
        one = torch.ones(len(x), dtype=torch.long)
        info = {"row": list(noise.ids)}
        return SearchResult(images=torch.ones_like(x), steps=one, evaluations=one, info=info)

    x, region = torch.zeros(2, *SHAPE), torch.zeros(2, 6, 8, dtype=torch.bool)
    region[0, 0], region[1, 5] = True, True
    goal = Goal.change(torch.tensor([1, 1]))
    found = search_inside(whiten, left_half(), x, goal, Noise(0, ["a", "b"]), region=region)
    assert torch.equal(found.images[:, 0], region.float())
    assert found.info["row"] == ["a", "b"]
    assert found.steps.tolist() == [1, 1]


@pytest.mark.parametrize(("region", "found"), [("0,0,4,6", True), ("outside:0,0,4,6", False), ("4,0,4,6", False)])
def test_only_the_part_that_decides_is_enough(source: InMemory, region: str, found: bool) -> None:
    mask = region_of(region, source, SHAPE).mask(0)[None]
    assert Wachter(lr=0.05)(left_half(), torch.zeros(1, *SHAPE), 1, region=mask).success.tolist() == [found]


def test_the_command_line_names_the_regions_that_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = tmp_path / "net.py"
    net.write_text(
        "import torch\n"
        "class make(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        light = 200 * (x[:, :, 4:14, 24:40].mean((1, 2, 3)) - 0.3)\n"
        "        return torch.stack([-light, light], 1)\n"
    )
    trust = "sha256:" + hashlib.sha256(net.read_bytes()).hexdigest()
    words = ["explain", "--data", "faces", "--classifier", "net.py:make", "--shape", "3", "64", "64", "--count", "3"]
    words += ["--trust", trust, "--method", "wachter", "--set", "steps=60", "--target", "runner-up", "--out", "r"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--regions", "hair,lips"])
    assert not end.value.code
    effects = region_effects(open_comparison(tmp_path / "r"))
    assert [(one.name, one.images) for one in effects] == [("hair", 3), ("lips", 3)]
    assert effects[0].enough > effects[1].enough == effects[1].needed == 0
    assert "enough" in capsys.readouterr().out
    page = (tmp_path / "r" / "comparison.html").read_text("utf-8")
    assert "Which part of the image decides?" in page
    for wrong in (["--regions", "hair", "--region", "lips"], ["--regions", "hare"], ["--region", "1,1,99,1"]):
        with pytest.raises(SystemExit) as end:
            main([*words[:-2], *wrong])
        assert end.value.code == 2
        assert "\n" not in capsys.readouterr().err.strip()
