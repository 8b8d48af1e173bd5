"""Do what the documentation says, as a reader would: `python docs/commands.py`, with the package installed.

Every command in the fences of README.md and docs/*.md is run, each in a folder of its own that holds what a
reader has: pictures, nets, runs. A page's Python is run as one script. A fence whose first line is
`# NAME.toml` or `# NAME.py` is a file that the reader has. There is no network: weights that a command would
download are in a file, drawn at random. A command that is still running when its time is over has passed if it has
written nothing but notes to standard error.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
RATHER = str(Path(sys.executable).with_name("rather"))

#: How commands begin that are not run here, and why.
LEFT_OUT = {
    "python3 -m venv": "an environment is what this runs in",
    ".venv/bin/pip install": "the package is installed",
    "./check": "it needs more than a reader has",
}
#: What cannot be had without a network or an extra, and the exit code that docs/errors.md gives for it.
REFUSED = {"diffusers:": 4, "timm:": 4, "hf:": 4}
#: The nets and runs that commands name, made small.
READER_HAS = """
rather train classifier --data photos --size 64 --epochs 2 --out mine.safetensors
rather train vae --data photos --size 64 --set steps=10 --out vae.safetensors
rather train latent-classifier --data photos --generator vae.safetensors --out latent.safetensors
rather explain photos --classifier mine.safetensors --method attack --out runs/my-run
rather explain photos --classifier mine.safetensors --method attack --out RUN
"""


@dataclass(frozen=True)
class Step:
    """A command, or the Python of a page."""

    page: str
    text: str
    words: tuple[str, ...]

    @property
    def left_out(self) -> str:
        """Why it is not run, or nothing."""
        line = shlex.join(self.words)
        return next((why for start, why in LEFT_OUT.items() if line.startswith(start)), "")

    @property
    def expected(self) -> int:
        """Its exit code."""
        return next((code for name, code in REFUSED.items() if name in self.text), 0)

    def argv(self) -> list[str]:
        """For the system.

        Raises:
            SystemExit: there is no rule for how to run this.
        """
        program, *rest = self.words
        if program in {"rather", ".venv/bin/rather"}:
            return [RATHER, *(re.sub(r"^(torchvision:(\w+))$", r"\1=\2.pth", word) for word in rest)]
        if program == sys.executable:
            return list(self.words)
        sys.exit(f"{self.page}: neither run nor named in LEFT_OUT of docs/commands.py: {self.text}")


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """The language of each fence, and what is in it."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def file_name(content: str) -> str:
    """The name of the file that a fence shows, or nothing."""
    named = re.match(r"# ([\w-]+\.(?:toml|py))\n", content)
    return named[1] if named else ""


def shell(page: str, content: str) -> Iterator[Step]:
    """The commands of a fence; one that goes over several lines is one, those around `&&` are two."""
    for line in content.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            yield Step(page, shlex.join(words[:end]), tuple(words[:end]))
            words = words[end + 1 :]


def steps(page: Path) -> Iterator[Step]:
    """All that a page says should be done."""
    name = page.relative_to(ROOT).as_posix()
    script = ""
    for language, content in fences(page):
        if language in {"sh", "bash", "console"}:
            yield from shell(name, content)
        elif language == "python" and not file_name(content):
            script += content
        elif re.search(r"^\W*rather ", content, re.MULTILINE):
            sys.exit(f"{name}: a fence with commands is not marked as sh: {content.splitlines()[0]}")
    if script:
        yield Step(name, "its Python", (sys.executable, "-c", script))


def environment(scratch: Path) -> dict[str, str]:
    """No path to the clone, no network, caches that are new."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",  # two commands run at a time
        "TORCH_HOME": str(scratch / "torch"),
        "XDG_CACHE_HOME": str(scratch / "cache"),
    }


def photos(folder: Path) -> None:
    """Small noisy pictures of two classes, one light above and one below."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    slope = np.linspace(40, 200, 64)[:, None, None]
    for kind, light in {"above": slope[::-1], "below": slope}.items():
        (folder / kind).mkdir(parents=True)
        for n in range(12):
            pixels = light + random.uniform(0, 50, (64, 64, 3))
            Image.fromarray(pixels.astype("uint8")).save(folder / kind / f"{n}.png")


