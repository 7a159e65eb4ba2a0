"""Whether a caller may write masters: only their owner may, if they have one, and a key that may do everything (D8)."""

from datetime import datetime

from evenstock.core.errors import Refusal
from evenstock.core.owning import EVERYWHERE, Domain, withheld
from evenstock.postgres import exceptions, masters, owners
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.keys import ApiKey


async def check_author(db: Connection, domain: Domain, key: ApiKey, now: datetime) -> None:
    """A person is told of a write by another than the owner.

    Raises Refusal `ownership.other`, `ownership.disputed`.
    """
    claims = await owners.claims(db)
    if "*" in key.scopes or not claims:
        return
    names = {number: name for name, number in (await masters.connections(db)).items()}
    speaks_for = {names[number]: number for number in sorted(key.connection_ids)}
    author = next(iter(speaks_for), key.name)
    why = withheld(claims, domain, EVERYWHERE, author, also=speaks_for)
    if why is not None:
        cause = Cause(why.code, why.subject, why.detail, speaks_for.get(author))
        await exceptions.open_causes(db, [cause], now)
        raise Refusal(why.code, why.detail)
