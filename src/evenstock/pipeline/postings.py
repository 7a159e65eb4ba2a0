"""What the books are owed: movements that the ledger took up since the last look, added up as each connection's books want them.

A look is one transaction under the row of the books: whoever has it makes the postings and moves the cursor; a process that dies
leaves both undone. A movement is in one posting of each books by the primary key of `posting_entries`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from evenstock.core.postings import drafts
from evenstock.postgres import postings
from evenstock.postgres.database import Connection

MOVEMENTS_MAX: Final = 5_000  # of one look, but always whole batches of the ledger


def prefix(tag: str) -> str:
    """How references of this ledger begin; the number of the posting follows."""
    return f"EV-{tag}-"


async def post(db: Connection, tag: str, clock: Callable[[], datetime]) -> int:
    """Look once at all books; return how many postings were made. Nothing to do costs one small query."""
    made = 0
    for each in await postings.behind(db, clock()):
        async with db.transaction():
            after = await postings.take_turn(db, each.connection_id)
            if after is None or after >= each.upto:
                continue
            upto = await postings.reach(db, after, each.upto, MOVEMENTS_MAX)
            found = drafts(each.books, await postings.movements(db, after, upto))
            status = "shadow" if each.flow == "shadow" else "owed"
            if found:
                await postings.make(db, each.connection_id, found, prefix(tag), status, clock())
            await postings.end_turn(db, each.connection_id, upto)
            made += len(found)
    return made
