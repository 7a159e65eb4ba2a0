"""Why a customer was disappointed: the first cause that fits (reliability §6). What the hub did wrong must never fit."""

from typing import TYPE_CHECKING

from evenstock.estate.box.measures import LostCause, OversellCause

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box
    from evenstock.estate.box.orders import Order, Wish

Why = tuple[OversellCause, str]
WhyLost = tuple[LostCause, str]


def why_refused(box: "Box", order: "Order", wish: "Wish") -> Why:
    """Why there was nothing to promise for an accepted line when its order reached the hub."""
    if not wish.was_there:
        return "stale channel", lag_of(box, order.channel, wish.item_id)
    where = box.view_of(order.channel).locations if order.pickup is None else (order.pickup,)
    names = [box.place_names[location_id] for location_id in where]
    if any(_was_late(box, wish.sku, name, order.accepted_at) for name in names):
        return "late source", "a sale reported late"
    return "late source", "the order itself reported late"


def why_short(box: "Box", order: "Order", wish: "Wish", place: str) -> Why:
    """Why promised units were not on the shelf. Asked before anybody counts."""
    if not wish.was_there:
        return "stale channel", lag_of(box, order.channel, wish.item_id)
    if _was_late(box, wish.sku, place, order.accepted_at):
        return "late source", "a sale reported late"
    spot = (wish.sku, place)
    if box.truth.unseen(*spot) > 0 or box.measures.missed.get(spot, -1) > order.accepted_at:
        return "physical drift", "the books had more than the shelf"
    position = box.hub.memory.position((wish.item_id, box.place_ids[place]))
    unknown = sum(units for _, units in box.witness.unknown_yet(spot))
    if position.vector[0] - position.reserved - position.allocated - unknown < 0:
        return "accepted risk", "sold over the counter after the promise"
    if place in box.wrong_clocks:
        return "late source", "a register whose clock was wrong"
    return "hub", "unexplained"


def why_lost(  # noqa: PLR0911 - the first that matches
    box: "Box", channel: str, sku: str, units: int, pickup: int | None
) -> WhyLost | None:
    """Why a channel showed too little; None when nobody had so many to sell."""
    view, item_id = box.view_of(channel), box.items[sku]
    where = view.locations if pickup is None else (pickup,)
    claimed = really = 0
    for location_id in where:
        position = box.hub.memory.position((item_id, location_id))
        claimed += position.reserved + position.allocated
        really += max(0, box.truth.units(sku, box.place_names[location_id]))
    if really - claimed < units:
        return None
    if view.recomputed(item_id, where, safety_stock=view.safety_stock, with_dark=False) >= units:
        return "stale channel", lag_of(box, channel, item_id)
    if view.recomputed(item_id, where, safety_stock=view.safety_stock, with_dark=True) >= units:
        return "offline store", "a silent store was taken off"
    if view.recomputed(item_id, where, safety_stock=0, with_dark=True) >= units:
        return "safety stock", "each place keeps some back"
    if sku not in box.hub.memory.masters.items_by_sku:
        return "late source", "an item that is not in the master"
    if any(box.witness.is_behind(box.place_names[location_id]) for location_id in where):
        return "late source", "goods that are not known yet"
    return "physical drift", "the shelf had more than the books"


def lag_of(box: "Box", channel: str, item_id: int) -> str:
    """Whose delay it was that a channel showed an old number."""
    sender, door = box.senders[channel], box.doors[channel]
    if not box.process.is_up:
        return "the hub was down"
    if door.in_brownout():
        return "the channel's interface was ill"
    if box.batch_every:
        return "batches"
    if item_id in sender.owed and sender.busy_until > box.agenda.now:
        return "the channel's limit of calls"
    return "on its way"


def _was_late(box: "Box", sku: str, place: str, accepted_at: int) -> bool:
    """Whether a sale there happened before the order and was known only after it."""
    late = box.witness.late.get((sku, place), ())
    if any(happened <= accepted_at < arrived for happened, arrived in late):
        return True
    return any(at <= accepted_at for at, _ in box.witness.unknown_yet((sku, place)))
