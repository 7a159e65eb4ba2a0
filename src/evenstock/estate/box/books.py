"""The books: postings to the ERP follow the ledger in the order of its commits, each under a key that never changes.

The ERP closes at night, refuses a few at first, and now and then does not answer; what it may have taken is sent again under
the same key, and it takes a key once.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from evenstock.core.booking import Movement, PositionKey
from evenstock.core.ledger import add_effect
from evenstock.estate.box.agenda import HOUR, MINUTE, MS, SECOND
from evenstock.estate.box.memory import Posting
from evenstock.estate.box.scenario import Books
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

LATENCY: Final = 800 * MS
GATHERED: Final = 5 * SECOND
UNANSWERED: Final = 0.01  # part of the calls
ANSWER_WITHIN: Final = 30 * SECOND
MENDED_AFTER: Final = 20 * MINUTE  # when somebody has opened the period, or unblocked the item


class Document(NamedTuple):
    """A posting with the key it is known by."""

    key: str
    movements: tuple[Movement, ...]


class Erp:
    """The books' own side: its own idea of the stock."""

    def __init__(self, box: "Box", what: Books) -> None:
        self.what = what
        self.stock: defaultdict[PositionKey, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.taken: dict[str, None] = {}
        self._box = box
        self._chance = stream(box.seed, "erp", "postings")
        self._blocked: dict[str, int] = {}  # key → until when

    def opens_at(self, at: int) -> int:
        """The first moment from now on at which it takes postings."""
        if self.what.closes is None:
            return at
        while self._is_closed(at):
            at = (at // HOUR + 1) * HOUR
        return at

    def _is_closed(self, at: int) -> bool:
        hour, closes, opens = self._box.hour(at), self.what.closes, self.what.opens
        assert closes is not None  # noqa: S101 - asked only of one that closes
        return closes <= hour < opens if closes < opens else hour >= closes or hour < opens

    def take(self, documents: list[Document]) -> list[Document]:
        """Post what can be posted; return what was refused."""
        now = self._box.agenda.now
        refused = []
        for document in documents:
            if document.key in self.taken:
                continue
            if self._refuses(document.key, now):
                refused.append(document)
                continue
            self.taken[document.key] = None
            for movement in document.movements:
                self._post(movement)
        return refused

    def _refuses(self, key: str, now: int) -> bool:
        until = self._blocked.get(key)
        if until is None:
            is_refused = self._chance.random() < self.what.refused
            until = self._blocked[key] = now + MENDED_AFTER if is_refused else 0
        return now < until

    def _post(self, movement: Movement) -> None:
        total = self.stock[movement.item_id, movement.location_id]
        add_effect(total, movement.from_place, movement.to_place, movement.quantity)  # type: ignore[arg-type]

    def answers(self) -> bool:
        """Whether the answer to a call reaches us."""
        return self._chance.random() >= UNANSWERED


class Bookkeeper:
    """Owes the ERP every posting, once."""

    def __init__(self, box: "Box", erp: Erp) -> None:
        self.erp = erp
        self.calls = 0
        self.backlog_max = 0
        self._box = box
        self._again: list[Document] = []
        self._is_planned = False
        self._gap = int(SECOND / erp.what.calls_per_s)
        self._read = 0  # of the ledger's feed

    def wake(self, after: int = GATHERED) -> None:
        """There may be something to post."""
        if not self._is_planned:
            self._is_planned = True
            self._box.agenda.plan(self._box.agenda.now + after, self._post)

    def _post(self) -> None:
        self._is_planned = False
        now = self._box.agenda.now
        self.backlog_max = max(self.backlog_max, len(self._box.hub.memory.feed) - self._read)
        free_at = max(self.erp.opens_at(now), self._box.process.up_at)
        if free_at > now:
            self.wake(free_at - now)
            return
        documents, self._again = self._again, []
        documents += [self._document(posting) for posting in self._feed(self.erp.what.postings_per_call)]
        if not documents:
            return
        self.calls += 1
        self._box.trace.note(now, "post", len(documents))
        refused = self.erp.take(documents)
        if self.erp.answers():
            self._postpone(refused)
        else:
            self._box.agenda.plan(now + ANSWER_WITHIN, self._unanswered, documents)
        self.wake(self._gap + LATENCY)

    def _feed(self, number: int) -> list[Posting]:
        """What follows in the ledger, in the order of its commits."""
        found = self._box.hub.memory.feed[self._read : self._read + number]
        self._read += len(found)
        return found

    def _document(self, posting: Posting) -> Document:
        return Document(f"{posting.ledger_seq}-{posting.fact_id}", posting.movements)

    def _unanswered(self, documents: list[Document]) -> None:
        self._send_again(self._same(documents))

    def _same(self, documents: list[Document]) -> list[Document]:
        """What may have been done is sent again under the same keys."""
        return documents

    def _postpone(self, refused: list[Document]) -> None:
        if refused:
            self._box.agenda.plan(self._box.agenda.now + MENDED_AFTER, self._send_again, refused)

    def _send_again(self, documents: list[Document]) -> None:
        self._again += documents
        self.wake(self._gap)
