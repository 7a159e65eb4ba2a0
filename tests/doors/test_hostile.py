"""What hostile senders send (reliability §3d): a clear refusal, quickly, nothing stored, and the next one is served."""

import asyncio
import gzip
import json
import zlib

from doors.door import Door, event, line, opened, sale
from evenstock.postgres.database import Database

QUICKLY_S = 5.0  # a bound on what must not hang, not a measure

GOOD = json.dumps(sale("X", "A")).encode()
QUANTITY = b'"quantity": 1'


def deep(opening: bytes, closing: bytes, levels: int) -> bytes:
    return opening * levels + closing * levels


def with_quantity(literal: bytes) -> bytes:
    assert QUANTITY in GOOD
    return GOOD.replace(QUANTITY, b'"quantity": ' + literal)


DEEP = {  # H1
    "100,000 arrays": deep(b"[", b"]", 100_000),
    "100,000 objects": deep(b'{"a":', b"}", 100_000)[:-100_000] + b"1" + b"}" * 100_000,
    "5,000,000 opened, none closed": b"[" * 5_000_000,
    "alternating": deep(b'[{"a":', b"}]", 50_000),
    "deep within data": GOOD[:-1] + b', "x": ' + deep(b"[", b"]", 40) + b"}",
}
NUMBERS = {  # H2
    "exponent": b"1e2000000", "exponent beyond float": b"1e400", "exponent beyond Decimal": b"1e99999999999999999999",
    "negative exponent": b"1e-400", "5,000 digits": b"9" * 5_000, "a million digits": b"9" * 1_000_000,
    "a million decimals": b"0." + b"1" * 1_000_000, "NaN": b"NaN", "Infinity": b"Infinity", "-Infinity": b"-Infinity",
    "underscore": b"1_000", "underscore in text": b'"1_000"', "full-width": "１２".encode(), "full-width in text": '"１２"'.encode(),
    "Arabic digits in text": '"\u0661"'.encode(), "leading zero": b"01", "leading zero in text": b'"01"', "plus": b'"+1"',
    "hexadecimal": b'"0x10"', "space": b'" 1"', "line feed": b'"1\\n"', "seven decimals": b"0.1234567",
    "sixteen digits": b"1234567890123456", "exponent in text": b'"1e3"', "NaN in text": b'"NaN"',
}  # fmt: skip
NAMES = {  # H3
    "at the top": b'{"id": "1", ' + GOOD[1:],
    "type twice": GOOD[:-1] + b', "type": "GoodsReceived.v1"}',
    "in data": GOOD.replace(b'"location"', b'"location": "0042", "location"'),
    "in a line": GOOD.replace(QUANTITY, QUANTITY + b', "quantity": 100'),
    "in what is not ours": GOOD[:-1] + b', "x": {"a": 1, "a": 2}}',
    "written with an escape": GOOD.replace(QUANTITY, QUANTITY + b', "\\u0071uantity": 100'),
}
TEXTS = {  # H4
    "NUL": "\\u0000", "lone surrogate": "\\ud800", "surrogates swapped": "\\udc00\\ud800", "right-to-left": "\u202e",
    "zero width": "\u200b", "NFD": "e\u0301", "line feed": "\\n", "escape": "\\u001b[31m", "BOM": "\ufeff", "DEL": "\x7f",
    "private use": "\ue000", "line separator": "\u2028",
}  # fmt: skip
NOT_JSON = {
    "empty": b"", "spaces": b"   ", "words": b"hello", "half": GOOD[: len(GOOD) // 2], "two": GOOD + GOOD, "comment": b"//\n" + GOOD,
    "single quotes": b"{'id': 1}", "trailing comma": GOOD[:-1] + b",}", "BOM": b"\xef\xbb\xbf" + GOOD,
    "not UTF-8": GOOD.replace(b'"A"', b'"\xff"'), "overlong": GOOD.replace(b'"A"', b'"\xc0\x80"'),
    "UTF-8 surrogate": GOOD.replace(b'"A"', b'"\xed\xa0\x80"'), "UTF-16": GOOD.decode().encode("utf-16"),
    "control character": GOOD.replace(b'"A"', b'"\x00"'), "XML": b"<?xml version='1.0'?><a/>", "NUL bytes": b"\x00" * 1000,
}  # fmt: skip
NOT_GZIP = {  # H6
    "200 MB of nothing": (413, gzip.compress(b" " * 200_000_000, 9)),
    "200 MB in a text": (413, gzip.compress(b'{"a": "' + b"0" * 200_000_000 + b'"}', 9)),
    "zipped twice": (400, gzip.compress(gzip.compress(GOOD))),
    "cut": (400, gzip.compress(GOOD)[:-9]),
    "only a header": (400, gzip.compress(GOOD)[:10]),
    "garbage": (400, b"\x00\x01\x02" * 100),
    "plain": (400, GOOD),
    "zlib": (400, zlib.compress(GOOD)),
    "wrong checksum": (400, gzip.compress(GOOD)[:-8] + b"\x00" * 8),
    "something behind": (400, gzip.compress(GOOD) + b"behind"),
    "another behind": (400, gzip.compress(GOOD) + gzip.compress(GOOD)),
    "nothing": (400, b""),
}


async def refused(door: Door, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """A clear refusal within bounds."""
    async with asyncio.timeout(QUICKLY_S):
        answer = await door.call("POST", "/v1/events", body, headers)
    assert 400 <= answer.status < 500, answer.raw[:300]
    assert len(answer.raw) < 4_000
    return answer.status, answer.body["code"]


async def nothing_was_stored_and_the_next_is_served(door: Door) -> None:
    assert (await door.get("/v1/movements")).body["data"] == []
    assert (await door.get("/v1/exceptions")).body["data"] == []
    assert (await door.report(sale("next", "A"))).outcomes == ["applied"]
    assert (await door.get("/readyz")).status == 200


async def test_depth_is_refused(door: Door) -> None:
    await door.know("A")
    for name, body in DEEP.items():
        assert await refused(door, body) == (400, "limit.depth"), name
    await nothing_was_stored_and_the_next_is_served(door)


async def test_number_bombs_are_refused(door: Door) -> None:
    await door.know("A")
    for name, literal in NUMBERS.items():
        status, code = await refused(door, with_quantity(literal))
        assert (status, code) in {(400, "json.malformed"), (422, "quantity.pattern")}, name
    await nothing_was_stored_and_the_next_is_served(door)


async def test_a_number_bomb_in_a_batch_spoils_only_itself(door: Door) -> None:
    await door.know("A")
    for number, literal in enumerate(text for text in NUMBERS.values() if is_json(text)):
        good = json.dumps(sale(str(number), "A", 1)).encode()
        answer = await door.call("POST", "/v1/events", b"[" + with_quantity(literal) + b"," + good + b"]")
        assert answer.outcomes == ["rejected", "applied"], literal[:50]
        assert answer.results[0]["code"] == "quantity.pattern"
        assert answer.results[0]["pointer"] == "/0/data/lines/0/quantity"


def is_json(literal: bytes) -> bool:
    try:
        json.loads(literal, parse_int=str, parse_float=str, parse_constant=int)
    except ValueError:
        return False
    return True


async def test_a_number_bomb_anywhere_is_no_fault_of_ours(door: Door) -> None:
    await door.know("A")
    for literal in (b"1e2000000", b"9" * 5_000, b"1e99999999999999999999"):
        for name in (b"id", b"time", b"sequence", b"epoch", b"data", b"note"):
            body = (
                GOOD[:-1].replace(b'"' + name + b'": ', b'"was": ') + b', "' + name + b'": ' + literal + b"}"
            )
            answer = await door.call("POST", "/v1/events", body)
            assert answer.status in {200, 422}, (name, answer.raw[:300])
            if answer.status == 200:
                assert answer.results[0].get("code") != "hub.bug"
        for path, entry in (
            ("items", b'{"sku": "B", "scale": %s}'), ("items", b'{"sku": "B", "uoms": {"CASE": %s}}'), ("locations", b'{"id": %s}'),
        ):  # fmt: skip
            body = b'{"%s": [%s]}' % (path.encode(), entry % literal)
            assert (await door.call("POST", f"/v1/{path}:batch", body)).status == 422


async def test_repeated_names_are_refused(door: Door) -> None:
    await door.know("A")
    for name, body in NAMES.items():
        assert await refused(door, body) == (422, "json.repeated_name"), name
    batch = await door.call("POST", "/v1/items:batch", b'{"items": [{"sku": "A", "sku": "B"}]}')
    assert batch.problem == (422, "json.repeated_name", "/items/0")
    await nothing_was_stored_and_the_next_is_served(door)


async def test_hostile_texts_are_refused_as_identifiers(door: Door) -> None:
    await door.know("A")
    for name, text in TEXTS.items():
        for place in ('"id": "X', '"source": "pos-nl', '"location": "0107', '"line": "1', '"sku": "A'):
            body = json.dumps(sale("X", "A")).replace(place, place + text).encode()
            status, code = await refused(door, body)
            assert (status, code) in {(422, "identifier.characters"), (400, "json.malformed")}, (name, place)
    await nothing_was_stored_and_the_next_is_served(door)


async def test_look_alikes_stay_apart(door: Door) -> None:
    await door.know("A", "\u0410", "Ａ", "a")  # Latin, Cyrillic, full-width, lower case
    await door.report(*(sale(sku, sku, number) for number, sku in enumerate("A\u0410Ａa", start=1)))
    assert [(await door.stock(sku))["on_hand"] for sku in "A\u0410Ａa"] == [-1, -2, -3, -4]


async def test_what_is_not_json_is_refused(door: Door) -> None:
    await door.know("A")
    for name, body in NOT_JSON.items():
        assert await refused(door, body) == (400, "json.malformed"), name
    await nothing_was_stored_and_the_next_is_served(door)


async def test_json_that_is_no_event_is_answered_as_such(door: Door) -> None:
    for value in (
        1,
        "x",
        None,
        True,
        {},
        {"type": 1},
        {"type": "Nothing.v1"},
        event("1", "SaleRecorded", {}),
    ):
        answer = await door.post("/v1/events", value)
        assert answer.outcomes == ["rejected"]
        assert answer.results[0]["code"] in {"event.malformed", "event.unknown_type"}
    many = await door.post("/v1/events", [1, [], None])
    assert many.outcomes == ["rejected"] * 3


async def test_zip_bombs_and_broken_zips_are_refused(door: Door) -> None:
    await door.know("A")
    assert len(NOT_GZIP["200 MB of nothing"][1]) < 200_000
    for name, (expected, body) in NOT_GZIP.items():
        status, _ = await refused(door, body, {"Content-Encoding": "gzip"})
        assert status == expected, name
    await nothing_was_stored_and_the_next_is_served(door)


async def test_a_hostile_event_among_good_ones_spoils_only_itself(door: Door) -> None:
    await door.know("A")
    hostile = [NAMES["in a line"], with_quantity(b"1e400"), GOOD.replace(b'"A"', b'"\\ud800"')]
    good = [json.dumps(sale(str(number), "A")).encode() for number in range(3)]
    pairs = [part for pair in zip(hostile, good, strict=True) for part in pair]
    answer = await door.call("POST", "/v1/events", b"[" + b",".join(pairs) + b"]")
    assert answer.outcomes == ["rejected", "applied"] * 3
    alone = await door.call("POST", "/v1/events", b"[" + b",".join(hostile) + b"]")
    assert alone.status == 422
    assert [result["outcome"] for result in alone.body["results"]] == ["rejected"] * 3


async def test_a_body_that_comes_too_slowly_is_refused(database: Database) -> None:
    async with opened(database, body_within_s=0.2) as door:
        await door.know("A")
        reader, writer = await raw(door, length=1000)
        writer.write(b"{")
        async with asyncio.timeout(QUICKLY_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await nothing_was_stored_and_the_next_is_served(door)


async def test_senders_that_hang_up_in_the_middle_leave_nothing_behind(door: Door) -> None:
    await door.know("A")
    for sent in (b"", b"{", GOOD[:-1]):
        for _ in range(20):
            _, writer = await raw(door, length=len(GOOD))
            writer.write(sent)
            writer.transport.abort()
    await nothing_was_stored_and_the_next_is_served(door)


async def test_what_is_not_http_is_refused(door: Door) -> None:
    await door.know("A")
    host, port = door.url.removeprefix("http://").split(":")
    for sent in (
        b"\x16\x03\x01" + b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"\r\n" * 10 + b"x\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(QUICKLY_S):
            answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
        writer.close()
    await nothing_was_stored_and_the_next_is_served(door)


async def raw(door: Door, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a request has begun."""
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {door.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()
    )
    await writer.drain()
    return reader, writer


async def test_a_long_ticket_is_within_bounds(door: Door) -> None:
    await door.know("A")
    lines = [line("A", 1, str(number)) for number in range(1_000)]
    events = [
        event(str(number), "SaleRecorded", {"location": "0107", "lines": lines}) for number in range(20)
    ]
    async with asyncio.timeout(6 * QUICKLY_S):
        assert (await door.report(*events)).outcomes == ["applied"] * 20
