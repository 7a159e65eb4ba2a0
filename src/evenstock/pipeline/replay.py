"""Do again what failed, is missing, or all of it: planned before it is run, at a rate, item by item, and never twice.

    plan (what, how much, to whom) → run → a few items at a time: ask → wait for what becomes of them → done

Asking is all that a replay does itself: a message is read by the translator, held lines are booked by the writer, a number is
told and a posting or command is sent by the dispatcher, what a channel shows is looked at by the observer; each as the first time and under the
same keys.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import msgspec

from evenstock.connectors.found import found
from evenstock.core.cards import masked
from evenstock.core.errors import Refusal
from evenstock.core.replaying import (
    ITEMS_MAX,
    RATE_MAX_PER_S,
    Command,
    Step,
    Verb,
    Wanted,
    budget,
    moved,
)
from evenstock.pipeline.postings import prefix
from evenstock.pipeline.writer import Writer
from evenstock.postgres import inbox, replays
from evenstock.postgres.database import Connection, Session
from evenstock.postgres.replays import Effect, Item, Mark, MessageStored, Next, Replay, Switch, Turn

AT_ONCE_MAX: Final = 200  # items asked in one transaction
EVERY_S: Final = 0.2  # between two looks
CANCELLED: Final = "The replay was cancelled before its turn."

_STATUSES: Final[dict[Verb, tuple[str, ...]]] = {
    "failed": ("dead",),
    "missing": ("received",),
    "all": ("dead", "translated", "received"),
}


# Plan ------------------------------------------------------------------------------------------------------------------


async def plan(
    db: Connection, wanted: Wanted, who: str, now: datetime, lookable: Sequence[str] | None = None
) -> Replay:
    """Plan a replay: nothing is done again until it is run, and then exactly this.

    `lookable`: connectors whose systems can be asked what they show, other than the installed ones.
    Raises Refusal `replay.too_many`, `request.malformed`.
    """
    _check(wanted)
    async with db.transaction():
        items = await replays.planned(db, wanted, lookable or _lookable(), now, ITEMS_MAX + 1)
        if len(items) > ITEMS_MAX:
            raise Refusal(
                "replay.too_many", f"More than {ITEMS_MAX:,} items; name a connection, channel or exception."
            )
        number = await replays.insert(db, wanted, items, _effects(wanted.step, items), who, now)
        return await show(db, number)


def _lookable() -> list[str]:
    """Connectors whose systems can be asked what they show."""
    return [name for name, each in found().items() if each.observe is not None]


def _check(wanted: Wanted) -> None:
    if not 1 <= wanted.rate_per_s <= RATE_MAX_PER_S:
        raise Refusal("request.malformed", f"A rate is 1 to {RATE_MAX_PER_S:,} a second.", "/rate_per_s")
    if wanted.rules == "as_was" and wanted.step != "translate":
        raise Refusal("request.malformed", "Only messages are read by the rules as they were.", "/rules")
    if wanted.messages is not None and wanted.step != "translate":
        raise Refusal("request.malformed", "Messages are replayed from the step translate.", "/messages")
    if wanted.channel is not None and wanted.step not in ("dispatch", "observe"):
        words = "Channels are replayed from the steps dispatch and observe."
        raise Refusal("request.malformed", words, "/channel")


def _effects(step: Step, items: Sequence[Item]) -> list[Effect]:
    """What it does to whom, in words."""
    effects = []
    for place, group in groupby(sorted(items, key=lambda item: item.place), key=lambda item: item.place):
        these = list(group)
        known = sum(item.known for item in these)
        words = {
            "translate": f"{len(these):,} messages are read again; their {known:,} known events are not booked twice.",
            "apply": f"{known:,} held lines are booked, if what they wait for is there.",
            "dispatch": f"{len(these):,} numbers are told, each as it is by then.",
            "post": f"{len(these):,} postings are brought to the books; what they have of them is not sent again.",
            "command": f"{len(these):,} commands are sent, each after what goes before it; what was done is not sent again.",
            "observe": f"{len(these):,} numbers are looked at; nothing is told.",
        }[step]
        effects.append(Effect(place, len(these), words))
    return effects


# Command -----------------------------------------------------------------------------------------------------------------


async def show(db: Connection, replay_id: int) -> Replay:
    """A replay. Raises Refusal `replay.not_found`."""
    found = await replays.find(db, replay_id)
    if found is None:
        raise Refusal("replay.not_found", "There is no replay of this id.")
    return found


async def command(db: Connection, replay_id: int, what: Command, now: datetime) -> Replay:
    """Run, pause or cancel. Raises Refusal `replay.not_found`, `replay.status`, `replay.stopped`."""
    async with db.transaction():
        status = await replays.lock(db, replay_id)
        if status is None:
            raise Refusal("replay.not_found", "There is no replay of this id.")
        switch = await replays.switch(db)
        if what == "run" and switch.stopped:
            raise Refusal("replay.stopped", f"All replays are stopped: {switch.reason or 'no reason given'}.")
        after = moved(status, what)
        if after != status:
            if after == "cancelled":
                await replays.skip_waiting(db, replay_id, CANCELLED, now)
            await replays.set_status(db, replay_id, after, now)
        return await show(db, replay_id)


async def stop_all(db: Connection, who: str, reason: str | None, now: datetime, *, stopped: bool) -> Switch:
    """Throw the kill switch, or let replays go on."""
    await replays.set_switch(db, who, now, reason, stopped=stopped)
    return await replays.switch(db)


# Run ---------------------------------------------------------------------------------------------------------------------


class Replayer:
    """Does what running replays are owed by now."""

    def __init__(
        self, writer: Writer, wake_translator: Callable[[], None], tag: str, now: Callable[[], datetime]
    ) -> None:
        self._writer = writer
        self._tag = tag
        self._wake_translator = wake_translator
        self._now = now

    async def round(self, db: Session) -> bool:
        """One look at every running replay; whether anything was asked."""
        asked, after = 0, 0
        while True:
            async with db.transaction():
                turn = await replays.turn(db, after)
                if turn is None:
                    return asked > 0
                after = turn.replay_id
                asked += await self._serve(db, turn)
            self._wake_translator()

    async def _serve(self, db: Session, turn: Turn) -> int:
        now = self._now()
        await replays.settle(db, turn.replay_id, turn.step, now)
        number = min(budget(turn.rate_per_s, now - turn.running_since, turn.asked), AT_ONCE_MAX)
        items = await replays.next_items(db, turn.replay_id, number) if number else []
        marks = await self._ask(db, turn, items)
        await replays.mark(db, turn.replay_id, marks, now)
        if not await replays.is_open(db, turn.replay_id):
            await replays.set_status(db, turn.replay_id, "done", now)
        return len(items)

    async def _ask(self, db: Session, turn: Turn, items: Sequence[Next]) -> list[Mark]:
        if turn.step == "translate":
            return await self._translate(db, turn, items)
        if turn.step == "dispatch":
            keys = [(item.channel_id or 0, item.target or 0) for item in items]
            versions = await replays.tell_again(db, keys, self._now())
            return [
                Mark(item.ordinal, "asked", None, versions[key])
                if key in versions
                else Mark(item.ordinal, "skipped", "The channel does not sell it any more.")
                for item, key in zip(items, keys, strict=True)
            ]
        if turn.step == "post":
            ids = [item.target or 0 for item in items]
            brings = await replays.post_again(db, ids, prefix(self._tag), self._now()) if ids else {}
            there = "It is in the books by now, or another posting brings it."
            return [
                Mark(item.ordinal, "asked", None, brings[number])
                if (number := item.target or 0) in brings
                else Mark(item.ordinal, "skipped", there)
                for item in items
            ]
        if turn.step == "command":
            ids = [item.target or 0 for item in items]
            owed = await replays.command_again(db, ids, self._now()) if ids else set()
            return [
                Mark(item.ordinal, "asked")
                if item.target in owed
                else Mark(item.ordinal, "skipped", "It is done by now.")
                for item in items
            ]
        if turn.step == "observe":
            keys = [(item.channel_id or 0, item.target or 0) for item in items]
            asked = await replays.look_again(db, keys, self._now()) if keys else set()
            told = "It is being told another number."
            return [
                Mark(item.ordinal, "asked") if key in asked else Mark(item.ordinal, "skipped", told)
                for item, key in zip(items, keys, strict=True)
            ]
        return [await self._release(db, item) for item in items]

    async def _translate(self, db: Session, turn: Turn, items: Sequence[Next]) -> list[Mark]:
        ids = [item.target or 0 for item in items]
        taken = await replays.ask_messages(
            db, ids, _STATUSES[turn.verb], self._now(), as_was=turn.rules == "as_was"
        )
        gone = "It is not as it was planned: read meanwhile, edited, or its bytes are gone."
        return [
            Mark(item.ordinal, "asked") if item.target in taken else Mark(item.ordinal, "skipped", gone)
            for item in items
        ]

    async def _release(self, db: Session, item: Next) -> Mark:
        subject = item.subject or ""
        booked = await self._writer.release([subject])
        if await replays.are_held(db, subject):
            return Mark(item.ordinal, "failed", "Lines still wait for it: it is not in the masters.")
        return Mark(item.ordinal, "done", f"{booked:,} lines booked")


# Edit --------------------------------------------------------------------------------------------------------------------


class Edited(msgspec.Struct, frozen=True):
    """The message that speaks for another, which is kept as it was received."""

    id: str
    edited_from: str


async def edit(db: Connection, message_id: int, body: bytes, reason: str, who: str, now: datetime) -> Edited:
    """Replay a dead letter with another body; what was received is kept beside it for ever.

    Raises Refusal `message.not_found`, `message.not_dead`, `request.malformed`.
    """
    stored = masked(body)
    async with db.transaction():
        message = await replays.message(db, message_id)
        if message is None:
            raise Refusal("message.not_found", "There is no message of this id.")
        if message.status != "dead":
            raise Refusal(
                "message.not_dead", "Only a dead letter is edited; what became events is voided instead."
            )
        if stored == message.body:
            raise Refusal("request.malformed", "This is the body that it has.", "/body")
        before = await inbox.exceptions_of(db, [message_id])
        number = await replays.insert_edit(
            db, message_id, stored, who, reason, now, masked=stored is not body
        )
        if number is None:
            raise Refusal("message.not_dead", "Exactly this edit was made before.")
        await replays.replace(db, message_id, number, now)
        await inbox.close_empty(db, before, now)
    return Edited(inbox.public_message_id(number), inbox.public_message_id(message_id))


async def stored(db: Connection, message_id: int) -> MessageStored:
    """A message with its bytes. Raises Refusal `message.not_found`."""
    found = await replays.message(db, message_id)
    if found is None:
        raise Refusal("message.not_found", "There is no message of this id.")
    return found
