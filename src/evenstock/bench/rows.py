"""The rows of the table: what is measured, what it must at least be, and what we aim at (DESIGN §7)."""

import msgspec

GATE = 0.5  # of `at least`: under it the benchmark fails, for machines differ and ours is noisy


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A figure. `unit` is /s unless it says otherwise; ratios are of figures of the same run."""

    name: str
    figure: float
    unit: str = "/s"
    at_least: float | None = None
    aim: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    p99_at_most_ms: float | None = None
    load_share: float | None = None  # of the time of one processor, used by the load itself
    note: str = ""

    @property
    def passes(self) -> bool:
        """Whether the figure is not far under what it must be; ratios and latencies hold as they stand."""
        if self.at_least is not None and self.figure < self.at_least * (GATE if self.unit == "/s" else 1.0):
            return False
        return self.p99_at_most_ms is None or self.p99_ms is None or self.p99_ms <= self.p99_at_most_ms / GATE

    @property
    def verdict(self) -> str:
        """In one word."""
        if not self.passes:
            return "MISSED"
        if self.aim is not None and self.figure >= self.aim:
            return "aim"
        return "under" if self.at_least is not None and self.figure < self.at_least else "ok"
