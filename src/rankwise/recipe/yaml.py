"""YAML 1.2 text ↔ plain values, with the line of every key, so that an error can say where in the file it is.

`1e-4` is a number, `no` is a string. Only plain values pass: mappings, lists, strings, numbers, true, false and null.
"""

import io
import re
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from rankwise.errors import RecipeError, nearest

KeyPath = tuple[str | int, ...]  # of a value: its keys and list positions from the top
Lines = dict[KeyPath, str]  # where each key stands: "file.yaml:6", or "--set train.epochs=x"

LONGEST_QUOTE = 80  # characters of a value that a message quotes
MAX_BYTES = 1_000_000  # a recipe is a page; anything this large is another kind of file
MOST_VALUES = 200_000  # once anchors are expanded; scores of each rank of each layer are a fifth of it
MOST_CHARACTERS = 4 * MAX_BYTES  # likewise
DEEPEST = 50  # values in each other, of which a recipe has five
WIDEST_INDENT = 200  # columns before a line's first word, of which each may open one more
NOT_YAML = (YAMLError, ValueError, TypeError, RecursionError)  # what ruamel raises, for a broken number, tag or nesting too
SHIPPED = {"recipe": "recipe/builtin", "space": "sweep/spaces"}  # folders of the package that hold what ships
ORDER = (resources.files("rankwise") / "recipe/builtin/order.txt").read_text("utf-8").split()  # that of their reports


