"""Exceptions of state: they begin and end with what a batch leaves behind (C16)."""

from collections.abc import Iterable

from evenstock.core.booking import Alarm
from evenstock.postgres.exceptions import Cause


def alarm_causes(alarms: Iterable[Alarm]) -> tuple[list[Cause], list[tuple[str, str]]]:
    """The exceptions that alarms open, and those that they close."""
    opens: list[Cause] = []
    closes: list[tuple[str, str]] = []
    for alarm in alarms:
        subject = f"position:{alarm.item_id}@{alarm.location_id}"
        if alarm.opens:
            opens.append(Cause(alarm.code, subject, "", None, alarm.item_id, alarm.location_id))
        else:
            closes.append((alarm.code, subject))
    return opens, closes
