"""The command line: words to values, and results to words. The work is elsewhere."""

from __future__ import annotations

import json as jsonlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from rather import __version__
from rather.commands.words import from_file, settings_of
from rather.config.errors import INTERRUPTED, SOME_FAILED, USAGE, RatherError, Stopped
from rather.runs.request import HOW, RUN, WHAT, Request

#: A setting of the method, as one writes it on the command line.
Settings = Annotated[list[str] | None, Parameter(name="--set", group=HOW)]
_NOTHING_ASKED: Final = Request()

app = App(
    name="rather",
    version=f"rather {__version__}",
    help="Why this class rather than that one? Counterfactual pictures for image classifiers.",
    help_format="plaintext",  # Markdown would load a parser, for a third of the time
    version_format="plaintext",
    suppress_keyboard_interrupt=False,  # an interrupted run has something to say
    default_parameter=Parameter(negative=()),
)
app.command(
    "rather.commands.train:train",
    name="train",
    help="Train a classifier, or a generator that methods need, on your own pictures.",
)
app.command(
    "rather.commands.audit:audit",
    name="audit",
    help="Find what a classifier relies on over many images, and warn of what it should not.",
)
app.command(
    "rather.commands.bench:bench", name="bench", help="Compare methods on the same images, with intervals and tests."
)


START = """\
rather explains image classifiers by counterfactual pictures: for an image that
a classifier calls c, the smallest believable change after which it says c'.

Try it (a few seconds; nothing is downloaded):
  rather explain                            12 bundled digits, and a report
Your own pictures and classifier:
  rather explain photos/ --classifier torchvision:resnet50 --target runner-up
  rather explain photos/ --classifier net.py:make     a function that makes it
Find out more:
  rather list methods                       how to search: purpose, needs, cost
  rather describe goyal                     one method, and its settings
  rather train classifier --help            nets of your own pictures
  rather --help                             all commands
"""


EXAMPLES = """\
Examples:
  rather explain
  rather explain photos/ --classifier torchvision:resnet50 --target runner-up
  rather explain photos/ --classifier net.py:make --shape 3 64 64 --method goyal
  rather explain --data faces --method ace-faces-fast,maskdime-faces --count 8
"""


@app.command(help_epilogue=EXAMPLES)
def explain(
    *images: Annotated[Path, Parameter(group=WHAT)],
    request: Annotated[Request, Parameter(name="*")] = _NOTHING_ASKED,
    set_: Settings = None,
    config: Annotated[Path | None, Parameter(group=RUN)] = None,
    json: Annotated[bool, Parameter(group=RUN)] = False,
) -> int:
    """Explain a classifier's decisions: for each image, the change after which it predicts another class.

    Without arguments it explains 12 bundled digits. The same command again resumes an interrupted run.

    Args:
        images: Image files, or folders of them.
        request: What is asked.
        set_: A setting of the method, KEY=VALUE; may be repeated (`rather describe METHOD`). Of several
            methods, name the method: METHOD.KEY=VALUE, or 2.KEY=VALUE for the second, which wins.
        config: A TOML file of these options, with the method's settings in a table [set]; the command line wins.
        json: Print one JSON object and nothing else.
    """
    del config  # `main` has put the options of the file in its place
    from rather.commands.terminal import progress_bar, summary
    from rather.report import write_pages
    from rather.runs.explain import explain

    asked = replace(request, images=images, settings=settings_of(set_ or []))
    with progress_bar("explaining", shown=not json) as progress:
        explained = explain(asked, progress=progress)
    runs = explained.runs
    report = write_pages(explained.folder)
    for note in explained.notes:
        print(f"rather: note: {note}", file=sys.stderr)
    printed: dict[str, Any] = {
        "run": str(explained.folder),
        "report": str(report),
        "queries": sum(len(run.ids) for run in runs.values()),
        **explained.counts,
        "seconds": round(explained.seconds, 3),
        "agreement": {name: one.told() for name, one in explained.agreements.items()},
        "notes": list(explained.notes),
    }
    if len(runs) > 1:
        printed["methods"] = [
            {"method": label, "run": str(run.folder), "queries": len(run.ids), **run.counts()}
            for label, run in runs.items()
        ]
    if json:
        print(jsonlib.dumps(printed))
    else:
        summary(explained, report)
    return SOME_FAILED if explained.counts["failed"] else 0


@app.command(name="list")
def list_(
    what: Literal["methods", "data", "models", "generators", "metrics", "benches"] | None = None,
    /,
    *,
    json: bool = False,
) -> int:
    """List what there is to choose from: methods, data, models, generators, metrics or benches.

    Args:
        what: Which list; without it, the lists that there are.
        json: Print a JSON list of objects with a name and a text.
    """
    from rather.commands.listing import KINDS, listing, text

    named = listing(what) if what else {f"rather list {kind}": line for kind, line in KINDS.items()}
    if json:
        print(jsonlib.dumps([{"name": name, "text": line} for name, line in named.items()]))
    else:
        print(text(what) if what else "\n".join(f"{name:24}{line}" for name, line in named.items()))
    return 0


