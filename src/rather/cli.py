"""The command line: words to values, and results to words. The work is elsewhere."""

from __future__ import annotations

import json as jsonlib
import signal
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from cyclopts.validators import Number

from rather import __version__
from rather.errors import INTERRUPTED, SOME_FAILED, USAGE, RatherError
from rather.generators import list_generators

if TYPE_CHECKING:
    from rather.train import Figures

app = App(
    name="rather",
    version=f"rather {__version__}",
    help="Why this class rather than that one? Counterfactual pictures for image classifiers.",
    help_format="plaintext",  # Markdown would load a parser, for a third of the time
    version_format="plaintext",
    suppress_keyboard_interrupt=False,  # an interrupted run has something to say
    default_parameter=Parameter(negative=()),
)
train = App(name="train", help="Make the nets that the methods need.")
app.command(train)


@app.command
def explain(
    *images: Path,
    data: str | None = None,
    classifier: str | None = None,
    method: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    target: str = "nearest",
    confidence: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.0,
    count: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
    references: str | None = None,
    generator: str | None = None,
    latent: str | None = None,
    oracle: str | None = None,
    batch_size: PositiveInt = 32,
    layer: str | None = None,
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None,
    classes: list[str] | None = None,
    output: Literal["logits", "probabilities", "binary-logit", "binary-probability"] = "logits",
    trust: list[str] | None = None,
    out: Path | None = None,
    config: Path | None = None,
    json: bool = False,
) -> int:
    """Explain a classifier's decisions: for each image the change after which it says another class.

    With no arguments: 12 bundled digits, a bundled classifier. The same command again goes on where it was.

    Args:
        images: Image files, or folders of them.
        data: A data set (`rather list data`) or a folder, instead of images.
        classifier: Whom to ask: a bundled net (`rather list models`), a file of `rather train`,
            torchvision:NAME[=FILE], timm:NAME[=FILE], hf:FOLDER, or FILE.py:FUNCTION (needs --trust).
        method: How to search, a method or a preset (`rather list methods`); by default goyal, each edit
            judged by its picture. Several are compared: METHOD[@CLASSIFIER],METHOD[@CLASSIFIER],...
        set_: A setting of the method, KEY=VALUE; may be given again (`rather describe METHOD`). Of several
            methods, say whose it is: METHOD.KEY=VALUE, or 2.KEY=VALUE for the second, which wins.
        target: A class, or: next, random, nearest, runner-up, confused, prototype.
        confidence: Probability that the target must have at least, beside being the first choice.
        count: How many of the images, evenly spread; by default all of your own, 12 of a data set.
        seed: Of all that is random.
        references: Where reference images come from: a data set or a folder.
        generator: For methods that search its latents: a bundled one, or a file of `rather train vae`.
        latent: For methods that follow classifiers of latents: bundled ones, or a file of
            `rather train latent-classifier`.
        oracle: For methods that ask a second classifier whether a change is trivial: as --classifier.
        batch_size: Images in memory at a time.
        layer: Where to cut the classifier into features and decision.
        shape: Channels, height and width of its images, where it does not say so itself.
        classes: A name for an output, in their order; given again for each.
        output: What the classifier's output is.
        trust: sha256:HASH of code that may be run; may be given again.
        out: The run's folder; by default one under runs/, named by what is asked.
        config: A TOML file of these options, with the method's settings in a table [set]; what the command
            line says wins.
        json: Print one JSON object and nothing else.
    """
    del config  # `main` has put what the file says in its place
    from rather.explain import explain as work_off
    from rather.terminal import progress_bar, summary

    with progress_bar("explaining", shown=not json) as progress:
        explained = work_off(
            images,
            data=data,
            classifier=classifier,
            method=method,
            settings=settings_of(set_ or []),
            target=target,
            confidence=confidence,
            count=count,
            seed=seed,
            references=references,
            generator=generator,
            latent=latent,
            oracle=oracle,
            batch_size=batch_size,
            layer=layer,
            shape=shape,
            classes=classes,
            output=output,
            trust=trust or (),
            out=out,
            progress=progress,
        )
    for note in explained.notes:
        print(f"rather: note: {note}", file=sys.stderr)
    runs = explained.runs
    told: dict[str, Any] = {
        "run": str(explained.folder),
        "report": str(explained.report),
        "queries": sum(len(run.asked) for run in runs.values()),
        **explained.counts,
        "seconds": round(explained.seconds, 3),
    }
    if len(runs) > 1:
        told["methods"] = [
            {"method": label, "run": str(run.folder), "queries": len(run.asked), **run.counts()}
            for label, run in runs.items()
        ]
    if json:
        print(jsonlib.dumps(told))
    else:
        summary(explained)
    return SOME_FAILED if explained.counts["failed"] else 0


