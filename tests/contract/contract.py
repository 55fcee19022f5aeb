"""openapi.yaml as the tests use it: its operations, its schemas, and what they say of a document."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

METHODS = ("get", "post", "put", "patch", "delete")
PATH = Path(__file__).parents[2] / "openapi.yaml"


@cache
def contract() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return document


@dataclass(frozen=True)
class Promised:
    """One operation as openapi.yaml promises it."""

    method: str
    path: str
    raw: dict[str, Any]
    parameters: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def parameter_names(self, place: str) -> set[str]:
        return {parameter["name"] for parameter in self.parameters if parameter["in"] == place}

    @property
    def request_schema(self) -> dict[str, Any] | None:
        body = resolved(self.raw.get("requestBody", {}))
        schema: dict[str, Any] | None = body.get("content", {}).get("application/json", {}).get("schema")
        return schema

    def answer_schema(self, status: int) -> dict[str, Any] | None:
        """The schema of the one kind of content that a status has; None for no content. KeyError: no such status."""
        content = resolved(self.raw["responses"][str(status)]).get("content", {})
        return next((resolved(media)["schema"] for media in content.values()), None)

    def answer_headers(self, status: int) -> dict[str, dict[str, Any]]:
        """The headers that an answer of this status may have, by their names in lower case."""
        headers = resolved(self.raw["responses"][str(status)]).get("headers", {})
        return {name.lower(): resolved(header) for name, header in headers.items()}

    def answer_type(self, status: int) -> str | None:
        return next(iter(resolved(self.raw["responses"][str(status)]).get("content", {})), None)


def promised() -> Iterator[Promised]:
    """Every operation, in the order of the file."""
    for path, item in contract()["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = [*item.get("parameters", []), *item[method].get("parameters", [])]
                yield Promised(method.upper(), path, item[method], tuple(map(resolved, parameters)))


def operation_at(method: str, target: str) -> Promised:
    """The operation that a request is for; KeyError where there is none. Literal paths stand before templates."""
    path = target.partition("?")[0]
    candidates = sorted(promised(), key=lambda operation: "{" in operation.path)
    for operation in candidates:
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(pattern, path):
            return operation
    raise KeyError(f"{method} {path}")


def answer_faults(operation: Promised, *, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """What openapi.yaml has against an answer: its status, its type, its headers, its shape."""
    if str(status) not in operation.raw["responses"]:
        return [f"status: {status}"]
    found = header_faults(headers, operation, status)
    if headers.get("content-type") != operation.answer_type(status):
        found.append(f"type: {headers.get('content-type')}")
    schema = operation.answer_schema(status)
    if schema is None:
        return found if body == b"" else [*found, "a body where none was promised"]
    return found + faults(json.loads(body), schema)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """The node itself, or what its `$ref` stands for."""
    while "$ref" in node:
        target: dict[str, Any] = contract()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def schema_of(name: str) -> dict[str, Any]:
    return resolved({"$ref": f"#/components/schemas/{name}"})


# HTTP's own, and those that every answer has (`cache-control: no-store`, `x-content-type-options: nosniff`).
UNPROMISED = {"cache-control", "content-length", "content-type", "date", "x-content-type-options"}


def header_faults(names: Iterable[str], operation: Promised, status: int) -> list[str]:
    """Headers that were promised and are not there, or are there and were not promised."""
    promised = operation.answer_headers(status)
    there = {name.lower() for name in names} - UNPROMISED
    missing = {name for name, header in promised.items() if header.get("required")} - there
    return [f"missing: {name}" for name in sorted(missing)] + [f"extra: {name}" for name in sorted(there - {*promised})]


def faults(document: object, schema: dict[str, Any]) -> list[str]:
    """What the schema has against the document, in JSON Schema 2020-12 with formats."""
    whole = schema | {"components": contract()["components"]}
    validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
