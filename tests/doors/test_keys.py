"""Keys: what each may do, that a revoked one stops everywhere soon, and that no stored one can be used."""

import asyncio
import subprocess

from doors.door import DEADLINE_S, Door, make_key, opened, sale
from evenstock import clock, wiring
from evenstock.api.app import OPERATIONS
from evenstock.api.operation import Operation
from evenstock.cli.keys import SCOPES
from evenstock.postgres import embedded, keys
from evenstock.postgres.database import Database

# A good call of every operation: the body of each, and its path. An operation that is missing here fails.
CALLS: dict[str, tuple[str, object]] = {
    "post_events": ("/v1/events", sale("1", "A")),
    "post_items": ("/v1/items:batch", {"items": [{"sku": "A"}]}),
    "post_locations": ("/v1/locations:batch", {"locations": [{"id": "0107"}]}),
    "post_connections": (
        "/v1/connections:batch",
        {"connections": [{"id": "web-recorder", "connector": "api"}]},
    ),
    "post_channels": ("/v1/channels:batch", {"channels": [{"id": "web", "locations": ["0107"]}]}),
    "post_hook": ("/v1/hooks/web-recorder", {}),
    "get_messages": ("/v1/messages", None),
    "get_files": ("/v1/files", None),
    "get_sources": ("/v1/sources", None),
    "translate_messages": ("/v1/messages:translate", {"connection": "web-recorder"}),
    "post_reservations": ("/v1/reservations", {"channel": "web"}),
    "get_reservation": ("/v1/reservations/rsv_1", None),
    "confirm_reservation": ("/v1/reservations/rsv_1:confirm", {}),
    "allocate_reservation": ("/v1/reservations/rsv_1:allocate", {"location": "0107"}),
    "release_reservation": ("/v1/reservations/rsv_1:release", {}),
    "get_availability": ("/v1/availability/A", None),
    "explain_availability": ("/v1/availability/A/explain", None),
    "query_availability": ("/v1/availability:query", {"skus": ["A"]}),
    "stream_availability": ("/v1/streams/availability?channel=web", None),
    "get_exposures": ("/v1/exposures", None),
    "get_exposure_log": ("/v1/exposures/log?channel=web", None),
    "get_connections": ("/v1/connections", None),
    "get_owners": ("/v1/owners", None),
    "post_owners": ("/v1/owners:batch", {"owners": [{"domain": "stock_ledger", "owner": "evenstock"}]}),
    "pause_connection": ("/v1/connections/web-recorder:pause", {}),
    "drain_connection": ("/v1/connections/web-recorder:drain", {}),
    "resume_connection": ("/v1/connections/web-recorder:resume", {}),
    "get_postings": ("/v1/postings", None),
    "get_posting": ("/v1/postings/pst_1", None),
    "retry_postings": ("/v1/postings:retry", {"connection": "web-recorder"}),
    "get_commands": ("/v1/commands", None),
    "get_command": ("/v1/commands/cmd_1", None),
    "retry_commands": ("/v1/commands:retry", {"connection": "web-recorder"}),
    "get_movements": ("/v1/movements", None),
    "get_exceptions": ("/v1/exceptions", None),
    "get_exception": ("/v1/exceptions/exc_1", None),
    "attend_exception": ("/v1/exceptions/exc_1:attend", {"note": "x"}),
    "post_replays": ("/v1/replays", {"step": "translate"}),
    "get_replays": ("/v1/replays", None),
    "get_replay": ("/v1/replays/rpl_99", None),
    "run_replay": ("/v1/replays/rpl_99:run", {}),
    "pause_replay": ("/v1/replays/rpl_99:pause", {}),
    "cancel_replay": ("/v1/replays/rpl_99:cancel", {}),
    "stop_replays": ("/v1/replays:stop", {}),
    "allow_replays": ("/v1/replays:allow", {}),
    "get_message": ("/v1/messages/msg_99", None),
    "edit_message": ("/v1/messages/msg_99:edit", {"body": "{}", "reason": "x"}),
    "get_traces": ("/v1/traces?order=none", None),
    "get_health": ("/healthz", None),
    "get_readiness": ("/readyz", None),
    "get_metrics": ("/metrics", None),
}
OPEN = {"get_health", "get_readiness"}
OF_ONE = {
    "get_posting",
    "get_command",
    "get_traces",
    "get_exception",
    "attend_exception",
    "get_replay",
    "run_replay",
    "pause_replay",
    "cancel_replay",
    "get_message",
    "edit_message",
}  # of something that is not there
SIGNED = {"post_hook"}  # the signature is the key


async def call(door: Door, operation: Operation) -> int:
    path, body = CALLS[operation.handler.__name__]
    if operation.media_type == "text/event-stream":  # it never ends: its beginning is enough
        headers = {} if door.key is None else {"Authorization": f"Bearer {door.key}"}
        async with door.session.get(door.url + path, headers=headers) as response:
            return response.status
    return (await (door.get(path) if body is None else door.post(path, body))).status


