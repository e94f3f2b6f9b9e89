"""The OpenAPI document of the routes that answer questions, made from the models that read and describe their bodies."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from rankwise.errors import NAME
from rankwise.serving.wire import Wire

PREFIX = "#/components/schemas/"
TOLD = {
    "/v1/models": "The models.",
    "/health": "Whether requests are answered: 200, or 503 while loading or draining.",
    "/livez": "Whether the process is alive.",
    "/info": "What the default model is, and the limits.",
    "/metrics": "What was counted, in Prometheus's text form.",
}


def document(asking: Mapping[str, Wire], *, needs_key: bool) -> dict[str, Any]:
    """OpenAPI 3.1; each schema is called after its wire module."""
    schemas = dict[str, Any]()
    paths = dict[str, Any]()
    for path, wire in asking.items():
        family = str(getattr(wire, "__name__", "")).rpartition(".")[-1]
        request, reply = (_schema(part, family, schemas) for part in (wire.request, wire.reply))
        refused = {"description": "Refused, with the reason.", "content": {"application/json": {}}}
        paths[path] = {
            "post": {
                "summary": (getattr(wire, "__doc__", None) or "").partition("\n")[0],
                "operationId": path.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace(":", "_")
                or "root",
                "tags": [family],
                **({"parameters": _parameters(path)} if "{" in path else {}),
                "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
                "responses": {
                    "200": {"description": "Answered.", "content": {"application/json": {"schema": reply}}},
                    **dict.fromkeys(("400", "401", "404", "413", "415", "422", "429", "500", "503"), refused),
                },
                **({"security": [{"bearer": []}]} if needs_key else {}),
            }
        }
    for path, summary in TOLD.items():
        responses = {"200": {"description": summary}}
        paths.setdefault(path, {})["get"] = {
            "summary": summary,
            "operationId": f"get{path.replace('/', '_')}",
            "responses": responses,
        }
    security = {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}} if needs_key else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "rankwise", "version": version(NAME), "description": "Text classifiers, for their own labels."},
        "paths": paths,
        "components": {"schemas": schemas, **security},
    }


def _parameters(path: str) -> list[dict[str, Any]]:
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _schema(part: Any, family: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to the schema of a model, or of a type of models; the schemas in it go into `schemas`."""
    template = f"{PREFIX}{family}.{{model}}"
    made: dict[str, Any] = TypeAdapter(part).json_schema(ref_template=template, schema_generator=GenerateJsonSchema)
    schemas.update({f"{family}.{name}": schema for name, schema in made.pop("$defs", {}).items()})
    if not (isinstance(part, type) and issubclass(part, BaseModel)):
        return made
    schemas[f"{family}.{part.__name__}"] = made
    return {"$ref": f"{PREFIX}{family}.{part.__name__}"}
