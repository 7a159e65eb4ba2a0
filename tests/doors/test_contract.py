"""The OpenAPI document is the contract: generated calls, odd and plain, are answered as it says, and never with a fault."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from doors.door import Process, make_key
from evenstock.api.app import OPERATIONS
from evenstock.postgres.database import Database

EXAMPLES = [15, pytest.param(300, marks=pytest.mark.deep)]  # of each operation and mode
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
TAKING = {operation.path for operation in OPERATIONS if operation.body is not None or operation.parameters}
ENDLESS = {operation.path for operation in OPERATIONS if operation.media_type == "text/event-stream"}
WANTED = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "ignored_auth", "unsupported_method",
)  # fmt: skip


@pytest.fixture
def served(runner: asyncio.Runner, database: Database) -> Iterator[tuple[str, str]]:
    """The URL of a running hub, in a process of its own, and a key."""
    key = runner.run(make_key(database, "pos-nl", "*"))
    at = ("--database-url", database.url, "--schema", database.schema)
    process = runner.run(Process.start("--port", "0", *at))
    yield process.url, key
    assert runner.run(process.end()) == 0


@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_generated_call_is_answered_otherwise_than_documented(
    served: tuple[str, str], examples: int
) -> None:
    url, key = served
    schema = schemathesis.openapi.from_url(url + "/openapi.json")
    checks: list[Any] = list(CHECKS.get_by_names(list(WANTED)))
    seen = set()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), "the document has an operation that cannot be read"
        operation = result.ok()
        seen.add((operation.method.upper(), operation.path))
        if operation.path in ENDLESS:
            continue  # each good call of it never ends; test_channels follows it
        for mode in MODES if operation.path in TAKING else MODES[:1]:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples, deadline=None, database=None, derandomize=True, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            def answered_as_documented(case: "schemathesis.Case[Any]") -> None:
                case.call_and_validate(checks=checks, headers={"Authorization": f"Bearer {key}"})

            answered_as_documented()
    assert seen == {(operation.method, operation.path) for operation in OPERATIONS}
