"""The command line as a person uses it: what it prints, what it leaves behind, what it says of mistakes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import rather.hub.generators
import rather.hub.resources
import rather.runs.explain
from rather.commands.cli import main, settings_of
from rather.commands.listing import needs, seconds
from rather.generators.autoencoder import Autoencoder
from rather.hub.methods import list_methods, method_class
from rather.hub.presets import list_presets
from rather.latents.classifiers import LatentClassifiers, LatentHeads
from rather.runs.comparison import open_comparison
from rather.runs.store import Run

FAST = ["--method", "wachter", "--count", "3"]


@pytest.fixture
def run(capsys):
    """Run a command: its exit code, standard output and standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(list(map(str, words)))
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def loaded(*words):
    """The modules that a command loads, in a process of its own."""
    code = (
        "import sys\n"
        "try:\n"
        "    from rather.commands.cli import main; main(sys.argv[1:])\n"
        "finally:\n"
        "    print('\\n', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, env=os.environ
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words",
    ["--help", "--version", "list methods", "list data --json", "list models", "list metrics", "explain --help"],
)
def test_telling_what_there_is_loads_nothing_heavy(words):
    assert not {"torch", "numpy", "PIL", "pyarrow", "pydantic", "matplotlib"} & loaded(*words.split())


def test_import_loads_nothing_heavy():
    code = "import rather, sys; assert not {'torch', 'numpy', 'pydantic', 'cyclopts'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_path_needs_neither_torchvision_nor_plots():
    assert not {"torchvision", "diffusers", "timm", "matplotlib", "scipy"} & loaded("explain", "--count", "1", "--json")


def test_with_no_arguments_twelve_digits_are_explained(run):
    code, out, err = run("explain", "--json")
    result = json.loads(out)
    assert code == 0
    assert err == ""
    assert result["queries"] == 12
    assert result["found"] + result["not_found"] + result["already"] + result["failed"] == 12
    assert result["found"] >= 10
    assert {"run", "report", "seconds"} <= result.keys()
    assert os.path.getsize(result["report"]) > 10_000  # noqa: PTH202 - a path as the command printed it


def pictures(folder):
    return {row.id: (row.image, row.after, row.steps) for row in Run.open(folder).rows()}


def test_the_same_command_gives_the_same_pixels(run):
    run("explain", *FAST, "--target", "random", "--out", "one")
    run("explain", *FAST, "--target", "random", "--out", "two", "--batch-size", "3")
    assert pictures("one") == pictures("two")
    assert len(pictures("one")) == 3


def test_a_finished_run_is_not_done_again(run):
    run("explain", *FAST, "--out", "one")
    shards = {file: file.stat().st_mtime_ns for file in Run.open("one").folder.glob("rows-*")}
    code, out, _ = run("explain", *FAST, "--out", "one", "--json")
    assert code == 0
    assert json.loads(out)["found"] == 3
    assert {file: file.stat().st_mtime_ns for file in Run.open("one").folder.glob("rows-*")} == shards


def test_a_file_of_settings_is_read_and_the_command_line_wins(run, tmp_path):
    (tmp_path / "ask.toml").write_text('method = "wachter"\ncount = 5\ntarget = "next"\n[set]\nsteps = 7\nlr = 0.5\n')
    code, _, _ = run("explain", "--config", "ask.toml", "--count", 2, "--set", "steps=9", "--out", "one")
    question = Run.open("one").config
    assert code == 0
    assert question["method"]["steps"] == 9
    assert question["method"]["lr"] == 0.5
    assert question["target"] == "next"
    assert len(Run.open("one").ids) == 2


def test_settings_nest():
    assert settings_of(["method=wachter", "method.steps=3", "setting=distance_weight"]) == {
        "method": {"name": "wachter", "steps": 3},
        "setting": "distance_weight",
    }
    assert settings_of(["method.steps=3", "method=wachter"]) == {"method": {"steps": 3, "name": "wachter"}}