@app.command(name="list")
def list_(
    what: Literal["methods", "data", "models", "generators", "metrics"], /, *, json: bool = False
) -> int:
    """List what there is to choose from.

    Args:
        what: Which list.
        json: Print a JSON list of objects with a name and a text.
    """
    from rather.listing import listing

    named = listing(what)
    if json:
        print(jsonlib.dumps([{"name": name, "text": text} for name, text in named.items()]))
    else:
        width = max(map(len, named), default=0)
        for name, text in named.items():
            print(f"{name:{width}}  {text}")
    return 0


@app.command
def describe(name: str, /, *, json: bool = False) -> int:
    """Describe what has settings: a method or a preset, or what `rather train` makes.

    Args:
        name: Of a method (`rather list methods`), a kind of generator (vae, ...), or latent-classifier.
        json: Print one JSON object with the settings.
    """
    from rather.terminal import description

    description(name, json=json)
    return 0


@app.command
def report(run: Path, /, *, out: Path | None = None, single_file: bool | None = None) -> int:
    """Write a run's report anew, or the page of a comparison.

    Args:
        run: The run's folder, or the comparison's.
        out: Where to; by default into the run's folder.
        single_file: One file with the pictures inside; by default for up to 50 rows.
    """
    from rather.comparison import is_comparison, write_comparison
    from rather.report import write_report
    from rather.store import Run

    if is_comparison(run):
        if out or single_file is not None:
            raise RatherError(
                "CFG-OPTIONS", where=run, why="the page of a comparison is one of its own folder"
            )
        print(write_comparison(run))
        return 0
    print(write_report(Run.open(run), out, single_file=single_file))
    return 0


@app.command
def export(run: Path, /, *, png: Path | None = None, parquet: Path | None = None) -> int:
    """Give a run's rows to other programs.

    Args:
        run: The run's folder.
        png: A folder for one ID.png a row, the counterfactual, and index.csv.
        parquet: A file for all rows; `datasets`, pandas and DuckDB read it.
    """
    from rather.export import export_parquet, export_png
    from rather.store import Run

    if not (png or parquet):
        raise RatherError("CFG-OPTIONS", where="export", why="neither --png nor --parquet", do="Give one")
    opened = Run.open(run)
    if png:
        print(f"{export_png(opened, png)} pictures in {png}")
    if parquet:
        print(f"{export_parquet(opened, parquet)} rows in {parquet}")
    return 0


