"""The diffusion model that is trained here: its loss, the running mean of its weights, what it learns."""

import pytest
import torch
from torch import Tensor, nn

from rather.config.errors import RatherError
from rather.generators.ddpm import DDPMRecipe, small_unet
from rather.train.fit import Schedule, fit

SHAPE = (1, 16, 16)
HOW = Schedule(steps=12, lr=0.01, batch_size=4, seed=0)


def tiny(**settings):
    torch.manual_seed(0)
    return DDPMRecipe(**{"width": 4, "levels": 20, **settings}).build(SHAPE)


def squares(count=12):
    images = torch.zeros(count, *SHAPE, dtype=torch.uint8)
    for n, image in enumerate(images):
        image[:, n % 8 : n % 8 + 8, n % 5 : n % 5 + 8] = 255
    return images


class Knows(nn.Module):
    """The noise of grey images, of which it knows how grey they are."""

    def __init__(self, schedule, grey: float) -> None:
        super().__init__()
        self.schedule, self.grey, self.asked = schedule, grey, []
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, steps: Tensor) -> Tensor:
        self.asked += steps.tolist()
        return self.schedule.noise(z, steps, torch.full_like(z, 2 * self.grey - 1)) + 0.5


@pytest.mark.shapes
def test_loss_is_the_squared_error_of_the_noise():
    net = tiny().eval()
    net.net = Knows(net.schedule, 0.7)
    loss = net("denoise", torch.full((5, *SHAPE), 0.7))
    torch.testing.assert_close(loss, torch.full((5,), 0.25), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("reach", "levels"), [(None, 20), (3, 3)])
def test_levels_are_drawn_up_to_its_reach_for_each_row(reach, levels):
    net = tiny(reach=reach).eval()
    net.net = Knows(net.schedule, 0.5)
    net("denoise", torch.full((400, *SHAPE), 0.5))
    assert {*net.net.asked} == {*range(levels)}
    assert net.product("a").reach == levels


def test_product_has_the_running_mean_of_the_weights():
    net = tiny(ema=0.3)
    x = torch.rand(2, *SHAPE)
    seen = []
    for n in range(4):
        for parameter in net.net.parameters():
            nn.init.constant_(parameter, n**2)
        net("denoise", x)
        seen.append(next(net.mean.module.parameters()).flatten()[0].item())
    # 0, then 1 of which 1/11 of the old is left, then 4 of which 2/12 is left, then 9 of which 3/13 is left
    first = 1 - 1 / 11
    second = 4 + (first - 4) * 2 / 12
    assert seen == pytest.approx([0, first, second, 9 + (second - 9) * 3 / 13])
    assert all(
        torch.equal(p, q) for p, q in zip(net.product("a").net.parameters(), net.mean.module.parameters(), strict=True)
    )
    before = [p.clone() for p in net.mean.parameters()]
    net.eval()("denoise", x)
    assert all(torch.equal(p, q) for p, q in zip(net.mean.parameters(), before, strict=True))


def test_long_running_means_forget_slowly():
    net = tiny(ema=0.9)
    net.mean.n_averaged.fill_(10_000)
    for parameter in net.mean.parameters():
        nn.init.zeros_(parameter)
    for parameter in net.net.parameters():
        nn.init.ones_(parameter)
    net("denoise", torch.rand(1, *SHAPE))
    for parameter in net.mean.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 0.1))


def test_an_interrupted_training_ends_with_the_same_mean(tmp_path, monkeypatch):
    monkeypatch.setattr("rather.train.fit._SAVE_EVERY", 0)
    whole = fit(tiny(), [squares()], HOW)
    net, file = tiny(), tmp_path / "checkpoint"

    def stop(done, *_):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(net, [squares()], HOW, checkpoint=file, progress=stop)
    again = fit(tiny(), [squares()], HOW, checkpoint=file)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key
    assert not torch.equal(next(whole.net.parameters()), next(whole.mean.module.parameters()))


def test_it_learns_to_take_noise_off():
    settings = DDPMRecipe(width=4, levels=100, ema=0.8)
    torch.manual_seed(0)
    net = settings.build(SHAPE)
    images = 80 + squares() // 4  # grey, so that nothing is gained by cutting off
    test = {"images": images.float() / 255}
    before = settings.figures(net.product("a"), test)
    fit(net, [images], Schedule(steps=60, lr=0.01, batch_size=8, seed=0))
    after = settings.figures(net.product("a"), test)
    assert before.keys() == after.keys() == {f"squared_error_at_level_{t}" for t in (10, 33, 99)} | {"psnr"}
    assert after["psnr"] > before["psnr"] + 2
    left = float((1 - net.schedule.alpha_bar[10]) / net.schedule.alpha_bar[10]) / 4  # of an image that is left as it is
    assert before["squared_error_at_level_10"] > 0.9 * left
    assert after["squared_error_at_level_10"] < 0.7 * left


@pytest.mark.parametrize("width", [1, 4, 6, 7, 24, 32])
def test_a_net_of_any_width_hears_which_step_it_is(width):
    torch.manual_seed(0)
    net = small_unet((1, 8, 8), width, 2)
    z = torch.randn(1, 1, 8, 8)
    said = net(torch.cat([z, z]), torch.tensor([0, 15]))
    assert not torch.allclose(said[0], said[1], atol=1e-6) or width == 1


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (3, 30, 50), (1, 2, 2), (2, 18, 6)])
@pytest.mark.parametrize("patch", [1, 2])
def test_nets_take_images_of_any_even_size(shape, patch):
    net = DDPMRecipe(width=4, levels=5, patch=patch).build(shape)
    assert net("denoise", torch.rand(2, *shape)).shape == (2,)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(RatherError) as caught:
        DDPMRecipe(levels=10, reach=11)
    assert (caught.value.code, "levels: 10" in str(caught.value)) == ("CFG-SETTING", True)
    with pytest.raises(RatherError) as caught:
        DDPMRecipe().build((1, 27, 28))
    assert caught.value.code == "TRAIN-DATA"
    DDPMRecipe(patch=1, width=4).build((1, 27, 28))
