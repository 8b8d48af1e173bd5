"""What a person sees in the terminal: a progress bar, the table at the end, a method's description."""

from __future__ import annotations

import json as jsonlib
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from inspect import cleandoc
from itertools import islice
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rather.config.errors import RatherError, did_you_mean
from rather.config.settings import bounds, kind_of
from rather.core import GradientUse, Method
from rather.hub.generators import generator_class, list_generators
from rather.hub.methods import list_methods, method_class
from rather.hub.presets import Plan, expand, list_presets, preset
from rather.hub.resources import NAMES, bundled_nets, requirements
from rather.runs.regions import RegionEffect, region_effects

if TYPE_CHECKING:
    from rather.commands.tune import Trial
    from rather.runs.explain import Explained
    from rather.runs.store import Row, Run

REGION_COLUMNS = (
    "enough: a change in the region alone reaches the target; needed: no change around "
    "the region was found that reaches it. Images: those that show the region."
)
#: What a method asks of a classifier.
GRADIENT: Final[Mapping[GradientUse, str]] = {
    "needed": "needed",
    "optional": "used where it has them; else it is asked up to `queries` questions an image",
    "none": "not needed",
}
ROWS = 20  # in the table; the report has all
FAULTS = 5  # of failed rows below it


@contextmanager
def progress_bar(what: str, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, if that is a terminal; it yields a function of (done, asked).

    What a net prints meanwhile goes to standard error, too: standard output is for results alone.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, disable=not (shown and console.is_terminal))
    with redirect_stdout(sys.stderr), bar:
        task = bar.add_task(what, total=None)
        yield lambda done, asked: bar.update(task, completed=done, total=asked)


def summary(explained: Explained, report: Path) -> None:
    """The first rows as a table, or of several methods a line each; the counts, and where to look."""
    console = Console()
    runs = explained.runs
    effects = region_effects(runs)
    if effects:
        console.print(_effects(effects))
    else:
        console.print(_rows(*runs.values()) if len(runs) == 1 else _methods(runs))
    for line in islice(_failures(runs.values()), FAULTS):
        console.print(Text(line))
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in explained.counts.items() if n)
    asked = sum(len(run.ids) for run in runs.values())
    console.print(Text(f"\n{counts} of {asked} in {explained.seconds:.1f} s"))
    for name, agreement in explained.agreements.items():
        console.print(Text(f"{name} {agreement}"))
    console.print(Text(f"report: {report}"), soft_wrap=True)


def _rows(run: Run) -> Table:
    asked = run.config.get("outputs") or {}
    kind = asked.get("kind", "classes")
    last = {"classes": ["probability"], "labels": ["probability", "changed too"], "values": []}[kind]
    heads = ("image", "before", "after", "target", *last, "status", "steps")
    table = Table(*heads, box=None, pad_edge=False)
    classes = run.config["classes"]
    for row in islice(run.rows(), ROWS):
        before, after, probability = row.predicted or "", "", ""
        if row.after:
            after = classes[row.after.index(max(row.after))]
            probability = f"{row.after[classes.index(row.target)]:.0%}" if row.target else ""
        if kind == "values":
            before, after = [*(f"{each:.4g}" for each in row.info.get(kind, {}).get(asked["asked"], ())), "", ""][:2]
        if kind == "labels":  # the target says of which
            before, after = (word.removeprefix(f"{asked['asked']}=") for word in (before, after))
        cells = {"probability": probability, "changed too": ", ".join(_changed_too(row, asked))}
        status = row.status.replace("_", " ") + (f" ({row.code})" if row.code else "")
        steps = str(row.steps) if row.image else ""
        told = (row.place, before, after, row.target or "", *(cells[head] for head in last), status, steps)
        table.add_row(*map(Text, told))
    if len(run.ids) > ROWS:
        table.add_row(Text("..."))
    return table


def _changed_too(row: Row, asked: Mapping[str, Any]) -> list[str]:
    """The labels that changed besides the one that was asked for."""
    ends = ((name, pair) for name, pair in row.info.get("labels", {}).items() if name != asked.get("asked"))
    return [name for name, pair in ends if len({p > 0.5 for p in pair}) > 1]  # noqa: PLR2004 - yes or no


def _failures(runs: Iterable[Run]) -> Iterator[str]:
    """Why rows failed, each with the place of its image."""
    for row in (row for run in runs for row in run.rows() if row.status == "failed"):
        yield f"failed: {'' if row.where in row.message else f'{row.where}: '}{row.message}"


def _effects(effects: Sequence[RegionEffect]) -> Group:
    """Where a change is enough, and where it is needed, the regions that matter most first."""
    table = Table("region", "images", "enough", "needed", box=None, pad_edge=False)
    for one in effects:
        shares = (f"{part} ({part / one.images:.0%})" if one.images else "" for part in (one.enough, one.needed))
        table.add_row(Text(one.name), str(one.images), *shares)
    return Group(table, Text(f"\n{REGION_COLUMNS}"))


def _methods(runs: Mapping[str, Run]) -> Table:
    counted = {label: run.counts() for label, run in runs.items()}
    statuses = [name for name in next(iter(counted.values())) if any(c[name] for c in counted.values())]
    names = [name.replace("_", " ") for name in statuses]
    table = Table("method", "classifier", *names, box=None, pad_edge=False)
    for label, run in runs.items():
        numbers = [str(counted[label][name]) for name in statuses]
        table.add_row(Text(label), Text(run.config["classifier"]["name"]), *numbers)
    return table


