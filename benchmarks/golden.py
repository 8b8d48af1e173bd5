"""Record what every method and command gives, and compare two records: a rebuild must change no result.

    python benchmarks/golden.py record TREE OUT [--only PATTERN] [--jobs N]
    python benchmarks/golden.py compare OLD NEW [--only PATTERN]

`record` runs the commands of a checkout, TREE/src, one process each; what OUT has already is not run again.
`compare` prints every pixel, number and word that differs, apart from costs, paths and sentences, and exits
with 1 if there is any. Both records must come from the same machine: other processors round otherwise.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

#: Old -> new, of flags, settings, methods, metrics, facts, ...; this file has the old names throughout.
RENAMED: dict[str, str] = {
    "absent": "skipped_parts",
    "measure": "metric",
    "survives_filter": "robustness_filter",
    "survives_jpeg": "robustness_jpeg",
    "telling": "sce",
    "--oracle": "--second-classifier",
    "--respacing": "--num-inference-steps",
    "closeness": "distance_weight",
    "facts": "info",
    "heals": "repairs",
    "judge": "second_classifier",
    "pictures": "artifacts",
    "screen": "prescreen",
    "skipped": "already",
    "spread": "init_noise_std",
}
#: What a method or preset needs to run; all others explain 8 bundled digits.
METHODS = {
    "attributes": "--data faces/age --classifier faces-age-glasses --set frozen=age",
    "exaggeration": "--data faces",
    "steex": "--data faces",
    "minimal": "--set method=wachter",
    "refined": "--set method=wachter",
    "several": "--set method=goyal",
    "sweep": "--set method=wachter",
    "gci-prototype": "--target prototype",
    "dime-celeba": "--count 4",  # half a minute a row
    "dime-bdd": "--count 4",  # the same
    "ace-faces": "--data faces",
    "ace-faces-fast": "--data faces",
    "dime-faces": "--data faces",
    "fastdime-faces": "--data faces",
    "maskdime-faces": "--data faces/age",
}
#: Settings that nothing above reaches, with one seed.
VARIANTS = {
    "default": "",
    "goyal-shapes": "--method goyal --data shapes --set distractor=nearest --target random",
    "goyal-relaxed": "--method goyal --set solver=relaxed --set steps=20 --set distractor=nearest-pixels",
    "goyal-screen": "--method goyal --set screen=bf16 --set reuse=true",
    "minimum_edit-shapes": "--method minimum_edit --data shapes --set nodes=2000",
    "wachter-faces": "--method wachter --data faces --target random --confidence 0.9",
    "wachter-next": "--method wachter --target next --classifier digits-ensemble",
    "attack-confused": "--method attack --target confused --set closeness=0.01",
    "schut-ensemble": "--method schut --classifier digits-ensemble --target runner-up",
    "nearest-features": "--method nearest --set space=features --data shapes",
    "revise-faces": "--method revise --data faces/age --set steps=50",
    "clarity-itself": "--method clarity@digits-latent --confidence 0.8",
    "clarity-plane": "--method clarity --latent digits-latent-2d",
    "dive-random": "--method dive --set mask=random --oracle digits-ensemble",
    "dive-chunk": "--method dive --set mask=fisher-chunk --set count=4",
    "dive-spectral": "--method dive --set mask=fisher-spectral --set count=4",
    "ace-cw": "--method ace-digits-fast --set attack=cw --set distance=l2 --set closeness=0.1",
    "ace-gd": "--method ace-digits-fast --set attack=gd --set noise=fixed --set checkpoint=always",
    "fastdime-twice": "--method fastdime --set variant=twice",
    "fastdime-masked": "--method fastdime --set variant=twice-masked",
    "minimal-attack": "--method minimal --set method=attack --set steps=3 --target 3",
    "refined-schut": "--method refined --set method=schut",
    "several-spread": "--method several --set method=wachter --set spread=0.1 --set count=3",
    "steex-regions": "--method steex --data faces --set regions=mouth,lips,skin --set steps=30",
    "introspection-prototype": "--method introspection --target prototype",
    "comparison": "--method wachter,revise,clarity@digits-latent --set revise.steps=50 --target 3",
}
_TRAIN = "train {} --data {} --set steps=4 --set batch_size=8 --out {{out}}/net.safetensors --json"
_KINDS = {
    "digits": ("classwise", "ddpm", "gan --set refine=2", "simsiam", "tcvae", "vae"),
    "faces": ("editor", "exaggerator", "oracle", "paired", "semantic"),
}
_ATTACK = "explain --method attack --count 8"
#: Everything else, as commands one after the other.
TOOLS = {
    "bench-tiny": ["bench tiny --runs {out}/runs --out {out}/bench --json"],
    "bench-golden": ["bench {out}/spec.toml --runs {out}/runs --out {out}/bench --json"],
    "audit-digits": ["audit --count 20 --out {out}/run --json"],
    "audit-glasses": [
        "audit --data faces/age --classifier faces-age-glasses --count 20 --out {out}/run --json",
        "audit {out}/run --expect age --fail-on-warning --json",
    ],
    "audit-prototypes": [
        f"{_ATTACK} --data faces --target prototype --out {{out}}/typical --json",
        f"{_ATTACK} --data faces --out {{out}}/run --json",
        "audit {out}/run --prototypes {out}/typical --json",
    ],
    "tune": [
        "explain --method sweep --set method=wachter --set setting=lr --set values=[0.001,0.1]"  # noqa: ISC004
        " --count 8 --out {out}/run --json",
        "tune {out}/run --success 0.5",
    ],
    "tune-filter": ["tune-filter --count 20 --respacing 25 --seed 1"],
    "own-pictures": [
        f"{_ATTACK} --out {{out}}/run --json",
        "explain {out}/png-1 --method nearest --classifier digits --out {out}/again --json",
    ],
    "refused": ["explain --method steex --out {out}/run --json"],
    "train-classifier": ["train classifier --data shapes --epochs 1 --members 2 --out {out}/net.safetensors --json"],
    "train-latent": [
        "train latent-classifier --set epochs=1 --set members=2 --out {out}/net.safetensors --json",
        "explain --method clarity --latent {out}/net.safetensors --count 4 --out {out}/run --json",
    ],
} | {f"train-{kind.split()[0]}": [_TRAIN.format(kind, data)] for data, kinds in _KINDS.items() for kind in kinds}
SPEC = """
name = "golden"
count = 8
seeds = [0, 1]
target = "next"
methods = [
    "nearest", "goyal", { method = "attack", settings = { steps = 10 } },
    { method = "several", settings = { method = "wachter", count = 2, spread = 0.1 } },
]
[[data]]
data = "digits"
judge = "digits-ensemble"
encoder = "digits-simsiam"
autoencoders = "digits-classwise"
filter = "digits-ddpm"
[[data]]
data = "faces"
encoder = "faces-simsiam"
filter = "faces-ddpm"
oracle = "faces-oracle"
attribute = "smile"
[[data]]
data = "shapes"
"""
#: Costs, places and sentences may differ.
IGNORED = {"seconds", "memory", "run", "report", "file", "bench", "page", "where", "path"} | {
    *("message", "why", "rule", "evidence", "notes", "what")
}
_SLOW = ("ace", "dime", "fastdime-", "gci", "maskdime-", "steex")  # come last


def new_names(text: str) -> str:
    return re.sub(r"[\w-]+", lambda word: RENAMED.get(word[0], word[0]), text)


def cases(methods: list[str]) -> dict[str, list[str]]:
    """The commands of each case, everything once before the second seed."""
    asked = {name: f"--method {name} {METHODS.get(name, '')}" for name in methods}
    found = {}
    for seed, some in ((0, asked | VARIANTS), (1, asked)):
        for name, options in some.items():
            words = options if "--count" in options else f"{options} --count 8"
            found[f"{name}-seed{seed}"] = [f"explain --seed {seed} --out {{out}}/run --json {words}"]
        found |= TOOLS
    return dict(sorted(found.items(), key=lambda case: case[0].startswith(_SLOW)))


def rather(tree: Path, out: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    fixed = {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    fixed["XDG_CACHE_HOME"] = str(out / "cache")  # so that no tree reads what another one has drawn
    command = [sys.executable, "-m", "rather", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | fixed)


def outcome(tree: Path, case: Path, command: str) -> dict[str, Any]:
    """Exit code, the error's code, and what is said: the JSON, or else the numbers of the text."""
    for spoken in (new_names, str) if RENAMED else (str,):  # the old names where the new ones are unknown
        (case / "spec.toml").write_text(spoken(SPEC))
        done = rather(tree, case.parent, [word.format(out=case) for word in shlex.split(spoken(command))])
        if done.returncode != 2:
            break
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = re.findall(r"-?\d[\d,.]*(?:e-?\d+)?", done.stdout.replace(str(case), ""))
    error = re.search(r"rather: error ([A-Z-]+)", done.stderr)
    message = done.stderr[-2000:] if done.returncode else ""
    return {"exit": done.returncode, "code": error and error[1], "said": said, "message": message}


