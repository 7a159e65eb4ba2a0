"""A channel's number explained: its terms in a column that adds up, where they are and for whom, and the sentence."""

from evenstock.core.availability import Exposed
from evenstock.core.explaining import ExplainedTerm, Explanation


def explanation_in_words(found: Explanation) -> list[str]:
    """The lines of `why SKU --channel C`."""
    rows = [(term.label.replace("_", " "), str(term.quantity), _behind(term)) for term in found.terms]
    rows.append(("intended", str(found.intended), _told(found.exposure)))
    labels, amounts = (max(len(row[column]) for row in rows) for column in (0, 1))
    stand = f"as of {found.as_of:%Y-%m-%d %H:%M:%S %Z}, ledger_seq {found.ledger_seq:,}"
    return [
        f"{found.sku} · {found.channel} should see {found.intended}   {stand}",
        *(f"  {label:<{labels}}  {amount:>{amounts}}  {behind}".rstrip() for label, amount, behind in rows),
        f"→ {found.sentence}",
    ]


def _behind(term: ExplainedTerm) -> str:
    where = " · ".join(f"{part.location} {part.quantity}" for part in term.parts)
    who = ", ".join(f"{each.order_ref or each.reservation} ({each.quantity})" for each in term.promises)
    return f"{where}   for {who}" if who else where


def _told(exposure: Exposed | None) -> str:
    if exposure is None or exposure.sent_at is None:
        return "not sent yet"
    acked = "not confirmed" if exposure.acked is None else f"confirmed {exposure.acked}"
    return f"sent {exposure.sent} at {exposure.sent_at:%H:%M:%S} · {acked}"