def trials_table(tried: Sequence[Trial], chosen: Trial | None, success: float) -> None:
    """What each value of a setting did, and which one is chosen."""
    goal = f"more than {success:.1%} of the images reach their target"
    _trials(tried, chosen, "value", "found")
    if chosen:
        print(f"\n{chosen.value:g} is the largest value at which {goal}")
    else:
        print(f"\nAt no value {goal}: try smaller ones")


def depths_table(tried: Sequence[Trial], chosen: Trial | None, *, share: float, num_inference_steps: int) -> None:
    """What each depth of a filter did, and which one is chosen."""
    goal = f"at least {share:.1%} of the images keep their class when they are only filtered"
    _trials(tried, chosen, "tau", "keep their class")
    if not chosen:
        print(f"\nNot even at tau 1 {goal}: train the generator longer, or take more timesteps")
        return
    print(f"\n{chosen.value:g} is the largest tau up to which {goal}")
    print(f"Next: --method ace --set tau={chosen.value:g} --set num_inference_steps={num_inference_steps}")
    print("Or search for each image's own distance_weight: --method minimal --set method=ace")


def _trials(tried: Sequence[Trial], chosen: Trial | None, value: str, passed: str) -> None:
    changes = not any(isnan(trial.change) for trial in tried)
    heads = [value, passed, "95 % interval", *(["mean change"] if changes else []), ""]
    table = Table(*heads, box=None, pad_edge=False)
    for trial in tried:
        low, high = trial.interval
        cells = [f"{trial.value:g}", f"{trial.passed} of {trial.rows}", f"{low:.1%} to {high:.1%}"]
        cells += [f"{trial.change:.4f}"] if changes else []
        table.add_row(*cells, "chosen" if trial == chosen else "")
    Console().print(table)


def description(name: str, *, json: bool) -> None:
    """What a method or a trainable net is, and its settings; of a preset, what it stands for."""
    found, line, plan = _described(name)
    bundled = {want.name: nets for want in requirements(plan) if (nets := bundled_nets(want.bundled))} if plan else {}
    gradient = found.gradient if issubclass(found, Method) else None
    settings = [
        {
            "name": key,
            "default": plan.get(key, None if field.is_required() else field.default),
            "required": field.is_required() and key not in plan,
            "values": f"--{key}"  # not a setting
            if key in NAMES and plan
            else " ".join([kind_of(field.annotation), *bounds(field.metadata)]),
            "text": field.description or "",
        }
        for key, field in found.model_fields.items()
    ]
    if json:
        told = {"name": name, "text": line, "gradient": gradient, "plan": plan, "settings": settings}
        print(jsonlib.dumps(told | {"bundled": bundled}))
        return
    console = Console()
    summary, _, _ = cleandoc(found.__doc__ or "").partition("\n\nArgs:\n")  # the settings follow below
    console.print(Text(f"{name}: {line}\n\n{summary}"))
    if gradient is not None:
        console.print(Text(f"\nGradients of the classifier: {GRADIENT[gradient]}."))
    if preset(name):
        console.print(Text(f"\nA preset; it stands for: {' '.join(_words(plan))}"), soft_wrap=True)
    if bundled:
        taken = "; ".join(f"--{key} {' or '.join(nets)}" for key, nets in bundled.items())
        console.print(Text(f"\nBy default, of the bundled data: {taken}"), soft_wrap=True)
    options = [one for one in settings if str(one["values"]).startswith("--")]
    if options:
        console.print(Text("\nNeeds, each an option of rather explain:"))
    for one in options:
        console.print(
            _entry(f"{one['values']}{'' if one['required'] else ' (optional)'}", str(one["text"]), console.width)
        )
    console.print(
        Text(
            "\nSettings, each as --set NAME=VALUE:" if plan else "\nSettings, each as --set NAME=VALUE of rather train:"
        )
    )
    for one in settings:
        if one not in options:
            default = "required" if one["required"] else f"default {_shown(one['default'])}"
            console.print(_entry(f"{one['name']}  [{default}; {one['values']}]", str(one["text"]), console.width))


def _entry(head: str, meaning: str, width: int) -> Text:
    """A setting: a line with its name and values, and what it means, indented, below."""
    below = textwrap.fill(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return Text.assemble("  ", (head, "bold"), "\n", below)


def _shown(value: object) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _described(name: str) -> tuple[type[BaseModel], str, Plan]:
    """The model of the settings, a line on what it is, and what is set already."""
    if name in list_generators():
        return generator_class(name), list_generators()[name], {}
    if name == "latent-classifier":
        from rather.train import LatentRecipe

        return LatentRecipe, "classifiers of a generator's latents, an ensemble, for clarity", {}
    methods = list_methods() | list_presets()
    if name not in methods:
        choices = [*methods, *list_generators(), "latent-classifier"]
        raise RatherError("CFG-UNKNOWN", where=name, do=did_you_mean(name, choices))
    plan = expand({"name": name})
    return method_class(plan["name"]), methods[name], plan


def _words(plan: Plan, above: str = "") -> Iterator[str]:
    """A plan as the command line has it."""
    yield f"--set {above.rstrip('.')}={plan['name']}" if above else f"--method {plan['name']}"
    for key, value in plan.items():
        if isinstance(value, dict):
            yield from _words(value, f"{above}{key}.")
        elif key != "name":
            yield f"--set {above}{key}={value}"
