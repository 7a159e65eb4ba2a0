"""Events as their systems write them; what is written often is written once."""

from datetime import datetime
from functools import lru_cache
from typing import Final

from evenstock.core.events import (
    ConditionLine,
    CountLine,
    CountSheet,
    Disposition,
    DispositionDecided,
    DispositionLine,
    FactRef,
    FactVoid,
    FactVoided,
    GoodsReceived,
    ItemRef,
    Line,
    Receipt,
    Return,
    ReturnReceived,
    Sale,
    SaleRecorded,
    Shipment,
    ShipmentConfirmed,
    StockCounted,
    Transfer,
    TransferReceived,
    TransferShipped,
)
from evenstock.core.quantity import Quantity
from evenstock.estate.box.demand import Goods

POS: Final = "pos"
OFFICE: Final = "office"
WMS: Final = "wms"

REMEMBERED: Final = 1 << 16

Basket = tuple[Goods, ...]


@lru_cache(maxsize=REMEMBERED)
def _line(number: int, sku: str, units: int) -> Line:
    return Line(line=str(number), item=ItemRef(sku), quantity=Quantity(units))


@lru_cache(maxsize=REMEMBERED)
def _condition_line(number: int, sku: str, units: int) -> ConditionLine:
    return ConditionLine(line=str(number), item=ItemRef(sku), quantity=Quantity(units))


@lru_cache(maxsize=REMEMBERED)
def _count_line(number: int, sku: str, units: int) -> CountLine:
    return CountLine(line=str(number), item=ItemRef(sku), bucket="sellable", quantity=Quantity(units))


def _lines(goods: Basket) -> list[Line]:
    return [_line(number, sku, units) for number, (sku, units) in enumerate(goods, 1)]


def _condition_lines(goods: Basket) -> list[ConditionLine]:
    return [_condition_line(number, sku, units) for number, (sku, units) in enumerate(goods, 1)]


def sale(
    id_: str, time: datetime, location: str, register: str, goods: Basket, number: int, epoch: int
) -> SaleRecorded:
    data = Sale(location=location, register=register, lines=_lines(goods))
    return SaleRecorded(id=id_, source=POS, time=time, sequence=number, epoch=epoch, data=data)


def returned(
    id_: str, time: datetime, location: str, goods: Basket, original: tuple[str, str]
) -> ReturnReceived:
    data = Return(location=location, lines=_condition_lines(goods), original=FactRef(*original))
    return ReturnReceived(id=id_, source=OFFICE, time=time, data=data)


def disposed(
    id_: str, time: datetime, location: str, goods: Basket, of_return: str, to: str
) -> DispositionDecided:
    lines = [
        DispositionLine(line=str(number), item=ItemRef(sku), quantity=Quantity(units), to=to)  # type: ignore[arg-type]  # one of the three
        for number, (sku, units) in enumerate(goods, 1)
    ]
    data = Disposition(location=location, lines=lines, return_=of_return)
    return DispositionDecided(id=id_, source=OFFICE, time=time, data=data)


def counted(
    id_: str, source: str, time: datetime, location: str, goods: Basket, *, opening: bool = False
) -> StockCounted:
    lines = [_count_line(number, sku, units) for number, (sku, units) in enumerate(goods, 1)]
    return StockCounted(
        id=id_, source=source, time=time, data=CountSheet(location=location, lines=lines, opening=opening)
    )


def voided(id_: str, source: str, time: datetime, target: str, *, goods: str = "never_left") -> FactVoided:
    return FactVoided(id=id_, source=source, time=time, data=FactVoid(target=target, goods=goods))  # type: ignore[arg-type]  # one of the two


def received(id_: str, time: datetime, location: str, goods: Basket) -> GoodsReceived:
    data = Receipt(location=location, lines=_condition_lines(goods), document=id_)
    return GoodsReceived(id=id_, source=WMS, time=time, data=data)


def sent(id_: str, time: datetime, transfer: str, here: str, there: str, goods: Basket) -> TransferShipped:
    data = Transfer(transfer=transfer, from_=here, to=there, lines=_condition_lines(goods))
    return TransferShipped(id=id_, source=WMS, time=time, data=data)


def arrived(
    id_: str, time: datetime, transfer: str, here: str, there: str, goods: Basket
) -> TransferReceived:
    data = Transfer(transfer=transfer, from_=here, to=there, lines=_condition_lines(goods))
    return TransferReceived(id=id_, source=OFFICE, time=time, data=data)


def shipped(
    id_: str, source: str, time: datetime, location: str, goods: Basket, order_ref: str
) -> ShipmentConfirmed:
    data = Shipment(location=location, lines=_lines(goods), order_ref=order_ref)
    return ShipmentConfirmed(id=id_, source=source, time=time, data=data)
