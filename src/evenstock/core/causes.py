"""Every cause of an exception in plain words: why those under it are one, whether anything is lost, and what happens next by itself.

The words are part of the product (user-experience §2.6). What the cause is called and what to do stands in `core/errors`.
"""

from typing import Final

import msgspec


class About(msgspec.Struct, frozen=True):
    """What a person must know of a cause before deciding.

    `waits`: it ends by itself, most of the time. `data_safe`: all that was said of it is kept here, or waits where it is.
    """

    grouped_by: str
    safe: str
    next: str
    waits: bool = False
    data_safe: bool = True


_HELD: Final = "No. The lines wait as they were sent; the rest of each ticket is booked."
_BOOKS_ITSELF: Final = "What waits is booked in order of when it happened, as soon as it is mended."

ABOUT: Final[dict[str, About]] = {
    "stock.unknown_item": About("all lines that name this item", _HELD, _BOOKS_ITSELF),
    "stock.unknown_location": About("all lines that name this location", _HELD, _BOOKS_ITSELF),
    "stock.unknown_uom": About("all lines of this item in this unit", _HELD, _BOOKS_ITSELF),
    "stock.too_precise": About("all lines of this item with too many decimals", _HELD, _BOOKS_ITSELF),
    "ownership.other": About(
        "one system, and what it may not write", "No. Sales wait as they were sent; numbers and postings are kept; masters stand as they were.",
        "It ends when its owner is another, or for sales when they are voided, and for masters when nobody has tried for a day.",
    ),
    "ownership.disputed": About(
        "one thing that several systems claim", "No. Sales wait as they were sent; numbers and postings are kept; masters stand as they were.",
        "Nothing is done for any of them. It ends when one claim is left.",
    ),
    "quantity.not_positive": About("one line", _HELD, "Nothing. Void the event; its source sends a right one."),
    "quantity.too_large": About("one line", _HELD, "Nothing. Void the event; its source sends a right one."),
    "event.time": About("one line", _HELD, "Nothing. Void the event; its source sends a right one."),
    "count.from_the_future": About("one count", "No. The count waits.", "Nothing. It ends when the count is voided."),
    "stock.negative": About(
        "one item at one location", "No. Every sale is booked; mostly a receipt is missing or a sale came late.",
        "It ends when the balance is zero or more again: by the receipt that was missing, or by a count.",
    ),
    "stock.in_transit_negative": About(
        "one item at one location", "No. What arrived is on the shelf and may be sold.",
        "It ends by itself when the shipment is reported.", waits=True,
    ),
    "transfer.short": About(
        "one item of one transfer", "The units are nowhere: they stay in transit until they arrive.",
        "It ends when the rest arrives or is written off.",
    ),
    "return.without_sale": About(
        "one return", "No. The units wait in quarantine.", "It ends by itself when the sale arrives.", waits=True
    ),
    "stock.overcommitted": About(
        "one item at one location", "Customers are promised units that are not there.",
        "It ends when there is enough again, or a promise ends. Nobody is promised more meanwhile.",
    ),
    "order.waits": About(
        "one order of one channel", "No. The order waits as it was sent; its units may be sold to others meanwhile.",
        "It is tried every few seconds, and ends when it is promised or cancelled.",
    ),
    "order.cancel_waits": About(
        "one order of one channel", "No. The cancellation waits, and takes effect when the order comes.",
        "It ends when the order comes.", waits=True,
    ),
    "stock.shipped_without_claim": About(
        "one shipment", "No. What left is booked.", "It ends by itself when the order is reserved.", waits=True
    ),
    "count.conflict": About(
        "two counts of one bucket at one instant", "No. Both are kept; the last by key stands.",
        "It ends when one of them is voided.",
    ),
    "void.before_count": About(
        "one void", "No. It is booked as it was said; the shelf may hold other than the books say.",
        "It ends when the item is counted there again.",
    ),
    "void.without_target": About(
        "one void", "No. The void waits; of the fact that it takes back nothing came.",
        "It takes effect with that fact, and ends then.", waits=True,
    ),
    "source.clock_skew": About(
        "one source", "No. Its facts are booked at the time of receipt, with the claimed time kept.",
        "It ends when the source has reported for an hour with none of its times ahead.",
    ),
    "source.clock_off": About(
        "one machine", "No. Its facts are booked with the times that it gave them.", "It ends when its clock is right."
    ),
    "source.sequence_gap": About(
        "one stream of numbers", "Perhaps: these tickets were not received.", "It ends when the missing numbers arrive.",
        data_safe=False,
    ),
    "event.key_reused": About(
        "one key of one source", "No. The first stands, the others are kept here.",
        "It ends when the refused content is booked under a key of its own, or the one that stands is voided.",
    ),
    "event.malformed": About(
        "one device", "No. What it sent is kept byte for byte.", "Nothing: the device cannot mend it."
    ),
    "message.untranslatable": About(
        "one connection, kind of message and place in it", "No. The messages wait as they were received.",
        "Nothing until somebody replays them, after the mapping, connector or masters were mended.",
    ),
    "message.poison": About(
        "one message", "No. It waits as it was received.", "Nothing until somebody replays it."
    ),
    "message.id_reused": About(
        "one id of one connection", "No. The first stands, the other is kept.", "Nothing until somebody replays it."
    ),
    "connection.paused": About(
        "one connection", "No. What it is owed waits, and goes out newest first.",
        "Nothing is sent until its settings change.",
    ),
    "connection.silent": About(
        "one connection", "No. What it is owed waits.", "It is tried again by itself, and ends when it answers.", waits=True,
    ),
    "exposure.rejected": About(
        "one item of one channel", "No. The channel shows an older number of this item.",
        "The next number is tried by itself; it ends when one is taken.",
    ),
    "exposure.delayed": About(
        "one item of one channel", "No. The channel shows an older number of this item.",
        "It is tried again by itself, and ends when it is taken.", waits=True,
    ),
    "source.unreachable": About(
        "one connection", "No. What is there to fetch waits there.", "It is asked again by itself, and ends when it answers.", waits=True,
    ),
    "file.absent_kept": About(
        "one location of one connection", "No. The rows of the file are counted; what it does not name is kept as it is.",
        "It ends with the next full file of the location that is believed.",
    ),
    "file.quarantined": About(
        "one file", "No. Nothing of it was booked, and it lies in quarantine.", "It ends when the file is taken whole."
    ),
    "exposure.overwritten": About(
        "one item of one channel", "No. The channel shows a number that is not ours.",
        "It was told once more and shows another again. It is told the next number, and ends when it shows what it confirmed.",
    ),
    "posting.rejected": About(
        "one reason of one connection", "No. The ledger is right; the books lack these postings.",
        "Nothing until somebody has them sent again.",
    ),
    "posting.line_refused": About(
        "one item and reason of one connection", "No. The ledger is right; the books lack these lines, and have the others.",
        "Nothing until somebody has them brought again.",
    ),
    "posting.delayed": About(
        "one connection", "No. The postings wait.", "They are looked up and sent again by themselves, and it ends when they are there.", waits=True,
    ),
    "hub.fence_raised": About(
        "the database", "Perhaps: what was recorded last, before it was restored or another took over.",
        "Gaps in numbered streams show by themselves what is missing. It ends when you say that the sources have sent again.",
        data_safe=False,
    ),
    "command.rejected": About(
        "one reason of one connection", "No. The claims are right; nobody picks these units, or somebody picks what was cancelled.",
        "Nothing until somebody has them sent again; later commands for the same reservation there wait behind them.",
    ),
    "command.delayed": About(
        "one connection", "No. The commands wait, in their order.",
        "They are sent again by themselves under the same keys, and it ends when they are done.", waits=True,
    ),
    "import.rejected": About(
        "one file", "No. The rows are in the reject file; all others are booked.",
        "It ends when the same file is imported again without a rejected row.",
    ),
}  # fmt: skip
OTHER: Final = About(
    "one cause", "No. Everything that came in is kept.", "It ends by the fact that mends it."
)

WAITING: Final = tuple(sorted(code for code, about in ABOUT.items() if about.waits))


def about(code: str) -> About:
    """What to know of a cause."""
    return ABOUT.get(code, OTHER)
