"""Denoisers of others: pipelines as diffusers saves them, checkpoints beside a net after their layout."""

import json
import math
import pickle

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.core import Classifier
from rather.generators.autoencoder import Autoencoder
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import linear
from rather.hub import guided_diffusion as guided
from rather.hub.generators import is_denoiser, load_denoiser
from rather.hub.guided_diffusion import Trained, load_guided
from rather.hub.presets import expand
from rather.hub.resources import Requirement, requirements, resolve_generator
from tolerance import assert_same_floats

pytestmark = pytest.mark.numbers
TERMS = 9 * 32  # of the longest sum in `unet`


def unet(channels=1, says=1):
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=(8, 16),
        in_channels=channels,
        out_channels=says,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=8,
        norm_num_groups=4,
    )


@pytest.fixture
def folder(tmp_path):
    DDPMPipeline(unet(), DDPMScheduler(num_train_timesteps=40)).save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def told(folder, part, **changed):
    """Change what a part's JSON says."""
    (file,) = (folder / part).glob("*config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def refused(spec):
    with pytest.raises(RatherError) as caught:
        load_denoiser(str(spec))
    assert "\n" not in str(caught.value)
    return caught.value.code


def noisy(count, *shape):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------- pipelines


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_a_saved_pipeline_steps_back_as_it_does(prediction, schedule, tmp_path):
    net = unet()
    scheduler = DDPMScheduler(num_train_timesteps=40, beta_schedule=schedule, prediction_type=prediction)
    DDPMPipeline(net, scheduler).save_pretrained(tmp_path / "mine")
    denoiser = load_denoiser(str(tmp_path / "mine"))
    assert (denoiser.name, denoiser.shape, denoiser.reach) == ("mine", (1, 8, 16), 40)
    z = noisy(2, 1, 8, 16)
    for t in (0, 7, 39):
        # The image is (z - sqrt(1 - a) noise) / sqrt(a), where a is 1e-6 at the end of the steepest schedule.
        scale = denoiser.schedule.alpha_bar[t].item() ** -0.5 if prediction == "epsilon" else 1.0
        with torch.no_grad():
            step = scheduler.step(net(z, t).sample, t, z, generator=torch.Generator().manual_seed(3))
        mean, variance = denoiser.step(z, denoiser.schedule, t)
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(3)) if t else 0
        image = denoiser.predict_x0(z, denoiser.schedule, t)
        assert_same_floats(image, step.pred_original_sample, terms=TERMS, scale=scale)
        assert_same_floats(mean + variance.sqrt() * noise, step.prev_sample, terms=TERMS, scale=scale)


@pytest.mark.parametrize("kind", ["fixed_large", "learned_range"])
def test_variances_are_those_of_the_scheduler(kind, tmp_path):
    net = unet(says=2 if kind == "learned_range" else 1)
    scheduler = DDPMScheduler(num_train_timesteps=40, variance_type=kind)
    DDPMPipeline(net, scheduler).save_pretrained(tmp_path)
    denoiser, z = load_denoiser(str(tmp_path)), noisy(2, 1, 8, 16)
    with torch.no_grad():
        step = scheduler.step(net(z, 9).sample, 9, z, generator=torch.Generator().manual_seed(3))
    mean, variance = denoiser.step(z, denoiser.schedule, 9)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(mean + variance.sqrt() * noise, step.prev_sample, atol=1e-4, rtol=1e-4)


def test_schedulers_of_ddim_and_older_folders_are_taken(tmp_path):
    DDIMPipeline(unet(), DDIMScheduler(num_train_timesteps=40)).save_pretrained(tmp_path / "new")
    new = load_denoiser(f"diffusers:{tmp_path / 'new'}")
    old = tmp_path / "old"  # all in one folder, half as many bits, and attention's layers by their old names
    old.mkdir()
    (old / "config.json").write_text((tmp_path / "new/unet/config.json").read_text())
    (old / "scheduler_config.json").write_text((tmp_path / "new/scheduler/scheduler_config.json").read_text())
    state = load_file(tmp_path / "new/unet/diffusion_pytorch_model.safetensors")
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new_name, old_name in names.items():
        state = {key.replace(f".{new_name}.", f".{old_name}."): t for key, t in state.items()}
    torch.save(state, old / "diffusion_pytorch_model.bin")
    again = load_denoiser(str(old))
    z = noisy(1, 1, 8, 16)
    torch.testing.assert_close(again.predict_x0(z, again.schedule, 3), new.predict_x0(z, new.schedule, 3))


