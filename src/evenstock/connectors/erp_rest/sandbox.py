"""An ERP to rehearse against: documents change its stock once, are found by their reference, and lines can be refused.

It has nights of maintenance, jobs that take their time and jobs that never end.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

import msgspec

from evenstock.connectors.sandbox import PAGE, Answer, Asked, Controlled, answer_json
from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json

TOKEN: Final = "sandbox"  # noqa: S105 - it opens nothing but this sandbox
JOB_LOOKS: Final = 2  # until a job of this ERP has ended
PAGE_LINES: Final = 100


class _Line(msgspec.Struct):
    line: str
    item: str
    location: str
    quantity: int | Decimal
    uom: str


class _Given(msgspec.Struct):
    """A document as it is sent."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    type: str
    date: str
    lines: Annotated[list[_Line], msgspec.Meta(min_length=1, max_length=10_000)]


class Kept(msgspec.Struct):
    """A document, or the job that makes it: what is answered, and what is left to do."""

    reference: str
    key: str
    fingerprint: str
    answer: dict[str, Any]
    given: _Given
    looks: int = 0
    fate: Literal["", "later", "never", "failing"] = ""


class State(msgspec.Struct):
    """All that the ERP remembers."""

    items: list[str] = []
    stock: dict[str, dict[str, Decimal]] = {}  # location → item → on hand
    kept: dict[str, Kept] = {}  # by reference
    jobs: dict[str, str] = {}  # job → reference
    posted: int = 0
    closed_until: datetime | None = None


class _Stocked(msgspec.Struct, forbid_unknown_fields=True):
    item: str
    location: str
    quantity: int | Decimal


class _Maintenance(msgspec.Struct, forbid_unknown_fields=True):
    for_s: Annotated[float, msgspec.Meta(ge=0)]


