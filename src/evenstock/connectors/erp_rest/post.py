"""Putting postings into an ERP's books, once each, also when nobody knows what became of the first try.

What may have been done is looked up by our reference before it is sent again, and it is sent with the same key and the same bytes.
A job is looked at a few times; one that takes longer is Unknown, and found again by the reference.
"""

import asyncio
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from evenstock.connectors.calling import call, json_of, not_understood, secret, wait_of
from evenstock.connectors.contract import (
    Done,
    Failed,
    Outcome,
    PartlyDone,
    Posting,
    RefusedLine,
    Rejected,
    Reply,
    Unknown,
    World,
)
from evenstock.connectors.erp_rest.settings import Settings
from evenstock.connectors.erp_rest.shapes import Complaint, Document, Documents

LOOKS_MAX: Final = 4  # at a job, in one call
LOOK_AFTER_S: Final = 0.25  # unless the ERP names a time
LOOK_AFTER_MAX_S: Final = 1.0
CALL_WITHIN_S: Final = 4.0  # each, so that all of them end before the caller's patience

T = TypeVar("T")
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


async def post(settings: Settings, world: World, posting: Posting) -> Outcome | PartlyDone:
    """Post it; the ERP's number of the document, when it is in the books."""
    try:
        erp = Erp(settings, world, await secret(world, settings.token))
        document = await erp.find(posting.reference) if posting.again else None
        if document is None:
            document = await erp.send(posting)
        return _outcome(await erp.ended(document), posting)
    except Failed as failed:
        return failed.outcome


class Erp:
    """The ERP, for the time of one call of the connector."""

    def __init__(self, settings: Settings, world: World, token: str) -> None:
        self._settings = settings
        self._world = world
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._wait_s = LOOK_AFTER_S

    async def find(self, reference: str) -> Document | None:
        """The document of our reference, if there is one.

        Raises Failed.
        """
        found = (await self.get(self._settings.documents, Documents, reference=reference)).documents
        if len(found) > 1:
            numbers = ", ".join(str(each.document or each.job) for each in found[:5])
            raise Failed(Rejected(f"The ERP has {reference} {len(found)} times: {numbers}.", "posted_twice"))
        return found[0] if found else None

    async def send(self, posting: Posting) -> Document:
        """Send it; the document, or the job that makes it.

        Raises Failed.
        """
        reply = await self._call(
            "POST",
            self._settings.documents,
            changes=True,
            headers={"Content-Type": "application/json", self._settings.key_header: posting.key},
            body=_encoder.encode(self._told(posting)),
            takes=(400, 409, 422),
        )
        if reply.status in {400, 422}:
            complaint = _read(reply, Complaint, changes=True)
            raise Failed(Rejected(complaint.message or f"The ERP answered {reply.status}.", complaint.code))
        if reply.status == 409:  # it is there already, under whatever key
            found = await self.find(posting.reference)
            if found is None:
                complaint = _read(reply, Complaint, changes=True)
                raise Failed(Rejected(complaint.message or "The ERP answered 409.", complaint.code))
            return found
        return _read(reply, Document, changes=True)

    async def ended(self, document: Document) -> Document:
        """The document once its job has ended; as it is after a few looks, if that goes on.

        Raises Failed.
        """
        for _ in range(LOOKS_MAX):
            if document.status != "running":
                return document
            if document.job is None:
                raise not_understood("it is running and names no job", changes=True)
            await asyncio.sleep(self._wait_s)
            try:
                document = await self.get(f"{self._settings.jobs}/{quote(document.job, safe='')}", Document)
            except Failed as failed:  # the job goes on, whatever became of our question
                raise Failed(Unknown(f"Job {document.job}: {failed.outcome.detail}")) from failed
        return document

    async def get(self, path: str, kind: type[T], **query: str) -> T:
        """Ask for something. Raises Failed."""
        reply = await self._call("GET", path + (f"?{urlencode(query)}" if query else ""), changes=False)
        return _read(reply, kind, changes=False)

    async def _call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Reply:
        url = self._settings.url.rstrip("/") + path
        all_headers = self._headers | (headers or {})
        reply = await call(self._world, method, url, headers=all_headers, timeout_s=CALL_WITHIN_S, **more)
        asked = wait_of(reply)
        self._wait_s = LOOK_AFTER_S if asked is None else min(asked, LOOK_AFTER_MAX_S)
        return reply

    def _told(self, posting: Posting) -> dict[str, Any]:
        settings = self._settings
        return {
            "reference": posting.reference,
            "type": settings.types.get(posting.kind, posting.kind),
            "date": posting.posted_on,
            "lines": [
                {
                    "line": line.line,
                    "item": line.code,
                    "location": settings.locations.get(line.location, line.location),
                    "quantity": line.quantity,
                    "uom": line.uom,
                }
                for line in posting.lines
            ],
        }


def _read(reply: Reply, kind: type[T], *, changes: bool) -> T:
    try:
        return msgspec.convert(json_of(reply, changes=changes), kind)
    except msgspec.ValidationError as error:
        raise not_understood(str(error), changes=changes) from error


def _outcome(document: Document, posting: Posting) -> Outcome | PartlyDone:
    """What a document means for its posting; every line must be accounted for."""
    if document.status == "running":
        return Unknown(f"The ERP's job {document.job} is still running.", "busy")
    if document.status == "failed":
        return Rejected(document.message or "The ERP's job failed.", document.code)
    if document.document is None:
        return Unknown("The ERP says that it is posted, and names no document.")
    sent, said = {line.line for line in posting.lines}, {line.line: line for line in document.lines}
    if said.keys() != sent:
        missing = ", ".join(sorted(sent ^ said.keys())[:5])
        return Unknown(
            f"The ERP's document {document.document} does not hold the lines that were sent: {missing}."
        )
    refused = tuple(
        RefusedLine(line.line, line.message or "The ERP does not say why.", line.code)
        for line in document.lines
        if line.status == "rejected"
    )
    return PartlyDone(document.document, refused) if refused else Done(document.document)