@train.command(name="classifier")
def train_classifier(
    *,
    data: str = "digits",
    out: Path,
    architecture: Literal["goyal", "small", "patches"] | None = None,
    epochs: PositiveInt | None = None,
    lr: float | None = None,
    batch_size: PositiveInt | None = None,
    shift: NonNegativeInt | None = None,
    members: PositiveInt | None = None,
    seed: NonNegativeInt | None = None,
    size: PositiveInt | None = None,
    json: bool = False,
) -> int:
    """Train a small classifier, or an ensemble of them; the same seed gives the same weights.

    What is not given is as in `rather.train.Recipe`.

    Args:
        data: A data set (`rather list data`), or a folder with a folder for each class.
        out: The new file, NAME.safetensors; `rather explain --classifier` takes it.
        architecture: goyal for pictures of 28 x 28 pixels, small for others; patches, whose features see a
            square of the picture each.
        epochs: How often to see each picture.
        lr: Learning rate, at the start.
        batch_size: Pictures a step.
        shift: Pixels, at most, by which a picture is moved each time.
        members: How many classifiers; several make one ensemble.
        seed: Of the first member; each further one has the next.
        size: Pixels a side to which a folder's pictures are brought.
        json: Print one JSON object and nothing else.
    """
    from rather.settings import checked
    from rather.terminal import progress_bar
    from rather.train import Recipe, train_to_file

    given = {
        "architecture": architecture,
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "shift": shift,
        "members": members,
        "seed": seed,
    }
    recipe = checked(Recipe, {key: value for key, value in given.items() if value is not None}, "recipe")
    with progress_bar("training", shown=not json) as progress:
        figures = train_to_file(
            data, out, recipe, size=size, progress=lambda done, all_, _loss: progress(done, all_)
        )
    _told_of_classifier(out, figures, json=json)
    return 0


def _told_of_classifier(out: Path, figures: Figures, *, json: bool) -> None:
    if json:
        print(jsonlib.dumps({"file": str(out), **figures.card()}))
    else:
        low, high = figures.interval
        print(
            f"{out}: {figures.accuracy:.1%} of {figures.tested_on} test pictures right "
            f"(95 % interval {low:.1%} to {high:.1%})"
            + (f"; {figures.left_out} left out, unreadable or unlabelled" if figures.left_out else "")
        )


@train.command(name="latent-classifier")
def train_latent_classifier(
    *,
    data: str = "digits",
    generator: str = "digits-vae",
    out: Path,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    json: bool = False,
) -> int:
    """Train classifiers of a generator's latents, an ensemble; `--method clarity` searches with them.

    Args:
        data: A data set (`rather list data`), or a folder with a folder for each class.
        generator: Whose latents: a bundled generator (`rather list models`), or a file of `rather train vae`.
        out: The new file, NAME.safetensors; `rather explain --latent` and `--classifier` take it.
        set_: A setting, KEY=VALUE, of `rather.train.LatentRecipe`; may be given again.
        json: Print one JSON object and nothing else.
    """
    from rather.settings import checked
    from rather.terminal import progress_bar
    from rather.train import LatentRecipe, train_latent

    recipe = checked(LatentRecipe, settings_of(set_ or []), "latent-classifier")
    with progress_bar("training", shown=not json) as progress:
        figures = train_latent(
            data, generator, out, recipe, progress=lambda done, all_, _loss: progress(done, all_)
        )
    if figures is not None:  # the first of several processes says it
        _told_of_classifier(out, figures, json=json)
    return 0


def _train_generator(kind: str, line: str) -> Callable[..., int]:
    """The command that trains a kind of generator."""

    def command(
        *,
        data: str = "digits",
        out: Path,
        set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
        size: PositiveInt | None = None,
        seed: Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))] = 0,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        judge: str | None = None,
        json: bool = False,
    ) -> int:
        from rather.classifiers import bring, classifier_of
        from rather.generators import generator_class
        from rather.terminal import progress_bar
        from rather.train import train_generator

        generator = generator_class(kind).of(settings_of(set_ or []))
        name = judge or classifier_of(data)
        with progress_bar("training", shown=not json) as progress:
            figures = train_generator(
                generator,
                data,
                out,
                size=size,
                seed=seed,
                precision=precision,
                judge=None if name is None else bring(name),
                progress=lambda done, all_, _loss: progress(done, all_),
            )
        if figures is None:  # the first of several processes says it
            return 0
        print(jsonlib.dumps({"file": str(out), **figures.card()}) if json else f"{out}: {figures}")
        return 0

    command.__doc__ = f"""{line}

    An interrupted training goes on with the same command. Several processes, on one machine or many: put
    torchrun or accelerate launch in front, -m rather train {kind} ...

    Args:
        data: A data set (`rather list data`), or a folder of pictures; labels are not needed.
        out: The new file, NAME.safetensors; a preview, NAME.preview.png, lies beside it.
        set_: A setting, KEY=VALUE; may be given again (`rather describe {kind}`).
        size: Pixels a side to which a folder's pictures are brought.
        seed: Of the first weights and of all that is random.
        precision: bf16 computes in bfloat16; auto does so where the device gains from it.
        judge: A classifier to measure the generator with; by default the bundled one of the data.
        json: Print one JSON object and nothing else.
    """
    return command