class ErpSandbox:
    """One ERP."""

    name = "erp_rest"
    kinds: Mapping[str, str] = {
        "later": "a document is made by a job that ends after two looks",
        "never": "a document is left to a job that never ends",
        "failing": "a document is left to a job that fails",
    }

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.state: Any = State()
        self.controls: Mapping[str, Callable[[Any], Controlled]] = {
            "stock": self._stock,
            "maintenance": self._maintenance,
            "finish": self._finish,
        }

    def operation(self, asked: Asked) -> str:
        """The method and the first part of the path: `POST /documents`."""
        return f"{asked.method} /{asked.path.strip('/').partition('/')[0]}"

    def answer(self, asked: Asked) -> Answer:
        if self.state.closed_until is not None and self.state.closed_until > self._now():
            left = int((self.state.closed_until - self._now()).total_seconds()) + 1
            return Answer(503, PAGE, {"content-type": "text/html", "retry-after": str(left)})
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return answer_json({"code": "unauthorized", "message": "No such token."}, 401)
        operations = {
            "POST /documents": self._take,
            "GET /documents": self._find,
            "GET /jobs": self._job,
            "GET /stock": self._pages,
        }
        do = operations.get(self.operation(asked))
        return (
            do(asked) if do else answer_json({"code": "not_found", "message": "There is no such thing."}, 404)
        )

    def _take(self, asked: Asked) -> Answer:
        """A document comes in: once by its key, once by its reference."""
        key = asked.headers.get("idempotency-key", "")
        if not key:
            return answer_json({"code": "key_missing", "message": "Send an Idempotency-Key."}, 400)
        try:
            given = msgspec.convert(read_json(asked.body), _Given)
        except (Refusal, msgspec.ValidationError) as error:
            return answer_json({"code": "malformed", "message": str(error)}, 400)
        fingerprint = hashlib.sha256(asked.body).hexdigest()
        if (
            (failed := self.state.kept.get(given.reference)) is not None
            and failed.key != key
            and _failed(failed)
        ):
            del self.state.kept[given.reference]  # nothing came of it: its reference is free
        before = next((kept for kept in self.state.kept.values() if kept.key == key), None)
        if before is not None and before.fingerprint == fingerprint:
            return self._told(before)
        if wrong := self._wrong(given, is_reused=before is not None):
            return wrong
        kept = Kept(given.reference, key, fingerprint, {}, given)
        self.state.kept[given.reference] = kept
        if asked.fault in self.kinds:
            job = f"job-{len(self.state.jobs) + 1}"
            self.state.jobs[job] = given.reference
            kept.fate = asked.fault  # type: ignore[assignment]  # the kinds are the fates
            kept.answer = {"status": "running", "job": job}
        else:
            self._post(kept)
        return self._told(kept)

    def _wrong(self, given: _Given, *, is_reused: bool) -> Answer | None:
        """Why a document is not taken at all."""
        if is_reused:
            return answer_json({"code": "key_reused", "message": "This key came with another document."}, 422)
        if given.reference in self.state.kept:
            return answer_json(
                {"code": "reference_exists", "message": "This reference is posted already."}, 409
            )
        if all(line.item not in self.state.items for line in given.lines):
            return answer_json(
                {"code": "no_valid_line", "message": "No line names an item that we know."}, 422
            )
        return None

    def _find(self, asked: Asked) -> Answer:
        kept = self.state.kept.get(asked.query.get("reference", [""])[0])
        return answer_json({"documents": [kept.answer] if kept else []})

    def _told(self, kept: Kept) -> Answer:
        running = kept.answer["status"] == "running"
        return answer_json(kept.answer, 202 if running else 201, {"retry-after": "0"} if running else None)

    def _post(self, kept: Kept) -> None:
        """Into the books: the lines whose item is known; the others are refused."""
        self.state.posted += 1
        lines: list[dict[str, str]] = []
        for line in kept.given.lines:
            if line.item not in self.state.items:
                words = f"There is no item {line.item}."
                lines.append(
                    {"line": line.line, "status": "rejected", "code": "unknown_item", "message": words}
                )
                continue
            there = self.state.stock.setdefault(line.location, {})
            there[line.item] = there.get(line.item, Decimal(0)) + Decimal(line.quantity)
            lines.append({"line": line.line, "status": "posted"})
        kept.answer = {"status": "posted", "document": f"49{self.state.posted:08}", "lines": lines}

    def _job(self, asked: Asked) -> Answer:
        job = unquote(asked.path.rpartition("/")[2])
        if job not in self.state.jobs:
            return answer_json({"code": "not_found", "message": "There is no such job."}, 404)
        kept = self.state.kept[self.state.jobs[job]]
        kept.looks += 1
        if kept.answer["status"] == "running" and kept.looks >= JOB_LOOKS and kept.fate != "never":
            if kept.fate == "later":
                self._post(kept)
            else:
                kept.answer = {
                    "status": "failed",
                    "code": "period_closed",
                    "message": "The period is closed.",
                }
        return answer_json(kept.answer, headers={"retry-after": "0"})

    def _pages(self, asked: Asked) -> Answer:
        after = asked.query.get("after", ["0"])[0]
        rows = [
            {"item": item, "location": location, "quantity": quantity}
            for location, items in sorted(self.state.stock.items())
            for item, quantity in sorted(items.items())
        ]
        start = int(after) if after.isdigit() else 0
        end = start + PAGE_LINES
        return answer_json({"lines": rows[start:end], "next": str(end) if end < len(rows) else None})

    # the control

    def _stock(self, given: Any) -> Controlled:
        """Items and their stock, as somebody counted them in the ERP."""
        for each in msgspec.convert(given, list[_Stocked]):
            if each.item not in self.state.items:
                self.state.items.append(each.item)
            self.state.stock.setdefault(each.location, {})[each.item] = Decimal(each.quantity)
        return Controlled({"items": len(self.state.items)})

    def _maintenance(self, given: Any) -> Controlled:
        """Closed from now on, for so long; zero opens it."""
        for_s = msgspec.convert(given, _Maintenance).for_s
        self.state.closed_until = self._now() + timedelta(seconds=for_s)
        return Controlled({"closed_until": self.state.closed_until})

    def _finish(self, given: Any) -> Controlled:
        """Jobs that never end may end: at the next look."""
        del given
        waiting = [kept for kept in self.state.kept.values() if kept.fate == "never"]
        for kept in waiting:
            kept.fate = "later"
        return Controlled({"jobs": len(waiting)})


def _failed(kept: Kept) -> bool:
    return bool(kept.answer.get("status") == "failed")


sandbox = ErpSandbox
