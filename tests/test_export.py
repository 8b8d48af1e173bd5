"""What other programs get of a run: every row once, pixels untouched, no text that runs as a formula."""

import csv
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from rather.config.errors import RatherError
from rather.io.png import png, seen, unpng
from rather.runs.export import export_parquet, export_png, file_name, file_names
from rather.runs.store import Row, Run


def rows_of(count: int) -> list[Row]:
    torch.manual_seed(0)
    found = [
        Row(
            id=f"x-{n:03d}",
            where=f"photos/{n}.png",
            status="found",
            predicted="a",
            target="b",
            before=[0.75, 0.25],
            after=[0.125, 0.875],
            query=png(torch.rand(3, 4, 4)),
            image=png(torch.rand(3, 4, 4)),
        )
        for n in range(count)
    ]
    return [*found, Row(id="bad", where="photos/bad.png", status="failed", code="IMG-TRUNCATED")]


def run_of(folder, rows: list[Row]) -> Run:
    run = Run.start(folder, {"classes": ["a", "b"]}, [row.id for row in rows], len(rows))
    run.commit(rows)
    return run


def table(folder) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as source:
        return list(csv.DictReader(source))


def test_png_files_are_the_stored_bytes_one_a_row_that_has_one(tmp_path):
    rows = rows_of(3)
    assert export_png(run_of(tmp_path / "run", rows), tmp_path / "a" / "out") == 3
    out = tmp_path / "a" / "out"
    files = {str(file.relative_to(out)) for file in out.rglob("*.*")}
    assert files == {"photos/0.png", "photos/1.png", "photos/2.png", "index.csv"}
    assert all((out / row.where).read_bytes() == row.image for row in rows[:3])


def test_the_table_has_every_row(tmp_path):
    export_png(run_of(tmp_path / "run", rows_of(2)), tmp_path / "out")
    first, _, last = table(tmp_path / "out")
    assert first["id"] == "x-000"
    assert first["file"] == "photos/0.png"
    assert [first[key] for key in ("predicted", "target", "status")] == ["a", "b", "found"]
    assert first["before"] == "0.75 0.25"
    assert first["after"] == "0.125 0.875"
    assert last["file"] == last["after"] == ""
    assert last["code"] == "IMG-TRUNCATED"


@pytest.mark.parametrize("start", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(tmp_path, start):
    row = Row(id="-x", where=start, status="already", code=start, label=start, predicted=start, target=f"{start},")
    export_png(run_of(tmp_path / "run", [row]), tmp_path / "out")
    (told,) = table(tmp_path / "out")
    assert told["where"] == told["label"] == told["predicted"] == f"'{start}"
    assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for value in told.values())


def test_a_hostile_id_stays_in_the_folder(tmp_path):
    row = Row(id="../../x", where="", status="found", image=png(torch.rand(1, 2, 2)))
    export_png(run_of(tmp_path / "run", [row]), tmp_path / "a" / "out")
    (told,) = table(tmp_path / "a" / "out")
    assert (tmp_path / "a" / "out" / told["file"]).read_bytes() == row.image
    assert {file.name for file in tmp_path.iterdir()} == {"run", "a"}


@pytest.mark.parametrize(
    ("wheres", "names"),
    [
        (["photos/cat.png"], ["photos/cat"]),
        (["/home/ann/photos/my cat.jpg", "/home/ann/photos/old/é.tif"], ["photos/my cat", "photos/old/é"]),
        (["a.png", "b/a.png"], ["a", "b/a"]),
        (["a.png", "a.jpg", "A.png", "a-2.png"], ["a", "a-2", "A-3", "a-2-2"]),
        (["digits, test 7", "a/b.png", "c/b.png"], ["id0", "a/b", "c/b"]),
    ],
)
def test_a_file_keeps_its_path_below_the_folder_of_all(wheres, names):
    assert file_names([(f"id{n}", where) for n, where in enumerate(wheres)]) == names


def test_no_path_leads_out_of_the_folder(tmp_path):
    wheres = [
        "../../x.png",
        "/etc/../x.png",
        "a/../../y.png",
        "-rf.png",
        "a\\b.png",
        "c:/d.png",
        "\x1b[2J.png",
        f"{'é' * 150}.png",
    ]
    rows = [
        Row(id=f"{n}", where=where, status="found", image=png(torch.rand(1, 2, 2))) for n, where in enumerate(wheres)
    ]
    assert export_png(run_of(tmp_path / "run", rows), tmp_path / "a" / "out") == len(rows)
    assert {file.name for file in tmp_path.iterdir()} == {"run", "a"}
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"out"}
    assert len([*(tmp_path / "a" / "out").rglob("*.png")]) == len(rows)
    assert all("\x1b" not in str(file) and " -" not in f" {file.name}" for file in (tmp_path / "a" / "out").rglob("*"))


def test_of_many_channels_the_first_three_are_seen_and_all_are_kept(tmp_path):
    image = (torch.rand(5, 4, 6) * 255).round() / 255
    row = Row(id="x", where="fields/x.npy", status="found", image=png(image))
    assert torch.equal(unpng(png(image)), image)
    export_png(run_of(tmp_path / "run", [row]), tmp_path / "out")
    assert torch.equal(unpng((tmp_path / "out" / "fields" / "x.png").read_bytes()), image[:3])
    assert np.array_equal(np.load(tmp_path / "out" / "fields" / "x.npy"), (image * 255).round().byte().numpy())
    assert seen(image[:2]).shape == (1, 4, 6)
    assert torch.equal(seen(image[:1]), image[:1])


def test_names_of_files_are_safe_short_and_different():
    names = [file_name(text) for text in ("a/b", "a:b", "a" * 300, "a" * 299, "", "é", "\udcff", ".", "-")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_][a-z0-9_-]{,120}", name) for name in names)


@pytest.mark.parametrize("export", [export_png, lambda run, place: export_parquet(run, place / "x.parquet")])
def test_an_unwritable_place_is_a_clear_error(tmp_path, export):
    (tmp_path / "file").write_text("")
    with pytest.raises(RatherError) as told:
        export(run_of(tmp_path / "run", rows_of(1)), tmp_path / "file" / "out")
    assert told.value.code == "STORE-NOT-WRITABLE"


def test_a_folder_is_no_parquet_file(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", rows_of(1))
    monkeypatch.chdir(tmp_path)
    for place in (".", "..", tmp_path / "run"):
        with pytest.raises(RatherError, match="Name a file") as told:
            export_parquet(run, place)
        assert told.value.code == "STORE-NOT-WRITABLE"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("export", [export_png, lambda run, place: export_parquet(run, place / "x.parquet")])
def test_a_damaged_run_is_not_handed_on(tmp_path, export):
    run = run_of(tmp_path / "run", rows_of(1))
    (shard,) = run.folder.glob("rows-*.parquet")
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RatherError, match=shard.name) as told:
        export(run, tmp_path / "out")
    assert told.value.code == "RUN-DAMAGED"


def test_one_parquet_file_holds_what_the_shards_hold(tmp_path):
    rows = rows_of(70)
    run = Run.start(tmp_path / "run", {}, [row.id for row in rows], 10)
    for chunk in run.pending():
        run.commit([rows[n] for n in chunk])
    assert export_parquet(run, tmp_path / "out" / "all.parquet") == 71
    read = pq.read_table(tmp_path / "out" / "all.parquet")
    assert read["id"].to_pylist() == [row.id for row in rows]
    assert read["image"].to_pylist()[5]["bytes"] == rows[5].image
    features = json.loads(read.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"]["_type"] == "Image"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["all.parquet"]
