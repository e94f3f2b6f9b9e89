"""YAML 1.2 text ↔ plain values, with the line of every key, so that an error can say where in the file it is.

`1e-4` is a number, `no` is a string. Only plain values pass: mappings, lists, strings, numbers, true, false and null.
"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rankwise.errors import RecipeError, nearest

KeyPath = tuple[str | int, ...]  # of a value: its keys and list positions from the top
Lines = dict[KeyPath, str]  # where each key stands: "file.yaml:6", or "--set train.epochs=x"

LONGEST_QUOTE = 80  # characters of a value that a message quotes
MAX_BYTES = 1_000_000  # a recipe is a page; anything this large is another kind of file
MOST_VALUES = 200_000  # once anchors are expanded; scores of each rank of each layer are a fifth of it
MOST_CHARACTERS = 4 * MAX_BYTES  # likewise
DEEPEST = 50  # values in each other, of which a recipe has five
WIDEST_INDENT = 200  # columns before a line's first word, of which each may open one more
NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)  # what PyYAML raises, for characters that are none and nesting too
HALVES = re.compile(r"(?<!\\)(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+")
"""Escapes that JSON has for one character and libyaml for none, though YAML takes JSON."""
LINE_BREAKS = set("\x85\u2028\u2029")
CORE = "tag:yaml.org,2002:"
PLAIN_WORDS = {  # YAML 1.2's: PyYAML's own are those of 1.1, in which `no` is false and `1e-4` a string
    f"{CORE}null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    f"{CORE}bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    f"{CORE}int": (r"[-+]?[0-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+", list("-+0123456789")),
    f"{CORE}float": (
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    f"{CORE}timestamp": (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t][0-9:. \tZ+-]*)?", list("0123456789")),
    f"{CORE}merge": (r"<<", ["<"]),
}
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
    plain = _Plain(origin)
    try:
        loaded = plain.of(_composed(origin, text), ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{origin}{line}: {(error.problem or 'not YAML').splitlines()[0]}") from error
    except NOT_YAML as error:
        raise RecipeError(f"{origin}: {str(error).splitlines()[0]}") from error
    if not isinstance(loaded, dict):
        kind = "a list" if isinstance(loaded, list) else quote(loaded)
        raise RecipeError(f"{origin}: expected a mapping such as '{example}', found {kind}")
    return loaded, plain.lines


def parse_value(origin: str, text: str) -> Any:
    """A single plain value, as one types it after `--set key=`; nothing is an empty string. Raises RecipeError."""
    try:
        return _Plain(origin).of(_composed(origin, text), ()) if text.strip() else ""
    except yaml.MarkedYAMLError as error:
        raise RecipeError(f"{origin}: the value is not YAML ({error.problem})") from error
    except NOT_YAML as error:
        raise RecipeError(f"{origin}: {str(error).splitlines()[0]}") from error


def dump(values: dict[str, Any], *, wide: bool = True) -> str:
    """The YAML text of plain values, which reads back as the same values; `wide`: lists and short mappings in a line each."""
    flow = None if wide else False
    return str(yaml.dump(values, Dumper=_Dumper, default_flow_style=flow, width=110, allow_unicode=True, sort_keys=False))


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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Text as nodes, scalars tagged as YAML 1.2 has them."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


class _Dumper(yaml.SafeDumper):
    """Plain values as text, with quotes around strings that YAML 1.2 or 1.1 would read as something else."""

    def ignore_aliases(self, _: Any) -> bool:
        """Write values out that stand in several places."""
        return True

    def represent_str(self, data: str) -> ScalarNode:
        """Of the line breaks that other alphabets have, which PyYAML would fold, escapes."""
        return self.represent_scalar(f"{CORE}str", data, style='"' if LINE_BREAKS & set(data) else None)


_Dumper.add_representer(str, _Dumper.represent_str)
for _tag, (_pattern, _first) in PLAIN_WORDS.items():
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def _composed(origin: str, text: str) -> Node | None:
    _check_depth(origin, text)
    if "\\" in text:
        text = HALVES.sub(lambda found: json.loads(f'"{found[0]}"'), text)
    return yaml.compose(text, Loader=_Loader)


class _Plain:
    """Nodes as plain values; `lines` has where their keys stand."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.lines: Lines = {}
        self.values = self.characters = 0
        self._known: dict[int, dict[str, tuple[int, Node]]] = {}

    def of(self, node: Node | None, path: KeyPath) -> Any:
        """A node as plain values. Raises RecipeError for what is none, and for more than a recipe holds."""
        if node is None:
            return None
        self._count(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{CORE}seq":
            return [self.of(value, (*path, index)) for index, value in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == f"{CORE}map":
            plain = {}
            for name, (line, value) in self._pairs(node).items():
                self.lines[(*path, name)] = f"{self.origin}:{line}"
                plain[name] = self.of(value, (*path, name))
            return plain
        return self._scalar(node)

    def _scalar(self, node: Node) -> Any:
        kind, written = node.tag.removeprefix(CORE), str(node.value)
        number = written.replace("_", "")
        match kind:
            case "str":
                return written
            case "null":
                return None
            case "bool":
                return written.lower() == "true"
            case "int":
                return int(number, 0) if number[:2] in ("0o", "0x", "0b") else int(number)
            case "float":
                return float(re.sub(r"\.(inf|nan)", r"\1", number, flags=re.IGNORECASE))
            case "timestamp":
                raise RecipeError(f"{self.origin}: {written} (a date) is not a value that a recipe holds; quote it")
        raise RecipeError(f"{self.origin}: the tag {node.tag} is not allowed; a recipe holds plain values")

    def _pairs(self, node: MappingNode) -> dict[str, tuple[int, Node]]:
        """The line and value of each key, of what is merged into a mapping too, where its own keys do not say otherwise.

        Raises RecipeError for a key that stands twice, and for what can be neither a key nor merged.
        """
        if (known := self._known.get(id(node))) is not None:
            return known
        own, merged = dict[str, tuple[int, Node]](), dict[str, tuple[int, Node]]()
        self._known[id(node)] = {}  # of a mapping that is merged into itself
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{CORE}merge":
                several = value.value if isinstance(value, SequenceNode) else [value]
                if not all(isinstance(one, MappingNode) for one in several):
                    raise RecipeError(f"{self.origin}:{line}: expected a mapping to merge after '<<', or a list of them")
                for one in several:
                    merged = {**self._pairs(one), **merged}
                continue
            if not isinstance(key, ScalarNode):
                raise RecipeError(f"{self.origin}:{line}: a key is a {key.id}; expected a word")
            name = str(self._scalar(key))
            if name in own:
                raise RecipeError(f"{self.origin}:{line}: found duplicate key '{name}'; the first is in line {own[name][0]}")
            own[name] = (line, value)
        self._known[id(node)] = {**merged, **own}
        return self._known[id(node)]

    def _count(self, node: Node, path: KeyPath) -> None:
        """Raise RecipeError where anchors expand to more than a recipe holds, or a value holds itself."""
        self.values += 1
        self.characters += len(str(path[-1])) if path else 0
        self.characters += len(node.value) if isinstance(node, ScalarNode) else 0
        if self.values > MOST_VALUES or self.characters > MOST_CHARACTERS or len(path) > DEEPEST:
            raise RecipeError(f"{self.origin}: its anchors expand to more than a recipe holds; write the values out")
