"""Who may write what: nobody's domain is open, an exact claim beats the rest, and two claimants are neither believed."""

from typing import Any

import pytest

from evenstock.core.owning import HUB, Claims, disputes, is_only_ours, withheld

DEFAULT = {("store_sales", "default"): "pos-nl", ("store_sales", "0042"): "pos-old"}
CLAIMED: list[tuple[dict[tuple[str, str], str], str, str, str | None]] = [
    ({}, "0107", "anybody", None),
    (DEFAULT, "0107", "pos-nl", None),
    (DEFAULT, "0107", "pos-old", "ownership.other"),
    (DEFAULT, "0042", "pos-old", None),
    (DEFAULT, "0042", "pos-nl", "ownership.other"),
    ({("store_sales", "0042"): "pos-old"}, "0107", "anybody", None),
    (DEFAULT | {("store_sales", "everywhere"): "pos-nl"}, "0107", "pos-nl", None),
    (DEFAULT | {("store_sales", "everywhere"): "pos-nl"}, "0042", "pos-nl", "ownership.disputed"),
    (DEFAULT | {("store_sales", "everywhere"): "pos-nl"}, "0042", "pos-old", "ownership.disputed"),
    ({("store_sales", "everywhere"): HUB}, "0107", "pos-nl", "ownership.other"),
    ({("item_master", "everywhere"): "erp"}, "0107", "pos-nl", None),
]


@pytest.mark.parametrize(("claims", "scope", "author", "code"), CLAIMED)
def test_only_who_is_right_about_a_scope_may_write_it(
    claims: Claims, scope: str, author: str, code: str | None
) -> None:
    why = withheld(claims, "store_sales", scope, author)
    assert (None if why is None else why.code) == code


def test_who_writes_on_behalf_of_the_owner_may_write() -> None:
    claims = {("financial_stock", "everywhere"): "erp"}
    assert withheld(claims, "financial_stock", "everywhere", HUB, also=["erp"]) is None
    why: Any = withheld(claims, "financial_stock", "everywhere", HUB, also=["old-erp"])
    assert why.detail == "the hub may not write the books of stock: erp is right about that."


def test_a_dispute_names_all_that_claim_the_same() -> None:
    claims = DEFAULT | {("store_sales", "everywhere"): "pos-nl"}
    (dispute,) = disputes(claims)
    assert (dispute.domain, dispute.scope, dispute.claimants) == (
        "store_sales",
        "0042",
        ["pos-nl", "pos-old"],
    )
    why: Any = withheld(claims, "store_sales", "0042", "pos-nl")
    assert (
        why.detail
        == "pos-nl and pos-old both claim sales at 0042, so neither is believed, and nothing is done."
    )
    assert disputes(DEFAULT) == []


def test_what_the_hub_is_can_be_left_to_nobody_but_a_channel_may_know_its_own_numbers() -> None:
    assert is_only_ours("stock_ledger", "everywhere")
    assert is_only_ours("reservations", "0107")
    assert is_only_ours("availability", "default")
    assert not is_only_ours("availability", "amazon-fba")
    assert not is_only_ours("store_sales", "everywhere")
