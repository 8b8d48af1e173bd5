"""The documentation says what the code does: made parts are up to date, and README's Python runs."""

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from rather.config.errors import CODES
from test_house import FLOORS

ROOT = Path(__file__).parent.parent
COMMANDS = runpy.run_path(str(ROOT / "docs" / "commands.py"))
PAGES = runpy.run_path(str(ROOT / "docs" / "make.py"))["pages"]()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_made_pages_are_up_to_date(page):
    assert page.read_text("utf-8") == PAGES[page], "run: python docs/make.py"


def test_readme_python_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, check=True, env=os.environ | {"MPLBACKEND": "agg"}
    )
    assert (tmp_path / "result.png").stat().st_size > 1000


def test_python_of_the_page_on_faces_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "faces.md").read_text("utf-8"), re.DOTALL)
    code = "import torch; torch.set_num_threads(1)\n" + "\n".join(blocks)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    effects = ast.literal_eval(done.stdout)
    assert max(effects, key=lambda name: abs(effects[name])) == "glasses"  # as the page says


def test_commands_can_be_run_or_are_left_out_by_name():
    steps = [step for page in COMMANDS["PAGES"] for step in COMMANDS["steps"](page)]
    assert [step.text for step in steps if not (step.left_out or step.argv())] == []
    assert {"rather bench tiny", "./check", "its Python"} <= {step.text for step in steps}


def test_commands_are_read_as_a_shell_reads_them():
    content = "rather list \\\n  methods  # all\n# nothing\n\n./check && rather bench 'my spec.toml'\n"
    found = [step.words for step in COMMANDS["shell"]("page", content)]
    assert found == [("rather", "list", "methods"), ("./check",), ("rather", "bench", "my spec.toml")]
    (unknown,) = COMMANDS["shell"]("page", "ls photos")
    with pytest.raises(SystemExit, match="ls photos"):
        unknown.argv()


def test_the_page_on_design_names_every_floor_from_the_top():
    rows = re.findall(r"^\| (`.+`) \| [^|]+ \|$", (ROOT / "docs" / "design.md").read_text("utf-8"), re.MULTILINE)
    floors = [{room.strip("`") for room in row.split(", ")} for row in rows]
    assert floors == [set(floor.split()) for floor in reversed(FLOORS)]


def test_links_in_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_code_is_raised_somewhere():
    source = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py") if file.name != "errors.py")
    assert [code for code in CODES if f'"{code}"' not in source] == []