def record_case(tree: Path, case: Path, commands: list[str]) -> None:
    began, told, runs = time.monotonic(), [], 0
    case.mkdir(parents=True, exist_ok=True)
    for command in commands:
        told.append(outcome(tree, case, command))
        said = told[-1]["said"]
        if command.startswith("explain") and isinstance(said, dict):
            for one in said.get("methods", [said]):
                runs += 1
                forms = f"--png {{out}}/png-{runs} --parquet {{out}}/rows-{runs}.parquet"
                export = outcome(tree, case, f"export {shlex.quote(one['run'])} {forms}")
                told.append(export | {"said": None})  # its files say it
    seconds = round(time.monotonic() - began, 1)
    (case / "result.json").write_text(json.dumps({"commands": told, "seconds": seconds}, indent=1))
    ends = [one["code"] or one["exit"] for one in told]
    print(f"{time.strftime('%H:%M:%S')} {case.name}: {seconds} s, {ends}", flush=True)


def record(tree: Path, out: Path, only: str, jobs: int) -> int:
    """Run what is not there yet; the number of cases that could not be recorded."""
    out.mkdir(parents=True, exist_ok=True)
    old = {name: before for before, name in RENAMED.items()}
    listed = json.loads(rather(tree, out, ["list", "methods", "--json"]).stdout)
    methods = [old.get(one["name"], one["name"]) for one in listed]
    assert set(METHODS) <= set(methods), f"not in this tree: {set(METHODS) - set(methods)}"
    asked = {name: commands for name, commands in cases(methods).items() if fnmatch(name, only)}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {
            name: pool.submit(record_case, tree, out / name, commands)
            for name, commands in asked.items()
            if not (out / name / "result.json").exists()
        }
    lost = {name: error for name, future in futures.items() if (error := future.exception())}
    print(f"{len(asked) - len(lost)} of {len(asked)} cases recorded; missing: {lost or 'none'}")
    return len(lost)


