"""The JSON that is agreed with the ERP; what it says more is left unread."""

from decimal import Decimal
from typing import Literal

import msgspec


class Line(msgspec.Struct, frozen=True):
    """What became of a line of a document."""

    line: str
    status: Literal["posted", "rejected"]
    code: str = "rejected"
    message: str = ""


class Document(msgspec.Struct, frozen=True):
    """A document of the books, or the job that is to make one. `failed`: there is none, and there will be none."""

    status: Literal["posted", "running", "failed"]
    document: str | None = None
    job: str | None = None
    code: str = "failed"
    message: str = ""
    lines: list[Line] = []


class Documents(msgspec.Struct, frozen=True):
    documents: list[Document]


class Complaint(msgspec.Struct, frozen=True):
    """Why a document is not taken."""

    code: str = "rejected"
    message: str = ""


class StockLine(msgspec.Struct, frozen=True):
    item: str
    location: str
    quantity: int | Decimal


class StockPage(msgspec.Struct, frozen=True):
    lines: list[StockLine]
    next: str | None = None