def shipped(kind: str) -> list[str]:
    """Names of the recipes, in the order of their reports, or of the spaces that ship with rankwise."""
    folder = resources.files("rankwise") / SHIPPED[kind]
    names = [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def read_text(name_or_path: str | Path, kind: str) -> tuple[str, str]:
    """(the origin that messages name, the YAML text) of a file, or of what ships under this name.

    `kind` is what the text holds, a recipe or a space. Raises RecipeError for what is no such file.
    """
    name = str(name_or_path)
    if name in shipped(kind):
        return f"{name}.yaml", (resources.files("rankwise") / SHIPPED[kind] / f"{name}.yaml").read_text("utf-8")
    path = Path(name)
    _check_file(path, kind)
    try:
        return name, path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: not UTF-8 at byte {error.start}; a {kind} is UTF-8 YAML") from error
    except PermissionError as error:
        raise RecipeError(f"{name}: no permission to read it") from error


def parse(origin: str, text: str, *, example: str = "base: minilm") -> tuple[dict[str, Any], Lines]:
    """(plain values, the line of each key) of a YAML mapping. Raises RecipeError, which begins with `origin`."""
    lines: Lines = {}
    _check_depth(origin, text)
    try:
        loaded = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{origin}{line}: {(error.problem or 'not YAML').splitlines()[0]}") from error
    except NOT_YAML as error:
        raise RecipeError(f"{origin}: {error}") from error
    if not isinstance(loaded, dict):
        kind = "a list" if isinstance(loaded, list) else quote(loaded)
        raise RecipeError(f"{origin}: expected a mapping such as '{example}', found {kind}")
    return _Plain(origin, lines).of(loaded, ()), lines


def parse_value(origin: str, text: str) -> Any:
    """A single plain value, as one types it after `--set key=`; nothing is an empty string. Raises RecipeError."""
    _check_depth(origin, text)
    try:
        return _Plain(origin, {}).of(YAML(typ="rt").load(text) if text.strip() else "", ())
    except MarkedYAMLError as error:
        raise RecipeError(f"{origin}: the value is not YAML ({error.problem})") from error
    except NOT_YAML as error:
        raise RecipeError(f"{origin}: {error}") from error


def dump(values: dict[str, Any]) -> str:
    """The YAML text of plain values, which reads back as the same values."""
    stream = io.StringIO()
    writer = YAML()
    writer.width = 110
    writer.default_flow_style = None
    writer.dump(_with_quotes(values), stream)
    return stream.getvalue()


def line_of(path: KeyPath, lines: Lines, origin: str) -> str:
    """Where a key stands, or the nearest key above it that stands anywhere; else the origin."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, origin)


def quote(value: Any) -> str:
    """A value as a message quotes it: `'x'`, `[1, 2]`, `nothing` for null; cut where it is long."""
    text = repr(value)
    return "nothing" if value is None else text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"


def _check_file(path: Path, kind: str) -> None:
    """Raise RecipeError unless the path is a file that may hold this kind of YAML."""
    name, known = str(path), ", ".join(shipped(kind))
    other, verb = {"recipe": ("space", "sweep"), "space": ("recipe", "train")}[kind]
    if name in shipped(other):
        raise RecipeError(f"'{name}' is a {other}; type: rankwise {verb} {name}")
    if path.is_dir():
        raise RecipeError(f"{name} is a folder; expected a YAML file or a built-in {kind}: {known}")
    if not path.exists():
        if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
            raise RecipeError(f"{name}: no such file; expected a YAML file or a built-in {kind}: {known}")
        raise RecipeError(f"no {kind} is called '{name}'{nearest(name, shipped(kind)) or '.'} Built in: {known}")
    if path.stat().st_size > MAX_BYTES:
        raise RecipeError(f"{name} has {path.stat().st_size:,} bytes; a {kind} has fewer than {MAX_BYTES:,}")


def _check_depth(origin: str, text: str) -> None:
    """Raise RecipeError for values that are nested so deep that parsing them would take minutes or all of the stack.

    Brackets are counted wherever they stand; so many are open in no recipe's strings either.
    """
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEEPEST:
            break
    if depth > DEEPEST or re.search(rf"^[-?: \t]{{{WIDEST_INDENT}}}", text, re.MULTILINE):
        raise RecipeError(f"{origin}: values are nested more than {DEEPEST} deep, which no recipe's are")


class _Plain:
    """ruamel's nodes as plain values; the lines of their keys are added to `lines`."""

    def __init__(self, origin: str, lines: Lines) -> None:
        self.origin, self.lines = origin, lines
        self.values = self.characters = 0

    def of(self, node: Any, path: KeyPath) -> Any:
        """A node as plain values. Raises RecipeError for what is none, and for more than a recipe holds."""
        tag = getattr(getattr(node, "tag", None), "value", None)
        if (tag and not str(tag).startswith("tag:yaml.org,2002:")) or "python/" in str(tag or ""):
            raise RecipeError(f"{self.origin}: the tag {tag} is not allowed; a recipe holds plain values")
        self._count(node, path)
        if isinstance(node, dict):
            plain = {}
            for key, value in node.items():
                if isinstance(node, CommentedMap) and (mark := (node.lc.data or {}).get(key)):  # merged keys have no mark
                    self.lines[(*path, str(key))] = f"{self.origin}:{mark[0] + 1}"
                plain[str(key)] = self.of(value, (*path, str(key)))
            return plain
        if isinstance(node, list):
            return [self.of(value, (*path, index)) for index, value in enumerate(node)]
        if isinstance(node, bool) or node is None:
            return node
        for kind in (int, float, str):
            if isinstance(node, kind):
                return kind(node)
        what = f"{node!r} ({type(node).__name__})"
        raise RecipeError(f"{self.origin}: {what} is not a value that a recipe holds; quote it")

    def _count(self, node: Any, path: KeyPath) -> None:
        """Raise RecipeError where anchors expand to more than a recipe holds, or a value holds itself."""
        self.values += 1
        self.characters += len(str(path[-1])) if path else 0
        self.characters += len(node) if isinstance(node, str) else 0
        if self.values > MOST_VALUES or self.characters > MOST_CHARACTERS or len(path) > DEEPEST:
            raise RecipeError(f"{self.origin}: its anchors expand to more than a recipe holds; write the values out")


def _with_quotes(node: Any) -> Any:
    """Plain values, with quotes around strings that ruamel would write bare and read back as another value: `[?]`, `[:)]`."""
    if isinstance(node, dict):
        return {_with_quotes(key): _with_quotes(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_quotes(value) for value in node]
    if isinstance(node, str) and (node.startswith(("?", ":")) or "\x85" in node):
        return DoubleQuotedScalarString(node)
    return node
