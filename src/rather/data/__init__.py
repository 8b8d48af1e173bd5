"""Pictures with labels, attributes or regions: one file for each dataset.

A new file in this folder is a new dataset, and nothing else needs to know about it. It declares

- `NAMES: Final = {...}` in plain text: each name of the dataset and one line about it. `birds` is called by its
  name alone, `birds:FOLDER` reads a folder of the user's, and `birds/eagles:FOLDER` is a choice of it.
- `load(...)`, which returns a `Dataset`. It takes, by position, what the name holds: the path after the colon
  and the choice after the slash. If it has a keyword `shape`, it brings its pictures to that shape (c, h, w).

A reader raises DATA-NOT-FOUND or DATA-EMPTY with the path where something is missing, DATA-DAMAGED for a file that
is not whole or not the official one, and CFG-UNKNOWN for a choice that it does not know.

Third parties add theirs under the entry-point group `rather.datasets` (name -> such a `load`).
"""
