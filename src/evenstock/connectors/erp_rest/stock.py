"""What an ERP has in its books: read page by page, to the end."""

from collections.abc import AsyncIterator
from typing import Final

from evenstock.connectors.calling import not_understood, secret
from evenstock.connectors.contract import Level, World
from evenstock.connectors.erp_rest.post import Erp
from evenstock.connectors.erp_rest.settings import Settings
from evenstock.connectors.erp_rest.shapes import StockPage

PAGES_MAX: Final = 100_000


async def pages(settings: Settings, world: World) -> AsyncIterator[list[Level]]:
    """All that the books say is on hand, by our names of locations.

    Raises Failed.
    """
    erp = Erp(settings, world, await secret(world, settings.token))
    ours = {theirs: location for location, theirs in settings.locations.items()}
    after: str | None = None
    for _ in range(PAGES_MAX):
        page = await erp.get(settings.stock, StockPage, **({} if after is None else {"after": after}))
        yield [
            Level(line.item, line.item, line.quantity, location=ours.get(line.location, line.location))
            for line in page.lines
        ]
        if page.next is None:
            return
        if page.next == after:
            break
        after = page.next
    raise not_understood("its pages of stock do not end", changes=False)
