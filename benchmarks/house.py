"""The structure of the package in figures: rooms, imports, chains, circles, lines, long functions.

    python benchmarks/house.py [TREE] [--edges]

A room is a folder of `src/rather`, or a file that lies in the package itself. An edge says that one room
imports another, in a function too, but not what only a type checker sees. Run it on two trees to compare.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

LONGEST_FUNCTION, LONGEST_FILE = 60, 350


def room_of(module: str, rooms: set[str]) -> str | None:
    """The room of a full module name: the folder, or the file in the package itself."""
    parts = module.split(".")
    found = next((part for part in parts[1:2] if part in rooms), None)
    return found if parts[0] == "rather" else None


def imported(node: ast.AST) -> Iterator[str]:
    """Full names of all that is imported, in functions too, but for what only the type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from imported(child)


def graph_of(home: Path) -> dict[str, dict[str, list[str]]]:
    """For each room the rooms that it imports, and the files that do."""
    files = sorted(home.rglob("*.py"))
    rooms = {file.relative_to(home).parts[0].removesuffix(".py") for file in files} - {"__init__", "__main__"}
    graph: dict[str, dict[str, list[str]]] = {room: {} for room in rooms}
    for file in files:
        own = file.relative_to(home).parts[0].removesuffix(".py")
        for name in imported(ast.parse(file.read_text("utf-8"))) if own in rooms else ():
            other = room_of(name, rooms)
            if other and other != own:
                graph[own].setdefault(other, []).append(str(file.relative_to(home)))
    return graph


def reach_of(graph: dict[str, dict[str, list[str]]]) -> dict[str, set[str]]:
    """All rooms that a room imports, directly or through others."""
    reach = {room: set(others) for room, others in graph.items()}
    for middle in graph:
        for room in graph:
            if middle in reach[room]:
                reach[room] |= reach[middle]
    return reach


def circles(graph: dict[str, dict[str, list[str]]]) -> list[set[str]]:
    """Sets of rooms that reach each other."""
    reach = reach_of(graph)
    groups = [{b for b in graph if b in reach[a] and a in reach[b]} for a in graph]
    return [group for n, group in enumerate(groups) if group and group not in groups[:n]]


def longest_chain(graph: dict[str, dict[str, list[str]]]) -> list[str]:
    """The longest way down from room to room; a circle is walked once."""

    def below(room: str, way: tuple[str, ...]) -> tuple[str, ...]:
        ways = [below(other, (*way, other)) for other in graph[room] if other not in way]
        return max(ways, key=len, default=way)

    acyclic = not circles(graph)
    depth: dict[str, tuple[str, ...]] = {}

    def down(room: str) -> tuple[str, ...]:
        if room not in depth:
            depth[room] = (room, *max((down(other) for other in graph[room]), key=len, default=()))
        return depth[room]

    return [*max((down(room) if acyclic else below(room, (room,)) for room in graph), key=len)]


def lines(folder: Path) -> int:
    """Lines of all Python files of a folder."""
    return sum(len(file.read_text("utf-8").splitlines()) for file in folder.rglob("*.py"))


def long_functions(home: Path) -> list[str]:
    """Functions and files that are longer than they should be."""
    found = []
    for file in sorted(home.rglob("*.py")):
        text = file.read_text("utf-8")
        if len(text.splitlines()) > LONGEST_FILE:
            found.append(f"{file.relative_to(home)}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                count = node.end_lineno - node.lineno + 1
                if count > LONGEST_FUNCTION:
                    found.append(f"{file.relative_to(home)}: {node.name} of {count} lines")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?", default=Path(__file__).parent.parent)
    parser.add_argument("--edges", action="store_true", help="say which files tie two rooms together")
    asked = parser.parse_args()
    home = asked.tree / "src" / "rather"
    graph = graph_of(home)
    chain = longest_chain(graph)
    print(f"rooms {len(graph)}, edges {sum(map(len, graph.values()))}")
    print(f"longest chain {len(chain)}: {' > '.join(chain)}")
    print(f"circles {len(circles(graph))}: {'; '.join(', '.join(sorted(one)) for one in circles(graph))}")
    print(", ".join(f"{name} {lines(asked.tree / name)} lines" for name in ("src", "tests", "benchmarks")))
    print("\n".join(long_functions(home)) or "no function above 60 lines, no file above 350")
    for room, others in sorted(graph.items()) if asked.edges else ():
        for other, files in sorted(others.items()):
            print(f"{room} -> {other}: {', '.join(sorted(set(files)))}")


if __name__ == "__main__":
    main()