async def test_every_operation_needs_its_own_scope(door: Door, database: Database) -> None:
    await door.know("A")
    assert {operation.handler.__name__ for operation in OPERATIONS} == set(CALLS)
    doors = {
        scope: door.with_key(await make_key(database, f"only {scope}", scope))
        for scope in (*SCOPES, *(f"{scope.partition(':')[0]}:*" for scope in SCOPES[1:]))
    }
    for operation in OPERATIONS:
        name = operation.handler.__name__
        if name in SIGNED:
            assert operation.scope is None
            assert await call(door, operation) == 404, "it takes no webhooks"
            continue
        assert (operation.scope is None) == (name in OPEN), "only health is for everyone"
        assert operation.scope is None or operation.scope in SCOPES, "keys create knows the scope"
        assert await call(door.with_key(None), operation) == (200 if name in OPEN else 401)
        for scope, with_scope in doors.items():
            opens = operation.scope is None or scope in {
                "*",
                operation.scope,
                f"{operation.scope.partition(':')[0]}:*",
            }
            status = await call(with_scope, operation)
            assert (status != 403) == opens, (name, scope, status)
            assert status in {200, 201} or not opens or "reservation" in name or name in OF_ONE, (
                name,
                scope,
                status,
            )


async def test_the_document_needs_no_key(door: Door) -> None:
    assert (await door.with_key(None).get("/openapi.json")).status == 200


async def test_what_is_no_key_opens_nothing(door: Door) -> None:
    assert door.key is not None
    name, _, secret = door.key.removeprefix("evk_").partition("_")
    for header in (
        "", "Bearer", "Bearer ", f"Basic {door.key}", door.key, "Bearer evk_", "Bearer evk__", f"Bearer evk_{name}_",
        f"Bearer evk_{name}_{secret[:-1]}", f"Bearer evk_{name}_{secret}x", f"Bearer {name}_{secret}",
        f"Bearer EVK_{name}_{secret}", f"Bearer evk_{name.upper()}x_{secret}", f"Bearer {door.key},{door.key}",
        "Bearer evk_é_é", "Bearer evk_'--_x", f"Bearer evk_{'a' * 5000}_x",
    ):  # fmt: skip
        answer = await door.with_key(None).call("GET", "/v1/movements", headers={"Authorization": header})
        assert answer.status == 401, header
        assert answer.body["code"] in {"auth.missing", "auth.unknown_key"}
    in_the_url = await door.with_key(None).get("/v1/movements", key=door.key, access_token=door.key)
    assert in_the_url.status == 401
    assert (await door.get("/v1/movements")).status == 200


async def test_a_refusal_comes_before_the_body_is_read(door: Door) -> None:
    answer = await door.with_key(None).call("POST", "/v1/events", b"not even json")
    assert answer.problem[:2] == (401, "auth.missing")


async def test_a_revoked_key_stops_in_every_process_within_five_seconds(
    door: Door, database: Database
) -> None:
    key = await make_key(database, "till", "movements:read")
    async with opened(database) as second:
        both = [door.with_key(key), second.with_key(key)]
        for each in both:
            assert (await each.get("/v1/movements")).status == 200
        async with wiring.session(database, "tests") as db:
            assert await keys.revoke(db, key.split("_")[1], clock.now())
        async with asyncio.timeout(5):
            for each in both:
                while (await each.get("/v1/movements")).status == 200:
                    pass
        for each in both:
            assert (await each.get("/v1/movements")).problem[:2] == (401, "auth.unknown_key")


async def test_a_dump_of_the_database_holds_no_usable_key(door: Door, database: Database) -> None:
    assert door.key is not None
    _, name, secret = door.key.split("_", 2)
    dump = embedded.packaged_bin_dir() / "pg_dump"
    program = await asyncio.create_subprocess_exec(
        dump, f"--schema={database.schema}", database.url, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        text = (await program.communicate())[0].decode()
    assert name in text
    assert secret not in text
    stored = next(words for words in text.split() if words.startswith("\\\\x"))
    answer = await door.with_key(f"evk_{name}_{stored.removeprefix(chr(92) * 2 + 'x')}").get("/v1/movements")
    assert answer.status == 401


async def test_what_a_device_sends_and_we_refuse_is_kept_under_an_exception(
    door: Door, database: Database
) -> None:
    await door.know("A")
    device = door.with_key(await make_key(database, "pos-nl", "events:write", device=True))
    answer = await device.report(sale("1", "A"), {"id": "broken", "source": "pos-nl"})
    assert answer.outcomes == ["applied", "rejected"]
    (cause,) = (await door.get("/v1/exceptions", code="event.malformed")).body["data"]
    assert "pos-nl" in cause["detail"]
