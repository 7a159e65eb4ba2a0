"""The only place that asks what time it is; everything else is told."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time it is, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the place