def test_a_method_may_wrap_another(run):
    words = ["--method", "minimal", "--set", "method=wachter", "--set", "method.steps=50", "--set", "steps=3"]
    code, _, err = run("explain", *words, "--count", 1, "--out", "one")
    assert code == 0, err
    assert Run.open("one").config["method"]["method"]["name"] == "wachter"


def test_prototypes_want_more_of_the_same(run):
    run("explain", "--method", "wachter", "--target", "prototype", "--count", 20, "--out", "one")
    rows = [row for row in Run.open("one").rows() if row.status == "found"]
    assert rows
    for row in rows:
        own = Run.open("one").config["classes"].index(row.predicted)
        assert row.target == row.predicted
        assert row.after[own] > row.before[own]


def save(path, size=(28, 28), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 128 if mode == "L" else (200, 100, 50)).save(path)


MISTAKES = {
    "explain --method wachtre": (2, "wachter"),
    "explain --method wachter --set stepss=3": (2, "steps"),
    "explain --method wachter --set steps=-1": (2, "greater than 0"),
    "explain --method wachter --set steps": (2, "KEY=VALUE"),
    "explain --method wachter --set lr=inf": (2, "finite"),
    "explain --set name=wachter": (2, "--method"),
    "explain --method several --set method.steps=3": (2, "method"),
    "explain --target cat": (2, "10 classes"),
    "explain --target 10": (2, "10 classes"),
    "explain --data digitz": (2, "digits"),
    "explain --data empty": (2, "png"),
    "explain nowhere.png": (2, "nowhere.png"),
    "explain --count 0": (2, "count"),
    "explain --count many": (2, "count"),
    "explain --seed -1": (2, "seed"),
    "explain --confidence 2": (2, "confidence"),
    "explain --batch-size 0": (2, "batch-size"),
    "explain --cuont 3": (2, "--count"),
    "explain --classifier nothing": (4, "nothing"),
    "explain --classifier text.safetensors": (4, "text.safetensors"),
    "explain --references nowhere": (2, "nowhere"),
    "explain --layer nowhere": (4, "nowhere"),
    "explain --config nowhere.toml": (2, "nowhere.toml"),
    "explain --config wrong.toml": (2, "cuont"),
    "explain --out file/run": (5, "file"),
    "explain a.png --data digits": (2, "images"),
    "explain --method wachter,wachtre": (2, "Did you mean wachter"),
    "explain --method wachter,wachter": (2, "twice"),
    "explain --method wachter,wachter@digits": (2, "the same as wachter"),
    "explain --method wachter,": (2, "METHOD"),
    "explain --method wachter,schut@nothing": (4, "nothing"),
    "explain --method wachter,schut@text.safetensors": (4, "text.safetensors"),
    "explain --method wachter,schut@shapes": (4, "(3, 64, 64)"),
    "explain --method wachter,schut --set steps=3": (2, "wachter.KEY"),
    "explain --method wachter,schut --set schut.stepss=3": (2, "steps"),
    "explain --method wachter@digits --classifier digits": (2, "--classifier"),
    "explain --method xgme": (2, "xgem"),
    "explain --method wachter --generator digits-vae": (2, "wachter"),
    "explain --method wachter,goyal --latent digits-latent": (2, "wachter, goyal"),
    "explain --method revise --generator text.safetensors": (4, "text.safetensors"),
    "explain --method revise --generator nothing": (4, "nothing"),
    "explain a.png --method revise --classifier shapes --target next": (4, "rather train vae"),
    "explain a.png --method clarity --classifier shapes --target next": (4, "rather train latent-classifier"),
    "explain --method clarity --latent digits": (4, "images, not latents"),
    "explain --method clarity --latent text.safetensors": (4, "text.safetensors"),
    "explain --method wachter --out compared": (6, "comparison"),
    "report compared --single-file": (2, "comparison"),
    "report nowhere": (2, "run.json"),
    "export nowhere --png out": (2, "run.json"),
    "export nowhere": (2, "--png"),
    "describe wachtre": (2, "wachter"),
    "describe vea": (2, "vae"),
    "list metods": (2, "methods"),
    "lst": (2, "list"),
    "train classifier": (2, "out"),
    "train classifier --out x.safetensors --epochs 0": (2, "epochs"),
    "train classifier --out x.safetensors --data nowhere": (2, "nowhere"),
    "train classifier --out x.safetensors --lr -1": (2, "lr"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_answered_in_one_line_and_leaves_nothing(run, tmp_path, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "text.safetensors").write_text("text")
    (tmp_path / "compared").mkdir()
    (tmp_path / "compared" / "comparison.json").write_text('{"format": 1, "columns": {"a": "1-a", "b": "2-b"}}')
    (tmp_path / "wrong.toml").write_text("cuont = 3\n")
    save(tmp_path / "a.png")
    before = sorted(tmp_path.rglob("*"))
    exit_code, says = MISTAKES[words]
    code, out, err = run(*words.split())
    assert code == exit_code, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("rather: error ")
    assert says in err
    assert sorted(tmp_path.rglob("*")) == before


COMPARED = ["explain", "--method", "wachter,wachter@digits-ensemble", "--count", "3", "--target", "random"]


def columns(folder):
    """The rows of each column of a comparison."""
    return {label: list(run.rows()) for label, run in open_comparison(Path(folder)).items()}


def test_several_methods_answer_the_same_question(run):
    code, out, err = run(*COMPARED, "--set", "wachter.steps=50", "--set", "2.steps=4", "--out", "one", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["report"] == "one/comparison.html"
    assert result["queries"] == 6 == result["found"] + result["not_found"] + result["already"] + result["failed"]
    assert [one["method"] for one in result["methods"]] == ["wachter", "wachter@digits-ensemble"]
    assert sum(one["found"] for one in result["methods"]) == result["found"]
    runs = open_comparison(Path("one"))
    assert [one["run"] for one in result["methods"]] == [str(one.folder) for one in runs.values()]
    first, second = (one.config for one in runs.values())
    assert (first["classifier"]["name"], second["classifier"]["name"]) == ("digits", "digits-ensemble")
    assert (first["method"]["steps"], second["method"]["steps"]) == (50, 4)
    assert first["target"] == second["target"]
    goals = [[(row.id, row.target, row.query) for row in rows] for rows in columns("one").values()]
    assert goals[0] == goals[1]
    for one in runs.values():
        assert (one.folder / "report.html").is_file()


def test_a_column_is_what_its_method_alone_would_say(run):
    run(*COMPARED, "--out", "one")
    run("explain", "--method", "wachter", "--count", "3", "--target", "random", "--out", "alone")
    assert pictures("alone") == pictures("one/1-wachter")


@pytest.mark.parametrize(
    ("words", "line", "report"),
    [
        (["explain", *FAST], "before", r"\S+\.html"),
        (COMPARED, r"wachter@digits-ensemble\s+digits-ensemble\s+3", r"runs/comparison-\w+/comparison.html"),
    ],
)
def test_a_person_gets_a_table_and_the_place_of_the_report(run, words, line, report):
    code, out, _ = run(*words)
    assert code == 0
    assert re.search(line, out)
    assert re.search(f"report: {report}", out)


@pytest.mark.parametrize(
    ("words", "folders"), [(["explain", *FAST], ["."]), (COMPARED, ["1-wachter", "2-wachter-digits-ensemble"])]
)
def test_what_lacks_a_chunk_goes_on_to_the_same_end(run, words, folders):
    command = [*words, "--batch-size", "1", "--out", "one"]
    run(*command)
    whole = [pictures(Path("one", folder)) for folder in folders]
    for folder in folders:
        sorted(Path("one", folder).glob("rows-*"))[1].unlink()
    kept = {file: file.stat().st_mtime_ns for file in Path("one").rglob("rows-*")}
    assert len(kept) == 2 * len(folders)
    assert run(*command)[0] == 0
    assert [pictures(Path("one", folder)) for folder in folders] == whole
    assert kept.items() <= {file: file.stat().st_mtime_ns for file in Path("one").rglob("rows-*")}.items()


def test_another_comparison_does_not_go_into_the_same_folder(run):
    run(*COMPARED, "--out", "one")
    code, _, err = run("explain", "--method", "wachter@digits-ensemble,wachter", "--count", "3", "--out", "one")
    assert (code, "RUN-MISMATCH" in err) == (6, True)
    code, _, err = run(*COMPARED, "--seed", "1", "--out", "one")
    assert (code, "RUN-MISMATCH" in err) == (6, True)


def test_the_page_of_a_comparison_is_written_again(run):
    run(*COMPARED, "--out", "one")
    Path("one/comparison.html").unlink()
    code, out, _ = run("report", "one")
    assert (code, out.strip()) == (0, "one/comparison.html")
    assert Path("one/comparison.html").is_file()


@pytest.mark.parametrize("methods", ["wachter", "wachter,attack"])
def test_own_pictures_good_and_bad(run, tmp_path, methods):
    for name, size in (("good.png", (28, 28)), ("text.png", (28, 28)), ("cut.jpg", (64, 64))):
        save(tmp_path / "own" / name, size)
    (tmp_path / "own" / "text.png").write_text("not a picture")
    whole = (tmp_path / "own" / "cut.jpg").read_bytes()
    (tmp_path / "own" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = run("explain", "own", "--method", methods, "--json", "--out", "one")
    found, count = json.loads(out), len(methods.split(","))
    assert (code, found["failed"], found["queries"]) == (3, 2 * count, 3 * count)
    assert "no --classifier" in err
    for rows in columns("one").values() if count > 1 else [Run.open("one").rows()]:
        codes = {row.where.rpartition("/")[2]: row.code for row in rows}
        assert (codes["text.png"], codes["cut.jpg"]) == ("IMG-UNREADABLE", "IMG-TRUNCATED")


@pytest.mark.parametrize("methods", ["wachter", "wachter,wachter@digits-ensemble"])
def test_every_row_at_its_target_is_left_alone_and_that_is_no_error(run, methods):
    words = ["--method", methods, "--target", "7", "--count", "4", "--json", "--out", "one"]
    code, out, err = run("explain", *words)
    assert code == 0, err
    each = [*columns("one").values()] if "," in methods else [[*Run.open("one").rows()]]
    for rows in each:
        assert {row.target for row in rows} == {"7"}
        assert [row.status == "already" for row in rows] == [row.predicted == "7" for row in rows]
        assert {row.code for row in rows if row.status == "already"} <= {"ALREADY-TARGET"}
    assert json.loads(out)["already"] == sum(row.status == "already" for rows in each for row in rows)


def test_a_file_of_settings_may_compare(run, tmp_path):
    (tmp_path / "ask.toml").write_text('method = "wachter,attack"\ncount = 2\n[set.wachter]\nsteps = 7\n')
    code, _, err = run("explain", "--config", "ask.toml", "--out", "one")
    assert code == 0, err
    assert Run.open("one/1-wachter").config["method"]["steps"] == 7


@pytest.fixture
def latents(monkeypatch):
    """A tiny generator and classifiers of its latents, in the place of bundled ones."""
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(8, 784), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
    generator = Autoencoder(encoder, decoder, shape=(1, 28, 28), size=8, name="tiny")
    latent = LatentClassifiers(generator, LatentHeads(2, 8, 6, 10), list("0123456789"), name="tiny-latent")
    load = rather.runs.explain.load_classifier
    monkeypatch.setattr(rather.hub.generators, "load_generator", lambda spec: {"tiny": generator}[spec])
    for module in (rather.runs.explain, rather.hub.resources):
        monkeypatch.setattr(
            module,
            "load_classifier",
            lambda spec, **more: latent.classifier() if spec == "tiny-latent" else load(spec, **more),
        )


@pytest.mark.usefixtures("latents")
def test_generators_and_classifiers_of_latents_are_given_and_recorded(run):
    methods = "wachter,xgem,clarity,revise@tiny-latent,clarity@tiny-latent"
    words = ["--set", "xgem.steps=3", "--set", "clarity.steps=3", "--set", "revise.steps=3", "--count", "2"]
    words += ["--generator", "tiny", "--latent", "tiny-latent", "--set", "wachter.steps=3"]
    code, _, err = run("explain", "--method", methods, *words, "--out", "one")
    assert code == 0, err
    assert err.count("GEN-RECONSTRUCTION") <= 2
    result = {label: one.config for label, one in open_comparison(Path("one")).items()}
    assert [("generator" in one, "latent" in one) for one in result.values()] == [
        (False, False),
        (True, False),
        (False, True),
        (True, False),
        (False, True),
    ]
    assert result["xgem"]["generator"]["name"] == "tiny"
    assert result["xgem"]["method"]["distance"] == "l2"
    assert result["clarity"]["latent"]["name"] == "tiny-latent"


def test_digits_have_generators_and_classifiers_of_latents_in_the_package(run):
    methods = "revise,clarity,introspection"
    words = [word for name in methods.split(",") for word in ("--set", f"{name}.steps=3")]
    code, _, err = run("explain", "--method", methods, *words, "--count", "2", "--target", "next", "--out", "one")
    assert code == 0, err
    revise, clarity, gan = (one.config for one in open_comparison(Path("one")).values())
    assert gan["generator"]["name"] == "digits-gan"
    assert revise["generator"]["name"] == "digits-vae"
    assert clarity["latent"]["name"] == "digits-latent"
    assert clarity["latent"]["generator"] == revise["generator"]["sha256"]


@pytest.mark.usefixtures("latents")
def test_a_classifier_of_latents_needs_no_generator_beside_it(run):
    words = ["--classifier", "tiny-latent", "--set", "steps=3", "--count", "2"]
    code, _, err = run("explain", "--method", "revise", *words, "--out", "one")
    assert code == 0, err
    assert Run.open("one").config["generator"]["name"] == "tiny"


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_is_described(run, name):
    code, out, _ = run("describe", name)
    assert code == 0
    assert re.search(r"stands for: --method \w+ --set \w+=", out)
    code, out, _ = run("describe", name, "--json")
    result = json.loads(out)
    assert (code, result["name"]) == (0, name)
    defaults = {setting["name"]: setting["default"] for setting in result["settings"]}
    assert all(defaults[key] == value for key, value in result["plan"].items() if key != "name")


@pytest.mark.parametrize("name", ["vae", "tcvae", "gan", "latent-classifier"])
def test_what_can_be_trained_is_described(run, name):
    code, out, _ = run("describe", name, "--json")
    settings = {setting["name"]: setting for setting in json.loads(out)["settings"]}
    assert code == 0
    assert settings["lr"]["values"] == "float > 0"
    assert not any(setting["required"] or setting["values"].startswith("--") for setting in settings.values())
    assert all(setting["text"] for setting in settings.values())
    assert name in run("describe", name)[1]


@pytest.mark.parametrize(
    ("name", "option", "net"),
    [
        ("revise", "generator", "digits-vae"),
        ("introspection", "generator", "digits-gan"),
        ("gci", "generator", "digits-gan"),
        ("clarity", "latent", "digits-latent"),
    ],
)
def test_what_digits_get_by_default_is_described(run, name, option, net):
    assert f"By default, of the bundled data: --{option} {net}" in run("describe", name)[1]
    assert json.loads(run("describe", name, "--json")[1])["bundled"][option][0] == net


@pytest.mark.parametrize("method", list_methods())
def test_every_method_is_described(run, method):
    code, out, _ = run("describe", method, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["name"] == method
    assert all(setting["text"] and setting["values"] for setting in result["settings"])
    code, out, _ = run("describe", method)
    assert code == 0
    assert all(setting["name"] in out for setting in result["settings"])


def test_a_list_of_methods_fits_a_terminal_and_says_what_each_needs(run):
    _, out, _ = run("list", "methods")
    assert max(map(len, out.splitlines())) <= 80
    entries = {entry.split()[0]: " ".join(entry.split()) for entry in re.split(r"\n(?=\S)", out) if entry.split()}
    assert "Needs reference images" in entries["goyal"]
    assert "Needs gradients" in entries["wachter"]
    assert "Needs nothing" in entries["sedc"]
    assert {*list_methods(), *list_presets()} <= entries.keys()


def test_what_a_method_needs_is_what_it_is_given():
    for name in list_methods():
        fields = method_class(name).model_fields
        required = [key for key, field in fields.items() if field.is_required()]
        assert bool(required) == bool(set(needs(name)) - {"latent classifiers", "gradients"}), name


def test_a_list_says_gradients_where_a_method_needs_them():
    for name in list_methods():
        assert ("gradients" in needs(name)) == (method_class(name).gradient == "needed"), name


def test_costs_are_of_methods_that_there_are():
    assert seconds().keys() <= {*list_methods(), *list_presets()}


@pytest.mark.parametrize(("words", "shown"), [((), "rather explain"), (("help",), "Commands"), (("list",), "methods")])
def test_whoever_types_next_to_nothing_is_shown_what_to_type(run, words, shown):
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert shown in out


def test_an_interrupt_says_so_and_the_run_goes_on():
    words = [sys.executable, "-m", "rather", "explain", "--method", "wachter", "--count", "2000", "--out", "one"]
    process = subprocess.Popen([*words, "--batch-size", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(Path("one").glob("rows-*.parquet")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"resumes" in err
    assert b"Traceback" not in err
    assert len(Run.open("one").pending()) < 2000


def test_a_folder_called_like_a_data_set_does_not_hide_it(run, tmp_path):
    save(tmp_path / "digits" / "a.png")
    _, out, _ = run("explain", "--method", "wachter", "--json")
    assert json.loads(out)["queries"] == 12


def test_own_pictures_by_data_or_by_name_are_the_same(run, tmp_path):
    for n in range(3):
        save(tmp_path / "own" / f"{n}.png")
    _, one, _ = run("explain", "own", "--json", "--out", "one")
    _, two, _ = run("explain", "--data", "own", "--json", "--out", "two")
    keys = "queries", "found", "not_found", "already", "failed"
    assert [json.loads(one)[key] for key in keys] == [json.loads(two)[key] for key in keys]


def test_a_pipe_that_closes_is_no_traceback():
    listing = subprocess.Popen(
        [sys.executable, "-m", "rather", "list", "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    listing.stdout.close()
    assert "Traceback" not in listing.stderr.read().decode()
    listing.stderr.close()
    listing.wait()


def test_a_folder_of_classes_is_trained_on_and_explained_without_code(run, tmp_path):
    for name, place in (("left", (2, 0)), ("right", (18, 0))):
        for n in range(12):
            picture = Image.new("RGB", (28, 28), (20, 20, 20 + n))
            picture.paste((200 + n, 180, 160), (*place, place[0] + 8, 28))
            (tmp_path / "bars" / name).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "bars" / name / f"{n}.png")
    words = ["--data", "bars", "--out", "net.safetensors", "--size", 28, "--epochs", 30, "--shift", 0]
    code, out, err = run("train", "classifier", *words, "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == 1
    code, out, err = run("explain", "bars", "--classifier", "net.safetensors", "--json", "--count", 6)
    assert code == 0, err
    assert json.loads(out)["found"] == 6


def test_threads_are_left_as_they_are(run):
    before = torch.get_num_threads()
    run("explain", *FAST, "--json")
    assert torch.get_num_threads() == before
