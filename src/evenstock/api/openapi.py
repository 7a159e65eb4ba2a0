"""The OpenAPI 3.1 document, made from the operations and the types they really read and write."""

from collections.abc import Sequence
from typing import Any

import msgspec

from evenstock import __version__
from evenstock.api.operation import Operation
from evenstock.core.errors import MEANINGS
from evenstock.core.problems import MEDIA_TYPE, ProblemDocument
from evenstock.core.quantity import PATTERN, Quantity

REF = "#/components/schemas/{name}"
EVERY_OPERATION = ("hub.bug", "hub.memory_away")
WITH_KEY = ("auth.missing", "auth.unknown_key", "auth.scope")
WITH_BODY = (
    "json.malformed",
    "json.repeated_name",
    "request.malformed",
    "request.media_type",
    "request.encoding",
    "request.slow",
    "limit.body",
    "limit.depth",
)
WITH_PARAMETERS = ("request.malformed",)


def schema_hook(kind: type) -> dict[str, Any]:
    """The schema of our own value types."""
    if kind is Quantity:
        return {
            "anyOf": [{"type": "number"}, {"type": "string", "pattern": PATTERN}],
            "description": "A plain decimal, read exactly.",
        }
    raise NotImplementedError(f"no schema for {kind.__name__}")


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    bodies = [operation.body for operation in operations if operation.body is not None]
    answers = [kind for operation in operations for kind in operation.answers.values() if kind is not None]
    kinds = [*bodies, *answers, ProblemDocument]
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=schema_hook, ref_template=REF)
    by_kind = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Evenstock",
            "version": __version__,
            "summary": "The stock hub of a retail estate.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "evk_… from `evenstock keys create`",
                }
            },
        },
    }


def _operation(operation: Operation, by_kind: dict[int, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "responses": _responses(operation, by_kind),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.scope is not None:
        described["security"] = [{"key": []}]
        described["x-scope"] = operation.scope
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.where,
                "required": parameter.where == "path",
                "description": parameter.description,
                "schema": dict(parameter.schema),
            }
            for parameter in operation.parameters
        ]
    if operation.raw_body:
        described["requestBody"] = {"required": True, "content": {"*/*": {"schema": {}}}}
    if operation.body is not None:
        content = {"schema": by_kind[id(operation.body)]}
        media_types = ["application/json"]
        if operation.path == "/v1/events":
            media_types += ["application/cloudevents+json", "application/cloudevents-batch+json"]
        described["requestBody"] = {"required": True, "content": dict.fromkeys(media_types, content)}
    return described


def _responses(operation: Operation, by_kind: dict[int, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in operation.answers.items():
        content = (
            {operation.media_type: {"schema": {"type": "string"}}}
            if kind is None
            else {"application/json": {"schema": by_kind[id(kind)]}}
        )
        responses[str(status)] = {"description": operation.summary, "content": content}
    codes = [*EVERY_OPERATION, *operation.refusals]
    codes += WITH_KEY if operation.scope is not None else ()
    codes += WITH_BODY if operation.body is not None else ()
    codes += WITH_PARAMETERS if operation.parameters else ()
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(MEANINGS[code].status, []).append(code)
    for status, found in sorted(by_status.items()):
        if str(status) in responses:
            responses[str(status)]["content"][MEDIA_TYPE] = {
                "schema": {"$ref": REF.format(name="ProblemDocument")}
            }
            continue
        responses[str(status)] = {
            "description": ", ".join(sorted(set(found))),
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="ProblemDocument")}}},
        }
    return responses
