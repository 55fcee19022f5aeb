"""How long things are kept, and when a record may go."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Retention:
    """Times in milliseconds after which verdicts, delivered deliveries and dead letters are no longer kept."""

    verdicts_ms: int
    delivered_ms: int
    dead_letters_ms: int

    @property
    def shortest_ms(self) -> int:
        """No record younger than this can be due to go."""
        return min(self.verdicts_ms, self.dead_letters_ms)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a record holds, as far as its end depends on it.

    `since_ms` is when it was made, or when something asked of it later came about, such as a recheck or a resend.
    `pending` is a verification without a verdict, or one that will be rechecked; `open_deliveries` are those that have
    not ended; `dead_letters` says that the verification, or a delivery of it, is a dead letter. `as_read` is
    the record itself.
    """

    since_ms: int
    pending: bool
    open_deliveries: bool
    dead_letters: bool
    as_read: bytes = field(default=b"", repr=False)


def may_go(kept: Kept, rules: Retention, *, now_ms: int) -> bool:
    """Never while it is being verified; otherwise by age, which is that of dead letters where it holds one."""
    if kept.pending:
        return False
    age_ms = now_ms - kept.since_ms
    return age_ms >= (rules.dead_letters_ms if kept.dead_letters else rules.verdicts_ms)