def test_names_of_the_hub_are_downloaded(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(folder))
    assert load_denoiser("diffusers:somebody/something").name == "mine"
    assert asked == ["somebody/something"]

    def fails(*_, **__):
        raise OSError("no network\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    assert refused("diffusers:somebody/something") == "GEN-NOT-FOUND"


@pytest.mark.parametrize(
    ("part", "changed", "code"),
    [
        ("scheduler", {"_class_name": "PNDMScheduler"}, "MODEL-FILE-DAMAGED"),
        ("scheduler", {"beta_schedule": "sigmoid"}, "MODEL-FILE-DAMAGED"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "MODEL-FILE-DAMAGED"),
        ("scheduler", {"num_train_timesteps": 10**12}, "MODEL-FILE-DAMAGED"),
        ("scheduler", {"variance_type": "learned"}, "MODEL-FILE-DAMAGED"),
        ("scheduler", {"variance_type": "learned_range"}, "GEN-SIZE"),
        ("unet", {"_class_name": "UNet2DConditionModel"}, "MODEL-FILE-DAMAGED"),
        ("unet", {"num_class_embeds": 10}, "MODEL-FILE-DAMAGED"),
        ("unet", {"sample_size": None}, "MODEL-FILE-DAMAGED"),
        ("unet", {"sample_size": 10**9}, "MODEL-FILE-DAMAGED"),
        ("unet", {"layers_per_block": 10**9}, "MODEL-FILE-DAMAGED"),
        ("unet", {"layers_per_block": 2}, "MODEL-WEIGHTS"),
        ("unet", {"block_out_channels": [8, 16, 16]}, "MODEL-FILE-DAMAGED"),
        ("unet", {"block_out_channels": [8, 24]}, "MODEL-WEIGHTS"),
        ("unet", {"act_fn": 3}, "MODEL-FILE-DAMAGED"),
        ("unet", {"quantization_config": {"load_in_4bit": True}}, "MODEL-FILE-DAMAGED"),
        ("unet", {"in_channels": 4, "out_channels": 4}, "MODEL-WEIGHTS"),
    ],
)
def test_pipelines_of_another_kind_are_refused_in_a_line(part, changed, code, folder):
    told(folder, part, **changed)
    assert refused(folder) == code


def test_folders_that_are_damaged_or_something_else_are_refused_in_a_line(folder, tmp_path):
    assert refused(tmp_path / "nothing") == "GEN-NOT-FOUND"
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty") == "GEN-NOT-FOUND"
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"vqvae": ["diffusers", "VQModel"]}))
    assert refused(folder) == "GEN-SIZE"
    (folder / "model_index.json").write_text(json.dumps(index))
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    save_file(state | {"conv_in.bias": state["conv_in.bias"] * torch.nan}, weights)
    assert refused(folder) == "MODEL-FILE-DAMAGED"
    weights.write_bytes(weights.read_bytes()[:-9])
    assert refused(folder) == "MODEL-FILE-DAMAGED"
    weights.unlink()
    assert refused(folder) == "MODEL-NOT-FOUND"
    weights.with_suffix(".bin").write_bytes(pickle.dumps({"conv_in.bias": print}))
    assert refused(folder) == "MODEL-CODE"
    for text in ("", "[]", "{", '{"_class_name": 3}', "[" * 100_000):
        (folder / "unet/config.json").write_text(text)
        assert refused(folder) == "MODEL-FILE-DAMAGED"


# ---------------------------------------------------------------- guided-diffusion


