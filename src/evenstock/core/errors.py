"""Every code that Evenstock answers with, once: what it means and what to do about it.

    Problem (a value: what, where, why, what to do)
    └── Refusal (raised where a caller must be stopped)

A code is ``family.snake_case`` and is never renamed or reused. `docs/reference/errors.md` is made from this table,
and a test holds both to each other.
"""

import msgspec


class Meaning(msgspec.Struct, frozen=True):
    """What a code says, to whom, and whether trying again can help."""

    code: str
    status: int  # of the HTTP answer when the whole request fails with it
    title: str
    action: str  # what the reader should do
    retryable: bool = False


MEANINGS: dict[str, Meaning] = {
    meaning.code: meaning
    for meaning in (
        # stock: facts that a person can mend; they are held, never lost
        Meaning("stock.unknown_item", 422, "Unknown item", "Add the item with POST /v1/items:batch; what waits is booked then."),
        Meaning("stock.unknown_location", 422, "Unknown location", "Add it with POST /v1/locations:batch; what waits is booked then."),
        Meaning("stock.unknown_uom", 422, "Unknown unit of measure", "Give the item this unit (uoms) with POST /v1/items:batch; what waits is booked then."),
        Meaning("stock.too_precise", 422, "More decimals than the item has", "Send at most the item's scale, or raise it; a unit must convert exactly."),
        Meaning("stock.negative", 409, "Less than zero", "Nothing is lost. Look for a missed receipt or a late sale, or count the item."),
        Meaning("stock.in_transit_negative", 409, "Received more than was shipped", "Nothing is lost. The shipment is probably late; it closes when the shipment arrives."),
        Meaning("transfer.short", 409, "Shipped units did not arrive", "Find the units, receive them, or adjust them away."),
        Meaning("return.without_sale", 409, "A return whose sale is not known", "Nothing: the units wait in quarantine; it closes when the sale arrives."),
        Meaning("void.without_target", 409, "A void whose fact did not come", "Have its source send the fact again; the void takes effect with it. It may name a wrong key."),
        # who is right about what
        Meaning("ownership.other", 403, "Another system is right about this", "Let its owner write it, or change the owner with POST /v1/owners:batch; what waits is booked or sent then. Void a sale that its owner reports as well."),
        Meaning("ownership.disputed", 409, "Two systems claim to be right", "Take one of the claims away with POST /v1/owners:batch; what waits is booked or sent then."),
        Meaning("ownership.ours", 422, "Only the hub can be right about this", "Name evenstock as the owner: the hub is the ledger and holds the reservations."),
        # promises
        Meaning("order.waits", 409, "An order that cannot be promised yet", "Mend what the detail names: add the item, location or channel, or end the reservation that stands under its order_ref."),
        Meaning("order.cancel_waits", 409, "A cancellation whose order did not come", "Have its source send the order again, or look for another order_ref."),
        Meaning("stock.overcommitted", 409, "More is promised than there is", "Move or release one of the orders that the detail names, or count the item."),
        Meaning("stock.shipped_without_claim", 409, "Units left that nobody had promised", "Nothing is lost. It closes when the order is reserved; else look whether the order was cancelled."),
        Meaning("reservation.insufficient", 409, "Too little to promise", "Ask for less, or choose one of the alternatives."),
        Meaning("reservation.changed", 409, "This order is reserved with other lines", "Release it first, or send the same lines."),
        Meaning("reservation.expired", 409, "The hold is over and its units are gone", "Reserve again, with what the alternatives offer."),
        Meaning("reservation.ended", 409, "The reservation has ended", "Make a new one; the same order_ref may be used again."),
        Meaning("reservation.not_found", 404, "No such reservation", "Use the id that the reservation was answered with."),
        Meaning("reservation.no_line", 422, "The reservation has no such line", "Name a line as it was reserved."),
        Meaning("reservation.no_place", 422, "Neither channel nor pickup", "Name the channel, or pickup_at for every line."),
        Meaning("channel.unknown", 422, "Unknown channel", "Add it with POST /v1/channels:batch."),
        Meaning("connection.paused", 409, "A connection is paused until its settings change", "Mend the credentials or settings that the detail names, then send the connection again with POST /v1/connections:batch; what it is owed goes out by itself."),
        Meaning("connection.silent", 503, "A connection does not answer", "Look whether the system is up and can be reached from here. Nothing is lost: it is tried again by itself, and this closes when it answers.", retryable=True),
        Meaning("posting.rejected", 409, "The books refuse a posting", "Mend what the ERP names, there or in its settings; then POST /v1/postings:retry sends it again. The ledger is right meanwhile."),
        Meaning("posting.line_refused", 409, "The books refuse lines of postings", "Mend what the ERP names (often an item that it does not know); then POST /v1/postings:retry brings these lines, and no others."),
        Meaning("posting.delayed", 409, "The books have not confirmed a posting for long", "Look whether the ERP works; each posting is looked up there by its reference before it is sent again, and closes this by itself."),
        Meaning("posting.not_found", 404, "No such posting", "Use an id that GET /v1/postings answered."),
        Meaning("command.rejected", 409, "A system refuses a command", "Mend what the system names, there or in its settings; then POST /v1/commands:retry sends it again. Later commands for the same reservation at that location wait behind it."),
        Meaning("command.delayed", 409, "A system has not confirmed a command for long", "Look whether the system works, and whether somebody does the work by hand meanwhile; each command is sent again under its key, and closes this by itself."),
        Meaning("command.not_found", 404, "No such command", "Use an id that GET /v1/commands answered."),
        Meaning("exposure.rejected", 409, "A channel refuses a number", "Look up the system's reason; mostly the item is not known there. The next number is tried by itself, and this closes when one is taken."),
        Meaning("exposure.overwritten", 409, "Somebody else writes a channel's numbers", "Find who changes the system's stock (a person, an app, another integration) and stop it; we do not fight. It closes by itself once the system shows what it confirmed."),
        Meaning("exposure.delayed", 409, "A channel does not take a number", "Look at the system's reason. It is tried again by itself, and this closes when it is taken."),
        Meaning("connection.unknown", 422, "Unknown connection", "Add it with POST /v1/connections:batch."),
        Meaning("channel.no_books", 422, "No books release the channel's numbers", "Let a connection keep `books` and be `live`, and name it in the channel's `confirmed_by`; or set the channel's `publish_on` to hub_commit first."),
        Meaning("idempotency.required", 422, "Nothing to know the request by", "Send an order_ref, or an Idempotency-Key header."),
        Meaning("idempotency.key_reused", 422, "An Idempotency-Key was used again with another request", "Use a new key for a new request."),
        # counts
        Meaning("count.conflict", 409, "Two counts of one instant disagree", "The last by key stands. Void the wrong one with CountVoided."),
        Meaning("count.from_the_future", 422, "A count from the future", "Set the device's clock; void this count and send it under a new key."),
        # facts that were mistakes
        Meaning("void.before_count", 409, "A sale was voided across a count", "Count the item there; it closes when the count is in."),
        Meaning("void.of_void", 422, "A void cannot be voided", "Send the original fact again under a new key."),
        Meaning("void.target_kind", 422, "This void does not fit its target", "Use CountVoided for counts and FactVoided for every other fact."),
        Meaning("void.repeated", 409, "Already voided", "Nothing: the first void stands."),
        # clock, sequence
        Meaning("source.clock_skew", 409, "A clock runs ahead", "Set the device's clock. Its facts are booked at the time of receipt."),
        Meaning("source.clock_off", 409, "The clock of a shop's machine is wrong", "Set the clock of the machine that the detail names; this closes by itself once it is right."),
        Meaning("source.silent", 409, "A source has fallen silent", "Look whether the source runs and can reach the hub. What it keeps comes when it is back, and this closes then; if it may be silent for longer, raise expect_within_s of its connection."),
        Meaning("source.unreachable", 503, "Nothing can be fetched from a connection", "Look whether the system is up and can be reached from here, and whether the settings and credentials are right. It is tried again by itself, goes on where it was, and this closes when it answers.", retryable=True),
        Meaning("source.sequence_gap", 409, "Tickets are missing", "Ask the source to send the missing numbers again."),
        # events, their identity and shape
        Meaning("event.key_reused", 409, "A key was used again with other content", "The first stands. Send the correction under a new key."),
        Meaning("event.malformed", 422, "The event does not have its shape", "Correct the field that the pointer names and send it again."),
        Meaning("event.unknown_type", 422, "Unknown event type", "Use one of the types in /openapi.json, with its version: SaleRecorded.v1."),
        Meaning("event.repeated_line", 422, "A line id stands twice", "Give each line of the event an id of its own."),
        Meaning("event.time", 422, "A time that cannot be", "Send RFC 3339 with an offset, between the years 1970 and 2200."),
        Meaning("quantity.pattern", 422, "Not a plain decimal number", "Send digits with at most six decimals, no exponent: 12 or 0.250."),
        Meaning("quantity.not_positive", 422, "A quantity must be positive", "Send a quantity above zero; the event's type says the direction."),
        Meaning("quantity.too_large", 422, "A quantity beyond belief", "Send at most 1,000,000,000,000 base units in a line."),
        Meaning("identifier.characters", 422, "Characters that an identifier may not have", "Use printable characters in NFC, no control or formatting ones, at most 128."),
        Meaning("card.number", 422, "A payment card number", "Take it out, or cut it to its last four digits, and send the rest again. A barcode belongs into gtin."),
        # messages of vendors
        Meaning("hook.unknown", 404, "No such connection, or it takes no webhooks", "Check the address: /v1/hooks/ and the id of a connection whose connector takes webhooks."),
        Meaning("hook.signature", 401, "The signature does not fit", "Compare the vendor's signing secret with the connection's; the bytes must arrive as they were signed."),
        Meaning("hook.stale", 401, "Signed too long ago, or ahead of our clock", "Send it again with a new signature; set the clocks when it goes on."),
        Meaning("message.shape", 422, "The message does not have its shape", "Correct the mapping or the connector where the pointer says, then translate it again."),
        Meaning("message.unsupported", 422, "A kind of message that the connector does not read", "Do not subscribe to this kind, or extend the connector and translate it again."),
        Meaning("message.untranslatable", 422, "Messages could not become events", "Mend the mapping, the connector or the masters, then POST /v1/messages:translate; what was booked stays booked once."),
        Meaning("message.poison", 409, "A message fails again and again", "Report it with the log; then POST /v1/messages:translate tries it once more."),
        Meaning("message.id_reused", 409, "A vendor used the id of a message again for another", "The first stands. Look at both; POST /v1/messages:translate takes the second too."),
        Meaning("message.not_found", 404, "No such message", "Use an id that GET /v1/messages answered."),
        Meaning("connector.fault", 500, "A fault of the connector", "Report it to whoever wrote the connector, with the message's id."),
        Meaning("connector.unknown", 422, "Unknown connector", "Use one that `evenstock connector list` names."),
        Meaning("connection.not_found", 404, "No such connection", "Use an id that GET /v1/connections answered."),
        Meaning("connection.works", 422, "A connection cannot work at a location", "Name locations that no other connection `works` (take them from the other first, or in the same call), of a connection whose connector takes commands."),
        Meaning("connection.settings", 422, "The settings do not fit the connector", "Correct the setting that the pointer names; the connector's README lists them."),
        Meaning("secret.unknown", 503, "A secret is not there", "Store it with `evenstock secrets set NAME`, or set the environment variable; nothing is lost meanwhile.", retryable=True),
        Meaning("secret.unusable", 503, "A secret cannot be used", "Store it again with `evenstock secrets set NAME`.", retryable=True),
        # replays
        Meaning("replay.not_found", 404, "No such replay", "Use an id that POST /v1/replays answered."),
        Meaning("replay.status", 409, "The replay cannot do this now", "Look at its status; plan another if it has ended."),
        Meaning("replay.stopped", 409, "All replays are stopped", "Ask who stopped them and why; POST /v1/replays:allow lets them go on."),
        Meaning("replay.too_many", 422, "More than one replay may do", "Name a connection, channel or exception, and plan the rest after it."),
        Meaning("message.not_dead", 409, "The message is no dead letter", "Look at its events; what was booked by mistake is voided."),
        # exceptions
        Meaning("exception.not_found", 404, "No such exception", "Use an id that GET /v1/exceptions answered."),
        Meaning("exception.resolved", 409, "The exception is resolved", "Nothing; add a note if something is to be remembered."),
        # traces
        Meaning("trace.not_found", 404, "Nothing is known of it", "Check the id, and whether the message or event was answered as accepted; ids are compared exactly."),
        Meaning("trace.ambiguous", 409, "Several sources have an event of this id", "Name the source that you mean."),
        # json, http
        Meaning("json.malformed", 400, "Not JSON", "Send UTF-8 JSON (RFC 8259)."),
        Meaning("json.repeated_name", 422, "A name stands twice in one JSON object", "Send each name once."),
        Meaning("request.malformed", 422, "The request does not have its shape", "Correct the field that the pointer names."),
        Meaning("request.not_found", 404, "No such page", "See /openapi.json for what there is."),
        Meaning("request.method", 405, "No such method here", "See /openapi.json for what there is."),
        Meaning("request.media_type", 415, "A media type we do not read", "Add the header Content-Type: application/json (curl: -H 'Content-Type: application/json'), or a CloudEvents one."),
        Meaning("request.encoding", 415, "A content encoding we do not read", "Send it plain, or with Content-Encoding: gzip."),
        Meaning("request.slow", 408, "The body did not arrive in time", "Send the whole body within 30 seconds; smaller batches help.", retryable=True),
        Meaning("item.not_found", 404, "No such item", "Check the sku: it is compared exactly, case included."),
        Meaning("item.scale_changed", 409, "The scale of an item with movements is fixed", "Make a new item; the ledger is kept in the old scale."),
        Meaning("item.code_taken", 409, "The code belongs to another item", "Take it away from the other item first."),
        Meaning("limit.body", 413, "The body is too large", "Send at most 10 MB, or split the batch."),
        Meaning("limit.batch", 413, "Too many entries", "Send at most 1,000 in one request."),
        Meaning("limit.depth", 400, "JSON nested too deeply", "Nest at most 32 levels."),
        Meaning("limit.streams", 503, "Too many streams", "Come again in a moment, or ask another server.", retryable=True),
        Meaning("limit.slow_reader", 408, "A stream was not read fast enough", "Read faster, or ask for less. Resume with Last-Event-ID: nothing is missed.", retryable=True),
        Meaning("limit.page", 422, "Too many rows asked for", "Ask for at most 500 and follow next_cursor."),
        # files and their mappings
        Meaning("mapping.malformed", 422, "The mapping does not have its shape", "Correct the place that the detail names."),
        Meaning("mapping.no_rule", 422, "No rule matches the row", "Add a rule for such rows, or a last rule that skips them."),
        Meaning("mapping.value", 422, "A value that the mapping does not know", "Add it to the field's values, or say otherwise = …"),
        Meaning("mapping.empty", 422, "A value that must be there is empty", "Fill the cell, or say empty = … in the mapping."),
        Meaning("row.columns", 422, "More or fewer columns than the header", "Look for a delimiter inside a value, and quote that value."),
        Meaning("row.quotes", 422, "Quotes that do not fit", "Close the quote, and double a quote inside a value."),
        Meaning("row.encoding", 422, "Bytes that are no text in this encoding", "Say the file's encoding in the mapping, or correct the row."),
        Meaning("row.nul", 422, "A NUL character", "Remove it; the file was damaged on its way or is no text."),
        Meaning("file.header", 422, "The header does not fit the mapping", "Correct the mapping's column names, or the file's first line."),
        Meaning("file.packing", 422, "The file cannot be unpacked", "Fetch the file again, or unpack it and import what comes out."),
        Meaning("file.malformed", 422, "The file does not have its format", "Look whether the mapping names the right format; else have the file sent again. Nothing of it was booked."),
        Meaning("file.incomplete", 422, "The file is not whole", "Have the whole file sent again; nothing of this one was booked."),
        Meaning("file.absent_kept", 422, "A full file does not name what is there, and is not believed", "Look at the file: have it sent whole, or raise absent_max in its mapping if all that is gone. This closes with the next full file of the location that is believed."),
        Meaning("file.instants", 422, "A full file of several instants", "A full file states each location as of one instant: give its rows one time."),
        Meaning("file.quarantined", 422, "A delivered file could not be used", "Look at the reason beside it. Put it right and back into the folder, or have it sent again; this closes when it is no longer in quarantine."),
        Meaning("import.rejected", 422, "Rows of a file could not be used", "Correct them in the file, or the mapping, and run the same import again: what was booked stays booked once, and this closes by itself."),
        Meaning("limit.row", 422, "A row too long to read", "Keep a row under 1,000,000 characters and 2,000 columns."),
        Meaning("limit.keys", 422, "More distinct keys than one run remembers", "Cut the file between transactions and import the pieces."),
        Meaning("limit.file", 413, "A file too large to take at once", "Cut the file into pieces within the limit that the detail names."),
        Meaning("limit.unpacked", 413, "The packed file unpacks to too much", "Unpack it, look at it, and import the unpacked file."),
        # auth
        Meaning("auth.missing", 401, "No key", "Send Authorization: Bearer evk_…; make one with: evenstock keys create."),
        Meaning("auth.unknown_key", 401, "This key does not open anything", "Check for typing errors, or whether the key was revoked."),
        Meaning("auth.scope", 403, "The key may not do this", "Make a key with the scope that the detail names."),
        Meaning("auth.source", 403, "The key may not speak for this source", "Use the key of that connection, or one with scope *."),
        Meaning("auth.browser", 403, "Asked from a web page", "Send it from the register's own program; web pages may not speak to the store agent."),
        # the store agent
        Meaning("agent.full", 507, "The store agent has no room left", "Bring the shop's line to the hub back, or give the agent more room (--disk-mb); then send it again.", retryable=True),
        Meaning("agent.cannot_keep", 503, "The store agent cannot write to its disk", "Send it again; if it stays so, look at the disk that the log names.", retryable=True),
        Meaning("agent.busy", 503, "Too much at once for the store agent", "Send it again after the seconds in Retry-After; nothing of it was kept.", retryable=True),
        # the hub itself
        Meaning("hub.overloaded", 503, "The hub is catching up", "Send it again after the seconds in Retry-After; nothing of it was booked.", retryable=True),
        Meaning("hub.stopping", 503, "The hub is stopping", "Send it again in a moment; nothing of it was booked.", retryable=True),
        Meaning("hub.memory_away", 503, "The database does not answer", "Send it again; a key that was already booked answers duplicate.", retryable=True),
        Meaning("hub.fence_raised", 409, "The database may have gone back in time", "Have each source send again what it sent since the time that the detail names, see docs/how-to/restore-a-database.md; then `evenstock fence --settled` closes this."),
        Meaning("hub.bug", 500, "A fault of ours", "Report it with the request id; sending it again is safe.", retryable=True),
    )
}  # fmt: skip


class Problem(msgspec.Struct, frozen=True):
    """One thing that is not right: its code, where it stands (JSON Pointer into what was sent), and why, in words."""

    code: str
    detail: str
    pointer: str = ""

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.code]


class Refusal(Exception):  # noqa: N818 - a refusal is no error of ours
    """Stops a caller with a problem."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.problem = Problem(code, detail, pointer)