def told_apart(net: nn.Module, images: Tensor) -> nn.Module:
    """A net with random weights that gives these images different classes, as a trained net does.

    As drawn, it gives every image the same. Its running statistics and its last bias are set on the images.
    """
    import torch

    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    (*_, last) = (part.bias for part in net.modules() if isinstance(getattr(part, "bias", None), torch.nn.Parameter))
    with torch.no_grad():
        net.train()(images)
        logits = net.eval()(images)
        last -= getattr(logits, "logits", logits).mean(0)
    return net


def weights(name: str, reader: Path) -> None:
    """Random ones of a net of torchvision, in a file of its name: what is published would be downloaded."""
    import torch
    from torchvision import models
    from torchvision.io import decode_image

    torch.manual_seed(0)
    recipe = models.get_model_weights(name).DEFAULT.transforms()
    images = torch.stack([recipe(decode_image(str(file))) for file in sorted((reader / "photos").rglob("*.png"))])
    torch.save(told_apart(models.get_model(name, weights=None), images).state_dict(), reader / f"{name}.pth")


def prepare(scratch: Path, todo: list[Step]) -> None:
    """What a reader has, in scratch/reader."""
    reader = scratch / "reader"
    photos(reader / "photos")
    for name in {name for step in todo for name in re.findall(r"torchvision:(\w+)", step.text)}:
        weights(name, reader)
    for page in PAGES:
        for _, content in fences(page):
            if name := file_name(content):
                (reader / name).write_text(content, "utf-8")
    for step in shell("docs/commands.py", READER_HAS):
        subprocess.run(step.argv(), cwd=reader, env=environment(scratch), check=True, stdout=subprocess.DEVNULL)


def done(step: Step, here: Path, limit: float, env: dict[str, str]) -> int | None:
    """The exit code of a step, or None where its time was over first."""
    with (
        (here / "stderr.txt").open("wb") as complaints,
        subprocess.Popen(
            step.argv(),
            cwd=here,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,  # so that what it starts ends with it
        ) as process,
    ):
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None


def run(step: Step, scratch: Path, limit: float) -> bool:
    """Run one, say in a line how it went, and whether it went well."""
    here = Path(tempfile.mkdtemp(dir=scratch))
    shutil.copytree(scratch / "reader", here, dirs_exist_ok=True)
    for option, value in pairwise(step.words):
        if option == "--out":  # it is this command that makes it
            shutil.rmtree(here / value) if (here / value).is_dir() else (here / value).unlink(missing_ok=True)
    start = time.monotonic()
    code = done(step, here, limit, environment(scratch))
    seconds = time.monotonic() - start
    lines = (here / "stderr.txt").read_text("utf-8", "replace").splitlines()
    shutil.rmtree(here)
    complaints = [line for line in lines if not line.startswith("rather: note: ")]
    good = not complaints if code is None else code == step.expected and (code == 0 or len(complaints) == 1)
    mark, how = "ok" if good else "FAILED", "still running" if code is None else f"exit code {code}"
    report = f"{mark}: {step.page}: {step.text}: {how} after {seconds:.0f} s"
    print(report, *lines[-20:], sep="\n    ", flush=True)
    return good


def main() -> int:
    """Run them all, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=60, help="seconds for each command")
    limit = parser.parse_args().limit
    every = [step for page in PAGES for step in steps(page)]
    todo = list({step.words: step for step in every if not step.left_out}.values())  # each once
    for step in every:
        if step.left_out:
            print(f"not run: {step.page}: {step.text}: {step.left_out}")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        prepare(Path(name), todo)
        good = list(pool.map(partial(run, scratch=Path(name), limit=limit), todo))
    print(f"{sum(good)} of {len(good)} commands do what the documentation says")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