class Layout:
    """A net of guided-diffusion, written as its forward pass; it draws each layer's tensors when it first runs."""

    def __init__(self, *, layers=1, attention=(1,), by_block=True, shifts=True, heads=4, says=2, widths=(32, 64)):
        self.layers, self.attention, self.by_block, self.shifts = layers, attention, by_block, shifts
        self.heads, self.says, self.widths, self.state = heads, says, widths, {}
        self.rng = torch.Generator().manual_seed(0)
        self(torch.zeros(1, 1, 16, 8), torch.zeros(1))

    def of(self, key, *shape):
        """Weight and bias of a layer; of one dimension, a norm's."""
        if f"{key}.weight" not in self.state:
            drawn = torch.randn(shape, generator=self.rng) / math.prod(shape[1:]) ** 0.5
            self.state[f"{key}.weight"] = drawn if len(shape) > 1 else 1 + 0.1 * drawn
            self.state[f"{key}.bias"] = 0.1 * torch.randn(shape[0], generator=self.rng)
        return self.state[f"{key}.weight"], self.state[f"{key}.bias"]

    def conv(self, key, h, width, side=3, **more):
        return F.conv2d(h, *self.of(key, width, h.shape[1], side, side), padding=side // 2, **more)

    def norm(self, key, h):
        return F.group_norm(h, 32, *self.of(key, h.shape[1]))

    def linear(self, key, h, width):
        return F.linear(h, *self.of(key, width, h.shape[1]))

    def residual(self, key, h, emb, width, resize=lambda h: h):
        left = self.conv(f"{key}.in_layers.2", resize(F.silu(self.norm(f"{key}.in_layers.0", h))), width)
        effect = self.linear(f"{key}.emb_layers.1", F.silu(emb), width * (2 if self.shifts else 1))[:, :, None, None]
        if self.shifts:
            scale, shift = effect.chunk(2, 1)
            left = self.norm(f"{key}.out_layers.0", left) * (1 + scale) + shift
        else:
            left = self.norm(f"{key}.out_layers.0", left + effect)
        left = self.conv(f"{key}.out_layers.3", F.silu(left), width)
        return resize(h if h.shape[1] == width else self.conv(f"{key}.skip_connection", h, width, 1)) + left

    def attend(self, key, h):
        c = h.shape[1]
        flat = self.norm(f"{key}.norm", h.flatten(2))
        qkv = F.conv1d(flat, *self.of(f"{key}.qkv", 3 * c, c, 1))
        heads = []
        for part in qkv.chunk(self.heads, 1):  # of each head its queries, keys and values
            q, k, v = part.chunk(3, 1)
            weights = (torch.einsum("bct,bcs->bts", q, k) / (c // self.heads) ** 0.5).softmax(2)
            heads.append(torch.einsum("bts,bcs->bct", weights, v))
        return h + F.conv1d(torch.cat(heads, 1), *self.of(f"{key}.proj_out", c, c, 1)).reshape(h.shape)

    def block(self, key, h, emb, level):
        h = self.residual(f"{key}.0", h, emb, self.widths[level])
        return self.attend(f"{key}.1", h) if level in self.attention else h

    def halve(self, key, h, emb, width):
        if self.by_block:
            return self.residual(f"{key}.0", h, emb, width, lambda h: F.avg_pool2d(h, 2))
        return self.conv(f"{key}.0.op", h, width, stride=2)

    def double(self, key, h, emb, width):
        if self.by_block:
            return self.residual(key, h, emb, width, lambda h: F.interpolate(h, scale_factor=2))
        return self.conv(f"{key}.conv", F.interpolate(h, scale_factor=2), width)

    def __call__(self, z, steps):
        first = self.widths[0]
        angles = steps[:, None].float() * torch.exp(-math.log(10_000) * torch.arange(first // 2) / (first // 2))
        emb = self.linear("time_embed.0", torch.cat([angles.cos(), angles.sin()], 1), 4 * first)
        emb = self.linear("time_embed.2", F.silu(emb), 4 * first)
        maps = [self.conv("input_blocks.0.0", z, first)]
        for level, width in enumerate(self.widths):
            for _ in range(self.layers):
                maps.append(self.block(f"input_blocks.{len(maps)}", maps[-1], emb, level))
            if level < len(self.widths) - 1:
                maps.append(self.halve(f"input_blocks.{len(maps)}", maps[-1], emb, width))
        h = self.residual("middle_block.0", maps[-1], emb, self.widths[-1])
        h = self.residual("middle_block.2", self.attend("middle_block.1", h), emb, self.widths[-1])
        ways = [(level, layer) for level in reversed(range(len(self.widths))) for layer in range(self.layers + 1)]
        for n, (level, layer) in enumerate(ways):
            h = self.block(f"output_blocks.{n}", torch.cat([h, maps.pop()], 1), emb, level)
            if level and layer == self.layers:
                place = f"output_blocks.{n}.{2 if level in self.attention else 1}"
                h = self.double(place, h, emb, self.widths[level])
        return self.conv("out.2", F.silu(self.norm("out.0", h)), self.says)


NETS = {
    "as celeba": {},
    "two layers, three levels": {"layers": 2, "widths": (32, 64, 64), "attention": (1, 2)},
    "attention nowhere but in the middle": {"attention": ()},
    "by convolutions": {"by_block": False, "layers": 2},
    "by convolutions, without scales": {"by_block": False, "shifts": False, "attention": (0,)},
    "one level": {"widths": (32,), "attention": (0,), "layers": 2},
    "without variance": {"says": 1},
}
SMALL = Trained(shape=(1, 16, 8), levels=50, heads=4)


@pytest.mark.shapes
@pytest.mark.parametrize("kind", NETS)
def test_a_checkpoint_says_what_its_layout_says(kind, tmp_path):
    layout = Layout(**NETS[kind])
    file = tmp_path / "net.pt"
    torch.save(layout.state, file)
    denoiser = load_guided(file, SMALL)
    z, steps = noisy(2, 1, 16, 8), torch.tensor([3, 41])
    torch.testing.assert_close(denoiser.net(z, steps), layout(z, steps), atol=1e-4, rtol=1e-4)
    assert denoiser.variance == ("posterior" if kind == "without variance" else "learned")
    torch.testing.assert_close(denoiser.schedule.alpha_bar, linear(50).double())


def test_heads_may_be_told_by_their_width(tmp_path):
    layout = Layout(heads=4, widths=(64, 64))
    save_file(layout.state, tmp_path / "net.safetensors")
    denoiser = load_guided(tmp_path / "net.safetensors", Trained(shape=(1, 16, 8), head_channels=16))
    z, steps = noisy(2, 1, 16, 8), torch.tensor([3, 41])
    torch.testing.assert_close(denoiser.net(z, steps), layout(z, steps), atol=1e-4, rtol=1e-4)


def test_checkpoints_are_found_by_what_they_were_trained_on(tmp_path, monkeypatch):
    monkeypatch.setitem(guided.PUBLISHED, "celeba", SMALL)
    torch.save({key: t.half() for key, t in Layout().state.items()}, tmp_path / "net.pt")
    denoiser = load_denoiser(f"guided:celeba={tmp_path / 'net.pt'}")
    assert (denoiser.name, denoiser.shape, len(denoiser.schedule)) == ("net", (1, 16, 8), 50)
    z = noisy(1, 1, 16, 8)
    assert denoiser.step(z, denoiser.schedule, 3)[1].shape == z.shape
    assert refused(f"guided:celebb={tmp_path / 'net.pt'}") == "CFG-UNKNOWN"
    assert refused("guided:celeba") == "CFG-UNKNOWN"
    assert refused("guided:celeba=nothing.pt") == "MODEL-NOT-FOUND"
    assert refused(f"guided:bdd={tmp_path / 'net.pt'}") == "GEN-SIZE"


def test_files_that_are_no_such_checkpoint_are_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(guided.PUBLISHED, "celeba", SMALL)
    file = tmp_path / "net.pt"
    whole = Layout().state
    for key in ("input_blocks.0.0.weight", "middle_block.1.qkv.weight", "out.2.weight", "time_embed.0.bias"):
        torch.save({name: t for name, t in whole.items() if name != key}, file)
        assert refused(f"guided:celeba={file}") in {"MODEL-FILE-DAMAGED", "MODEL-WEIGHTS"}, key
    for more in ({"label_emb.weight": torch.ones(3)}, {"out.2.bias": torch.full((2,), torch.nan)}):
        torch.save(whole | more, file)
        assert refused(f"guided:celeba={file}") == "MODEL-FILE-DAMAGED"
    torch.save({"weight": torch.ones(3)}, file)
    assert refused(f"guided:celeba={file}") == "MODEL-FILE-DAMAGED"
    file.write_bytes(pickle.dumps({"weight": print}))
    assert refused(f"guided:celeba={file}") == "MODEL-CODE"


def test_names_are_told_apart(tmp_path):
    assert is_denoiser("guided:celeba=net.pt")
    assert is_denoiser("diffusers:somebody/something")
    assert is_denoiser(str(tmp_path))
    assert not is_denoiser("digits-ddpm")
    assert not is_denoiser("net.safetensors")


# ---------------------------------------------------------------- in a run


def test_methods_of_diffusion_are_given_one(folder):
    (want,) = requirements(expand({"name": "ace"}))
    assert (want.kind, want.bundled[0]) == (Denoiser, "ddpm")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 2))
    classifier = Classifier(torch.nn.Identity(), net, classes="ab", shape=(1, 8, 16))
    taken = resolve_generator(str(folder), classifier, want)
    assert taken.fingerprint() == load_denoiser(str(folder)).fingerprint()
    assert all(note.startswith("GEN-") for note in taken.preflight(classifier, torch.rand(2, 1, 8, 16)))
    for spec, other, code in (
        (None, want, "GEN-MISSING"),
        (str(folder), Requirement("generator", Autoencoder, ("vae",)), "MODEL-KIND"),
    ):
        with pytest.raises(RatherError, match="rather train") as caught:
            resolve_generator(spec, classifier, other)
        assert caught.value.code == code