@app.command
def describe(name: str, /, *, json: bool = False) -> int:
    """Describe a method, a preset or a kind of generator, with its settings.

    Args:
        name: A method or preset (`rather list methods`), a kind of generator (vae, ...), or latent-classifier.
        json: Print one JSON object with the settings.
    """
    from rather.commands.terminal import description

    description(name, json=json)
    return 0


@app.command
def report(run: Path, /, *, out: Path | None = None, single_file: bool | None = None) -> int:
    """Write the page of a run, or of a comparison, again.

    Args:
        run: The run's folder, or the comparison's.
        out: The folder of the page; by default the run's own.
        single_file: Write one file with the pictures inside; by default for up to 50 images.
    """
    from rather.report import write_pages

    print(write_pages(run, out, single_file=single_file))
    return 0


@app.command
def export(run: Path, /, *, png: Path | None = None, parquet: Path | None = None) -> int:
    """Write the results of a run as PNG files and a table, or as one Parquet file.

    Args:
        run: The run's folder.
        png: A folder that gets each counterfactual under its image's own path, and a table, index.csv.
        parquet: A file that gets all rows; pandas, DuckDB and Hugging Face's `datasets` read it.
    """
    from rather.runs.export import export_parquet, export_png
    from rather.runs.store import Run

    if not (png or parquet):
        raise RatherError("CFG-OPTIONS", where="export", why="neither --png nor --parquet", do="Give one")
    opened = Run.open(run)
    if png:
        print(f"{export_png(opened, png)} pictures in {png}")
    if parquet:
        print(f"{export_parquet(opened, parquet)} rows in {parquet}")
    return 0


@app.command
def tune(run: Path, /, *, success: Annotated[float, Parameter(validator=Number(gte=0, lt=1))] = 0.995) -> int:
    """Choose a setting's value: the largest at which nearly all images reach their target.

    Args:
        run: A run of the method sweep, which tries several values on the same images: rather explain --method
            sweep --set method=steex --set "values=[0.1,0.3,1.0]".
        success: The share of the images that must reach their target, at the least.
    """
    from rather.commands.terminal import trials_table
    from rather.commands.tune import largest, trials
    from rather.runs.store import Run

    tried = trials(Run.open(run))
    trials_table(tried, largest(tried, success), success)
    return 0


@app.command
def tune_filter(
    *,
    generator: str | None = None,
    data: str = "digits",
    classifier: str | None = None,
    num_inference_steps: Annotated[int, Parameter(validator=Number(gte=2, lte=10_000))] = 50,
    share: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.95,
    count: Annotated[int, Parameter(validator=Number(gte=1))] = 100,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
) -> int:
    """Choose the depth of a diffusion filter: the largest at which nearly all images keep their class.

    Args:
        generator: A diffusion model: a bundled one, a file that `rather train ddpm` wrote, or as for `rather explain`.
        data: A dataset (`rather list data`) or a folder.
        classifier: The classifier that predicts the classes; by default the bundled one for the data.
        num_inference_steps: Timesteps of the shortened schedule.
        share: The share of the images that must keep their class.
        count: How many images to filter, evenly spaced.
        seed: Seed of the noise.
    """
    from rather.commands.terminal import depths_table
    from rather.commands.tune import filter_heights, highest

    tried = filter_heights(
        data, generator, classifier, num_inference_steps=num_inference_steps, share=share, count=count, seed=seed
    )
    depths_table(tried, highest(tried, share), share=share, num_inference_steps=num_inference_steps)
    return 0


def _stop(signum: int, frame: object) -> None:
    del frame
    raise Stopped(128 + signum)


def main(words: Sequence[str] | None = None) -> None:
    """The program `rather`; its exit codes stand in config/errors.py."""
    signal.signal(signal.SIGTERM, _stop)
    given = list(sys.argv[1:] if words is None else words)
    if not given:
        print(START, end="")
        sys.exit(0)
    if given[0] == "help":
        given = [*given[1:], "--help"]
    try:
        code = app(from_file(given), exit_on_error=False, print_error=False)
        sys.exit(code if isinstance(code, int) else 0)
    except RatherError as error:
        print(f"rather: error {error.code}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except CycloptsError as error:
        print(f"rather: error CFG-OPTIONS: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        print("rather: interrupted; the same command resumes from what is saved", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `rather list methods | head`
        sys.stderr.close()
        sys.exit(0)
