"""What the steps tell of themselves: one call per outcome, with all ids and never an address."""

from typing import Protocol

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.ids import DeliveryRef
from vouchpost_gateway.domain.outcome import Answer
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import Verdict, Verification
from vouchpost_gateway.domain.world import World


class Report(Protocol):
    """Where logs and metrics come from. Never waits, never raises."""

    def accepted(self, world: World, stem: str, *, repeated: bool) -> None: ...

    def verified(self, world: World, verification: Verification, verdict: Verdict, *, revision: int) -> None: ...

    def postponed(self, world: World, stem: str, *, delay_ms: int, verdict: Verdict) -> None: ...

    def attempted(
        self,
        world: World,
        ref: DeliveryRef,
        subscription: Subscription,
        *,
        number: int,
        outcome: Outcome,
        dead: bool,
        answer: Answer,
        age_ms: int | None,
    ) -> None:
        """`age_ms` is the time since the 202; None for a delivery that was sent again by hand."""

    def expired(self, world: World, ref: DeliveryRef) -> None:
        """A delivery waited past all retention and became a dead letter without another attempt."""

    def disabled(self, world: World, subscription: Subscription) -> None: ...

    def rung(self, count: int, *, swept: bool) -> None: ...

    def failed(self, step: str, subject: str, error: BaseException) -> None:
        """A step failed in a way that no rule foresees; its item comes due again, at the latest when its lease ends."""