for _kind, _line in list_generators().items():
    train.command(_train_generator(_kind, _line), name=_kind)


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as plain data; a dot in a key goes one level down, a value is TOML or else text.

    >>> settings_of(["steps=3", "method.distractor=nearest"])
    {'steps': 3, 'method': {'distractor': 'nearest'}}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise RatherError("CFG-SETTING", where=pair, why="not of the form KEY=VALUE")
        *path, last = key.split(".")
        level = settings
        for part in path:
            inner = level.setdefault(part, {})
            if not isinstance(inner, dict):  # `method=wachter` came before `method.steps=3`
                inner = level[part] = {"name": inner}
            level = inner
        try:
            plain = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            plain = value
        if isinstance(level.get(last), dict):  # `method.steps=3` came before `method=wachter`
            level[last]["name"] = plain
        else:
            level[last] = plain
    return settings


def _from_file(words: list[str]) -> list[str]:
    """`--config FILE` replaced by the options that the TOML file gives and the command line does not.

    So the file's names and values pass the very checks that the command line's do.
    """
    words = [
        part for word in words for part in (word.split("=", 1) if word.startswith("--config=") else [word])
    ]
    if "--config" not in words:
        return words
    place = words.index("--config")
    if place + 1 == len(words):
        raise RatherError("CFG-OPTIONS", where="--config", why="a file must follow")
    file, words = words[place + 1], words[:place] + words[place + 2 :]
    try:
        told = tomllib.loads(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RatherError("CFG-FILE", where=file, why=str(error)) from None
    given = {word.partition("=")[0] for word in words}
    options: list[str] = []
    for key, value in told.items():
        option = "--" + key.replace("_", "-")
        if option == "--set":
            options += [word for pair in _pairs(value, file) for word in ("--set", pair)]
        elif option in given or value is False:
            continue
        elif value is True:
            options.append(option)
        else:
            for one in value if isinstance(value, list) else [value]:
                options += [option, str(one)]
    # After the command's own name, and before what the command line says: of two settings the last one wins.
    return words[:1] + options + words[1:]


def _pairs(value: Any, file: str, above: str = "") -> list[str]:
    if not isinstance(value, dict):
        raise RatherError("CFG-FILE", where=file, why="[set] must be a table of settings")
    pairs = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            pairs += _pairs(inner, file, f"{above}{key}.")
        else:
            pairs.append(f"{above}{key}={jsonlib.dumps(inner)}")
    return pairs


def _stop(signum: int, frame: object) -> None:
    del frame
    sys.exit(128 + signum)


def main(words: Sequence[str] | None = None) -> None:
    """The program `rather`; its exit codes stand in errors.py."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = app(
            _from_file(list(sys.argv[1:] if words is None else words)), exit_on_error=False, print_error=False
        )
        sys.exit(code if isinstance(code, int) else 0)
    except RatherError as error:
        print(f"rather: error {error.code}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except CycloptsError as error:
        print(f"rather: error CFG-OPTIONS: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        print("rather: interrupted; the same command goes on from what is saved", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `rather list methods | head`
        sys.stderr.close()
        sys.exit(0)
