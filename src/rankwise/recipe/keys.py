"""What each key of a recipe means, as a page in Markdown, made from the specs: types, defaults, and the text under fields.

`rankwise recipes keys` prints it, and docs/keys.md is what that printed.
"""

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from rankwise.recipe.recipe import Recipe
from rankwise.recipe.values import one_or_many, share, share_or_count

HEAD = """\
# The keys of a recipe

Made from the specs by `rankwise recipes keys`. On the command line `--set KEY=VALUE` changes one, as in
`--set train.epochs=2`; in a YAML file each dot is a level; from Python `Recipe.load("auto", {"train.epochs": 2})`. An unknown
key, a wrong type and a value out of range are refused.
"""
TABLE = "| key | takes | when left out | what it means |\n|---|---|---|---|\n"
BOUNDS = {Gt: ("gt", "above {}"), Ge: ("ge", "{} or more"), Lt: ("lt", "below {}"), Le: ("le", "at most {}")}
WRITTEN = {share: "a number or a share, such as `10%`", share_or_count: "a share, such as `10%`, or a whole number"}


def page() -> str:
    """The page."""
    return HEAD + "".join(_section(Recipe, (), {}))


def _section(model: type[BaseModel], path: tuple[str, ...], told: dict[type[BaseModel], str]) -> Iterator[str]:
    """A spec's keys as a table, and the sections below them; `told` are the specs that had theirs, by where that was."""
    texts, below, rows = _texts(model), [], []
    for name, field in model.model_fields.items():
        keys, specs = (*path, name), _specs(field.annotation)
        meaning = texts.get(name) or (_sentence(specs[0]) if specs else "")
        if name == "policy" and not meaning:
            continue
        rows.append(f"| `{'.'.join(keys)}` | {_takes(field)} | {_default(field)} | {_cell(meaning)} |\n")
        below += [(spec, keys) for spec in specs]
    if rows:
        yield f"\n{TABLE}{''.join(rows)}"
    for spec, keys in below:
        policy, dotted = spec.model_fields.get("policy"), ".".join(keys)
        yield f"\n{'#' * (1 + len(keys))} `{dotted}`{f': {get_args(policy.annotation)[0]}' if policy else ''}\n"
        if spec in told:
            yield f"\nWith the keys of `{told[spec]}`.\n"
            continue
        told[spec] = dotted
        yield f"\n{_sentence(spec)}\n"
        yield from _section(spec, keys, told)


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """The text under each field."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


def _sentence(model: type[BaseModel]) -> str:
    return " ".join(inspect.cleandoc(vars(model)["__doc__"]).split())


def _takes(field: FieldInfo) -> str:
    return _cell(_kind(field.annotation, field.metadata))


def _kind(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a value may be, in words."""
    arguments, origin = get_args(annotation), get_origin(annotation)
    if origin is Annotated:
        return _kind(arguments[0], [*arguments[1:], *metadata])
    before = [mark.func for mark in metadata if isinstance(mark, BeforeValidator)]
    if written := next((WRITTEN[function] for function in before if function in WRITTEN), ""):
        return written + _bounds(metadata)
    if origin in (Union, types.UnionType):
        kinds = dict.fromkeys(_kind(argument, metadata) for argument in arguments if argument is not types.NoneType)
        return " or ".join([*kinds, *(["`null`"] if types.NoneType in arguments else [])])
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        one = _kind(arguments[0])
        if arguments[-1] is not Ellipsis:
            return f"a list of {len(arguments)}: {one}"
        return f"{one}, or a list" if one_or_many in before else f"a list: {one}"
    if origin is dict:
        return f"a mapping: {_kind(arguments[1])} for each name"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section"
    return {bool: "`true`, `false`", int: "a whole number", float: "a number", str: "text"}[annotation] + _bounds(metadata)


def _bounds(metadata: Sequence[Any]) -> str:
    """` (1 or more)`, of a number."""
    marks = [inner for mark in metadata for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
    limits = {kind: getattr(mark, BOUNDS[kind][0]) for kind in BOUNDS for mark in marks if type(mark) is kind}
    if Gt in limits:
        limits.pop(Ge, None)
    told = [BOUNDS[kind][1].format(f"{limit:,}") for kind, limit in limits.items()]
    return f" ({', '.join(told)})" if told else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if isinstance(field.default, BaseModel):
        return ""
    value = json.dumps(field.default, ensure_ascii=False)
    return "" if value in ("null", "[]", "{}", '""') else f"`{value.strip(chr(34))}`"


def _specs(annotation: Any) -> list[type[BaseModel]]:
    """The specs that a value may be, in the order of the annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    arguments = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType, Annotated) else ()
    return [spec for argument in arguments for spec in _specs(argument)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