def flat(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Numbers, words and the pixels of pictures by their place in nested data, with the new names."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in IGNORED:
                yield from flat(f"{place}/{new_names(str(key))}", inner)
    elif isinstance(value, bytes):
        yield place, np.asarray(Image.open(io.BytesIO(value))).astype(int)
    else:
        yield place, new_names(value) if isinstance(value, str) else value


def recorded(case: Path) -> Iterator[tuple[str, Any]]:
    """Everything of a case that must not differ."""
    yield from flat("result", json.loads((case / "result.json").read_text()))
    for file in case.glob("*.parquet"):
        for row in pq.read_table(file).to_pylist():
            told = {RENAMED.get(name, name): value for name, value in row.items()}
            yield from flat(f"{file.name}/{row['id']}", told | {"info": json.loads(told["info"])})
    for file in [*case.glob("*.png"), *case.glob("png-*/*.png")]:
        yield from flat(str(file.relative_to(case)), file.read_bytes())
    for file in [*case.glob("png-*/index.csv"), *case.glob("bench/figures.csv")]:
        for row in csv.DictReader(file.open()):
            key = "/".join(
                row[name] for name in ("id", "task", "method", "measure", "metric", "variant") if name in row
            )
            if row.get("measure", row.get("metric")) not in IGNORED:
                yield from flat(f"{file.relative_to(case)}/{new_names(key)}", row)
    for file in case.glob("*.safetensors"):
        data = file.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        for name, told in json.loads(data[8:start]).items():
            if name != "__metadata__":
                low, high = (start + end for end in told.pop("data_offsets"))
                digest = hashlib.sha256(data[low:high]).hexdigest()
                yield from flat(f"{file.name}/{name}", told | {"sha256": digest})


def difference(a: Any, b: Any) -> str:
    """What to say of two values; nothing if they are the same."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return "" if repr(a) == repr(b) else f"{a!r} -> {b!r}"[:200]  # of floats all digits; NaN is NaN
    if a.shape != b.shape:
        return f"shape {a.shape} -> {b.shape}"
    far = np.abs(a - b)
    return f"{(far > 0).mean():.2%} of the values, by {far.max()} levels at most" if far.any() else ""


def compare(old: Path, new: Path, only: str) -> int:
    """Print what differs; the number of cases where something does."""
    found = {file.parent.name for root in (old, new) for file in root.glob("*/result.json")}
    names = sorted(name for name in found if fnmatch(name, only))
    different, values = [], 0
    for name in names:
        a, b = (dict(recorded(root / name)) if (root / name / "result.json").exists() else {} for root in (old, new))
        said = {place: difference(a.get(place), b.get(place)) for place in sorted(a.keys() | b.keys())}
        for place in filter(said.get, said) if a and b else ():
            print(f"{name}: {place}: {said[place]}")
        if not (a and b):
            print(f"{name}: only in {old if a else new}")
        different += [name] * any(said.values())
        values += len(said)
    print(f"{len(names)} cases, {values:,} values; different: {len(different)} {different or ''}")
    return len(different) or not names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", choices=["record", "compare"])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--only", default="*", help="names of cases, such as 'ace*'")
    parser.add_argument("--jobs", type=int, default=1)
    told = parser.parse_args()
    places = told.first.resolve(), told.second.resolve()
    wrong = compare(*places, told.only) if told.task == "compare" else record(*places, told.only, told.jobs)
    sys.exit(bool(wrong))
