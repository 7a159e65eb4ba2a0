"""The world by itself: it keeps to its seed, keeps its people apart, and keeps exact books on what really happened."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from evenstock.core.ledger import Vector
from evenstock.estate.actors import VISIT_EVERY, WEB, Demand
from evenstock.estate.cast import COLLECT, HERO, HOME_DELIVERY, STORES, WAREHOUSE, Cast
from evenstock.estate.facts import MINUTE, SECOND, SPEED_MAX, STEP, Fact, NewItem, Timetable
from evenstock.estate.links import Delivery, Link
from evenstock.estate.orders import HOLD, Order
from evenstock.estate.pace import Pace
from evenstock.estate.plan import UNPLUGGED, Plan
from evenstock.estate.truth import Spot, Truth
from evenstock.estate.world import Said, World

SPEED = 60
SPAN_S = 30
END = SPAN_S * SPEED * SECOND
SMALL = Cast(stores=("0107", "0118", "0103"))


def world(seed: int = 1, cast: Cast = SMALL) -> World:
    return World(seed, cast, Plan.of(cast, SPAN_S, SPEED))


def told(of: World, *, cuts: int = 1) -> list[Said]:
    """Everything that a world says until the end of its first act, played in so many pieces."""
    pieces = [said for cut in range(1, cuts + 1) for said in of.until(cut * END // cuts)]
    return pieces + of.close()


def carried(seed: int, facts: list[Fact]) -> list[Delivery]:
    links: dict[str, Link] = {}
    plan = Plan.of(SMALL, SPAN_S, SPEED)
    return [
        delivery
        for fact in facts
        for delivery in links.setdefault(fact.link, Link(seed, fact.link, plan, Pace(SPEED))).carry(fact)
    ]


@pytest.fixture(scope="module")
def facts() -> list[Fact]:
    return [said for said in told(world()) if isinstance(said, Fact)]


def test_the_same_seed_tells_the_same_facts_however_it_is_cut() -> None:
    assert told(world()) == told(world(), cuts=97)


def test_two_seeds_tell_different_facts() -> None:
    assert told(world(1)) != told(world(2))


def test_a_store_more_does_not_change_what_customers_elsewhere_want() -> None:
    small, large = Cast(stores=("0107", "0118")), Cast()
    for place in ("0107", "0118", "web-shop"):
        demands = [Demand(1, place, cast, VISIT_EVERY) for cast in (small, large)]
        at = 0
        for _ in range(500):
            visit, same = (demand.after(at) for demand in demands)
            assert visit == same
            at = visit.at


def test_a_store_more_does_not_change_the_tickets_of_another() -> None:
    """As long as its shelves are full, a store sells what its customers want, whoever else is open."""

    def tickets(stores: int) -> list[tuple[int, str, object]]:
        cast = Cast(stores=tuple(id_ for id_, _ in STORES[:stores]))
        said = world(1, cast).until(-60 * MINUTE)
        return [
            (fact.at, fact.id, fact.data["lines"])
            for fact in said
            if isinstance(fact, Fact) and fact.location == "0118" and fact.type == "SaleRecorded.v1"
        ]

    assert tickets(3) == tickets(7)
    assert len(tickets(3)) > 20


def test_keys_are_unique_and_registers_count_without_a_gap(facts: list[Fact]) -> None:
    assert len({(fact.source, fact.id) for fact in facts}) == len(facts)
    numbers = defaultdict(list)
    for fact in facts:
        if fact.sequence is not None:
            numbers[fact.link].append(fact.sequence)
    assert len(numbers) == len(SMALL.stores) * SMALL.registers
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))


def test_no_two_facts_of_a_location_are_a_tie_on_the_walls_clock(facts: list[Fact]) -> None:
    timetable = Timetable(datetime(2026, 3, 2, 12, tzinfo=UTC), SPEED_MAX)
    instants = defaultdict(list)
    for fact in facts:
        if "location" in fact.data:
            instants[fact.data["location"]].append(timetable.instant(fact.at))
    for found in instants.values():
        assert len(set(found)) == len(found)
    assert timetable.instant(STEP) > timetable.instant(0)


def test_time_runs_faster_only_once_the_show_is_open() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    timetable = Timetable(noon, SPEED)
    assert timetable.instant(-MINUTE) == noon - timedelta(minutes=1)
    assert timetable.instant(MINUTE) == noon + timedelta(seconds=1)
    assert timetable.at(noon + timedelta(seconds=1)) == MINUTE


def test_the_world_stands_still_while_the_hub_is_told_the_morning() -> None:
    noon, told_in = datetime(2026, 3, 2, 12, tzinfo=UTC), timedelta(seconds=9)
    timetable = Timetable(noon, SPEED, told_in)
    assert timetable.instant(-MINUTE) == noon - timedelta(minutes=1)
    assert timetable.instant(MINUTE) == noon + told_in + timedelta(seconds=1)
    assert timetable.at(noon + told_in + timedelta(seconds=1)) == MINUTE


@pytest.mark.parametrize("speeds", [(SPEED_MAX, 1, SPEED_MAX), (1, SPEED_MAX, 7)])
def test_what_has_happened_keeps_its_instant_when_the_speed_changes(speeds: tuple[int, int, int]) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    first = Timetable(noon, speeds[0], timedelta(seconds=9))
    changes = [noon + timedelta(seconds=10, microseconds=123_456), noon + timedelta(seconds=11)]
    second = first.at_speed(speeds[1], changes[0])
    third = second.at_speed(speeds[2], changes[1])
    one, two = first.at(changes[0]), second.at(changes[1])
    for before, after, at in ((first, second, one), (second, third, two)):
        assert after.at(after.instant(at)) == at
        assert [after.instant(at - back) for back in range(1, at, at // 50)] == [
            before.instant(at - back) for back in range(1, at, at // 50)
        ]
    assert third.instant(-MINUTE) == noon - timedelta(minutes=1)
    assert third.at(changes[1] + timedelta(seconds=1)) == two + speeds[2] * SECOND
    for change in (one, two):
        for off in range(0, STEP, 97):
            facts = [third.instant(change + off + number * STEP) for number in range(-3, 4)]
            assert facts == sorted(set(facts))


def test_everything_that_the_show_promises_is_in_it(facts: list[Fact]) -> None:
    kinds = {fact.type.removesuffix(".v1") for fact in facts}
    assert kinds == {
        "SaleRecorded", "ReturnReceived", "DispositionDecided", "GoodsReceived", "TransferShipped", "TransferReceived",
        "StockCounted", "FactVoided",
    }  # fmt: skip
    sold = {fact.id: fact.location for fact in facts if fact.type == "SaleRecorded.v1"}
    returns = [fact for fact in facts if fact.type == "ReturnReceived.v1"]
    assert any(sold[fact.data["original"]["id"]] != fact.location for fact in returns)
    deliveries = carried(1, facts)
    assert any(delivery.late for delivery in deliveries)
    assert any(delivery.kind == "again" for delivery in deliveries)


def test_the_web_shop_sells_in_the_morning_and_lets_its_customers_ask_for_a_promise_in_the_show() -> None:
    said = told(world())
    orders = [each for each in said if isinstance(each, Order)]
    assert min(order.at for order in orders) >= 0
    assert all(fact.at < 0 for fact in said if isinstance(fact, Fact) and fact.source == WEB)
    assert len({order.ref for order in orders}) == len(orders) > 100
    assert {(order.channel, order.location) for order in orders} == {
        (HOME_DELIVERY, WAREHOUSE), (COLLECT, "0107"), (COLLECT, "0118"),
    }  # fmt: skip
    assert {order.end for order in orders} == {"handed_over", "left", "cancelled"}
    assert all(order.at < order.pays_at < order.at + HOLD for order in orders)
    assert all(order.pays_at < order.aside_at < order.ends_at for order in orders)


def test_what_was_promised_is_handed_over_if_it_lies_there_and_else_it_is_not() -> None:
    one = world()
    one.until(0)
    there = one.truth.units(HERO, "0107")
    order = Order(
        at=0, channel=COLLECT, ref="WEB-1", location="0107", basket=[(HERO, there), ("CAP-RED-ONE", 1)],
        end="handed_over", pays_at=1, aside_at=2, ends_at=3,
    )  # fmt: skip
    assert not one.hand_over(msgspec.structs.replace(order, basket=[(HERO, there + 1)]), "rsv_1")
    assert one.truth.units(HERO, "0107") == there
    assert one.hand_over(order, "rsv_1")
    assert one.truth.units(HERO, "0107") == 0
    (fact,) = one.until(0)
    assert isinstance(fact, Fact)
    assert fact.type == "ShipmentConfirmed.v1"
    assert (fact.data["reservation"], fact.data["order_ref"], fact.moves) == ("rsv_1", "WEB-1", 2)


def test_a_world_that_stops_pays_what_it_owes() -> None:
    one = world()
    said = one.until(
        END // 4
    )  # the mistake was made, its void is still to come, and so is the new item's master
    owed = one.close()
    assert not any(isinstance(each, NewItem) for each in said)
    assert sorted(type(each).__name__ for each in owed) == ["Fact", "NewItem"]
    assert one.close() == []


def test_the_books_are_what_the_facts_say_in_the_order_in_which_they_happened() -> None:
    """Told in order, counts setting what they saw: the facts alone lead to the truth and what vanished since."""
    one = world()
    facts = [said for said in told(one) if isinstance(said, Fact)]
    assert folded(facts) == {spot: vector for spot, vector in one.truth.books().items() if any(vector)}
    assert one.truth.undiscovered() > 0


def folded(facts: list[Fact]) -> dict[Spot, Vector]:
    """A replay as simple as can be."""
    voided = {fact.data["target"] for fact in facts if fact.type == "FactVoided.v1"}
    books: dict[Spot, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for fact in sorted(facts, key=lambda fact: fact.at):
        data, kind = fact.data, fact.type.removesuffix(".v1")
        for line in data.get("lines", ()) if fact.id not in voided else ():
            sku, units = line["item"]["sku"], line["quantity"]
            here = books[sku, data["location"] if "location" in data else data["from"]]
            there = books[sku, data.get("to", "")]
            match kind:
                case "SaleRecorded":
                    here[0] -= units
                case "ReturnReceived":
                    here[1] += units
                case "GoodsReceived":
                    here[0] += units
                case "StockCounted":
                    here[0] = units
                case "DispositionDecided":
                    here[1] -= units
                    here[0] += units if data["to"] == "sellable" else 0
                    here[2] += units if data["to"] == "damaged" else 0
                case "TransferShipped":
                    here[0] -= units
                    there[3] += units
                case "TransferReceived":
                    there[3] -= units
                    there[0] += units
                case _:
                    raise AssertionError(kind)
    return {spot: (a, b, c, d) for spot, (a, b, c, d) in books.items() if any((a, b, c, d))}


def test_what_vanishes_is_in_the_books_until_it_is_counted() -> None:
    truth, spot = Truth(), ("TSH-BLK-M", "0107")
    truth.move(spot, "supplier", "sellable", 10)
    assert truth.vanish(spot, "sellable", 3) == 3
    assert (truth.units(*spot), truth.books()[spot], truth.undiscovered()) == (7, (10, 0, 0, 0), 3)
    truth.move(spot, "sellable", "customer", 2)
    assert truth.books()[spot] == (8, 0, 0, 0)
    assert truth.count(spot) == 5
    assert (truth.books()[spot], truth.undiscovered()) == ((5, 0, 0, 0), 0)


def test_nobody_gives_away_what_is_not_there() -> None:
    truth = Truth()
    assert truth.vanish(("CAP-RED-ONE", "0107"), "sellable", 1) == 0
    with pytest.raises(ValueError, match="does not have"):
        truth.move(("CAP-RED-ONE", "0107"), "sellable", "customer", 1)


def test_a_link_brings_everything_once_in_order_and_nothing_early(facts: list[Fact]) -> None:
    deliveries = carried(1, facts)
    first = [delivery.fact for delivery in deliveries if delivery.kind == "first"]
    assert first == facts
    assert all(delivery.at >= delivery.fact.at for delivery in deliveries)
    assert deliveries == carried(1, facts)


def test_a_line_that_is_cut_brings_everything_when_it_is_back(facts: list[Fact]) -> None:
    plan = Plan.of(SMALL, SPAN_S, SPEED)
    back = plan.away_until("0107/2", -UNPLUGGED)
    assert back is not None
    held_back = [
        delivery
        for delivery in carried(1, facts)
        if delivery.fact.link == "0107/2"
        and -UNPLUGGED <= delivery.fact.at < back
        and delivery.kind == "first"
    ]
    assert len(held_back) > 3
    assert {delivery.at for delivery in held_back} == {back}
    assert all(delivery.late for delivery in held_back)
    assert plan.away_until("0107/2", back) is None
    assert plan.away_until("0107/1", -UNPLUGGED) is None
