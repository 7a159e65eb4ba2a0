"""Who is right about what (D8): claims to a domain, and what follows where nobody makes one, one system does, or two do.

A claim to one scope beats the claim to the rest (`default`); one to `everywhere` stands beside every other. Where two systems claim
the same, neither is believed: nothing is done, and a person is told (S23). What nobody claims is open to all.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

Domain = Literal[
    "item_master", "location_master", "stock_ledger", "reservations", "store_sales", "availability", "financial_stock",
]  # fmt: skip
DOMAINS: Final[tuple[str, ...]] = Domain.__args__  # type: ignore[attr-defined]  # of a Literal
HUB: Final = "evenstock"  # how a claim names the hub itself
EVERYWHERE: Final = "everywhere"
REST: Final = "default"  # where no other claim says otherwise
ONLY_OURS: Final = ("stock_ledger", "reservations")  # what the hub is, and leaves to nobody
SCOPED_BY: Final = {
    "store_sales": "location",
    "availability": "channel",
}  # other domains are owned as a whole

_WHAT: Final = {
    "item_master": "items", "location_master": "locations", "store_sales": "sales at {scope}",
    "availability": "the numbers of {scope}", "financial_stock": "the books of stock",
}  # fmt: skip


class Withheld(msgspec.Struct, frozen=True):
    """Why somebody may not write something: the code, what all that waits for the same is known by, and the words."""

    code: Literal["ownership.other", "ownership.disputed"]
    subject: str
    detail: str


Claims = Mapping[tuple[str, str], str]  # by domain and scope: who claims it


def claimants(claims: Claims, domain: str, scope: str = EVERYWHERE) -> list[str]:
    """Who claims to be right about a scope of a domain, by name; none, one, or several."""
    exact = None if scope == EVERYWHERE else claims.get((domain, scope))
    near = exact or claims.get((domain, REST))
    return sorted({each for each in (near, claims.get((domain, EVERYWHERE))) if each is not None})


def withheld(
    claims: Claims, domain: Domain, scope: str, author: str, *, also: Iterable[str] = ()
) -> Withheld | None:
    """Why `author` may not write in this scope; None when it may. `also`: owners on whose behalf it writes."""
    found = claimants(claims, domain, scope)
    what = _WHAT.get(domain, domain).format(scope=scope)
    if len(found) > 1:
        who = f"{', '.join(found[:-1])} and {found[-1]}"
        words = f"{who} both claim {what}, so neither is believed, and nothing is done."
        return Withheld("ownership.disputed", f"owner:{domain}:{scope}", words)
    if not found or found[0] in {author, *also}:
        return None
    owner, writer = _named(found[0]), _named(author)
    words = f"{writer} may not write {what}: {owner} is right about that."
    return Withheld("ownership.other", f"owner:{domain}:{scope}:{author}", words)


class Dispute(msgspec.Struct, frozen=True):
    """A scope of a domain that several systems claim."""

    domain: str
    scope: str
    claimants: list[str]


def disputes(claims: Claims) -> list[Dispute]:
    """What several systems claim."""
    found = [Dispute(domain, scope, claimants(claims, domain, scope)) for domain, scope in sorted(claims)]
    return [each for each in found if len(each.claimants) > 1 and each.scope != EVERYWHERE]


def is_only_ours(domain: str, scope: str) -> bool:
    """Whether nobody but the hub can be right about it; the numbers of a single channel may be its own."""
    return domain in ONLY_OURS or (domain == "availability" and scope in {EVERYWHERE, REST})


def _named(who: str) -> str:
    return "the hub" if who == HUB else who
