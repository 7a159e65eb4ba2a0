"""The times of a file: how they are written, and which instant a shop's local time is."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from evenstock.core.mapping.form import When
from evenstock.core.mapping.misfit import Misfit
from evenstock.core.mapping.problems import problem

TIMES_REMEMBERED_MAX = 4_096  # rows of one invoice share their time

_TOKENS = {
    "YYYY": r"(?P<year>[0-9]{4})", "MM": r"(?P<month>[0-9]{2})", "DD": r"(?P<day>[0-9]{2})",
    "HH": r"(?P<hour>[0-9]{2})", "mm": r"(?P<minute>[0-9]{2})", "ss": r"(?P<second>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})", "D": r"(?P<day>[0-9]{1,2})", "H": r"(?P<hour>[0-9]{1,2})",
}  # fmt: skip


@lru_cache(maxsize=64)
def time_pattern(form: str) -> re.Pattern[str] | None:
    """What `MM-DD-YYYY HH:mm` matches; None for `iso`."""
    if form == "iso":
        return None
    known = "It is made of YYYY, MM, DD, HH, mm and ss (M, D, H without leading zero), or is iso."
    pattern = ""
    for token in re.findall(r"YYYY|MM|DD|HH|mm|ss|M|D|H|[A-Za-z]+|.", form):
        if token in _TOKENS:
            if _TOKENS[token].split(">")[0] in pattern:
                hint = " Minutes are mm." if token in {"MM", "M"} else ""
                raise Misfit(["time", "formats"], f"{form!r} has {token} twice.{hint} {known}")
            pattern += _TOKENS[token]
        elif token.isalpha() and token != "T":  # noqa: S105 - a part of a time
            raise Misfit(["time", "formats"], f"{token!r} in {form!r} is no part of a time. {known}")
        else:
            pattern += re.escape(token)
    if lacking := [part for part in ("year", "month", "day") if f"<{part}>" not in pattern]:
        raise Misfit(["time", "formats"], f"{form!r} has no {lacking[0]}. {known}")
    return re.compile(pattern)


class Instant(msgspec.Struct, frozen=True):
    """A time as the event says it, with the place's offset, and as the key says it, in UTC."""

    text: str
    utc: str


class Clockwork:
    """Reads the times of one mapping; local time becomes an instant by the rules of its zone."""

    def __init__(self, time: When) -> None:
        self._time = time
        self._zone: tzinfo = ZoneInfo(time.zone)
        self._patterns = [time_pattern(form) for form in time.formats]
        self.read: Callable[[str, str], Instant] = lru_cache(maxsize=TIMES_REMEMBERED_MAX)(self._read)

    def _read(self, text: str, column: str) -> Instant:
        try:
            naive = next(self._candidates(text), None)
        except ValueError as error:
            raise problem("event.time", column, text, f"is no time: {error}") from error
        if naive is None:
            forms = " or ".join(self._time.formats)
            raise problem("event.time", column, text, f"is not written as {forms}")
        local = naive if naive.tzinfo else self._localised(naive, text, column)
        utc = local.astimezone(UTC)
        return Instant(local.isoformat(), utc.isoformat().replace("+00:00", "Z"))

    def _candidates(self, text: str) -> Iterator[datetime]:
        for pattern in self._patterns:
            if pattern is None:
                try:
                    yield datetime.fromisoformat(text)
                except ValueError:
                    continue
            elif found := pattern.fullmatch(text):
                yield datetime(**{name: int(digits) for name, digits in found.groupdict().items()})  # type: ignore[arg-type]  # noqa: DTZ001 - localised next

    def _localised(self, naive: datetime, text: str, column: str) -> datetime:
        fold = 1 if self._time.ambiguous == "second" else 0
        local = naive.replace(tzinfo=self._zone, fold=fold)
        back = local.replace(fold=0).astimezone(UTC).astimezone(self._zone)
        if back.replace(tzinfo=None) == naive:
            return local
        if self._time.missing == "shift":
            return back
        raise problem(
            "event.time", column, text,
            f"does not exist in {self._time.zone}: clocks went forward over it. "
            'Correct it, or say missing = "shift" under [time]',
        )  # fmt: skip
