"""What Prometheus reads, on a port of its own: fixed label sets, so that nothing a caller sends can add a series.

Counting costs next to nothing. What is dear to know (lanes, memory) is set by whoever watches the ledger anyway.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.process_collector import ProcessCollector

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.lane import LaneKind
from vouchpost_gateway.domain.verification import ReasonCode, Status
from vouchpost_gateway.tally import Spread, Tally

_LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 21_600)
_STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx", "none")


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._verdicts = self._counter("verdicts", "Verdicts committed", "status", "reason")
        self._attempts = self._counter("attempts", "Attempts settled", "outcome", "status_class")
        self._dead_letters = self._counter(
            "dead_letters", "Deliveries and verifications that became dead letters", "of"
        )
        self._bells = self._counter("bells", "Bells, by what rang them: new work, or the sweep for silent lanes", "by")
        self._requests = self._counter("http_requests", "Requests answered", "route", "status_class")
        self._request_time = self._histogram("http_request_seconds", "Time to answer a request")
        self._end_to_end = self._histogram("accepted_to_delivered_seconds", "From the 202 to a subscriber's 2xx")
        self._lane_items = self._gauge(
            "lane_items",
            "Items in the lanes with the oldest due work, at most 200 of each partition; of a paused lane, none",
            "lanes",
        )
        self._lane_age = self._gauge("lane_oldest_due_seconds", "How long the oldest due item has waited", "lanes")
        self._memory = self._gauge("ledger_memory_bytes", "Memory that the ledger's Redis uses, and may use", "what")
        self._ready = self._gauge("ready", "1 while this process can keep its promises")
        self._lines_dropped = self._gauge("log_lines_dropped", "Log lines lost because nobody read them in time")
        self._start_at_zero()

    def verdict(self, status: Status, reason: ReasonCode) -> None:
        self._verdicts.count(status, reason)

    def attempt(self, outcome: Outcome, status_code: int | None) -> None:
        """An attempt was settled; `status_code` is None when no answer came."""
        self._attempts.count(outcome, _CLASS_OF.get(status_code, "none"))

    def delivered(self, seconds_since_accepted: float) -> None:
        self._end_to_end.observe(max(0.0, seconds_since_accepted))

    def dead_letter(self, kind: LaneKind) -> None:
        self._dead_letters.count(kind.name.lower())

    def bells_rung(self, number: int = 1) -> None:
        self._bells.count("work", by=number)

    def bells_swept(self, number: int = 1) -> None:
        self._bells.count("sweep", by=number)

    def http_request(self, route: str, _method: str, status_code: int, seconds: float) -> None:
        """A request was answered. `route` is the template of the path, from the closed list of the API."""
        self._requests.count(route, _CLASS_OF.get(status_code, "none"))
        self._request_time.observe(seconds)

    def lanes(self, kind: LaneKind, *, items: int, oldest_due_s: float) -> None:
        """What all lanes of a kind hold, as last seen."""
        self._lane_items.labels(kind.name.lower()).set(items)
        self._lane_age.labels(kind.name.lower()).set(oldest_due_s)

    def ledger_memory(self, *, used_bytes: int, max_bytes: int) -> None:
        self._memory.labels("used").set(used_bytes)
        self._memory.labels("max").set(max_bytes)

    def follow(self, *, is_ready: Callable[[], bool], dropped_lines: Callable[[], int]) -> None:
        """Asks these at every scrape."""
        self._ready.set_function(lambda: float(is_ready()))
        self._lines_dropped.set_function(lambda: float(dropped_lines()))

    @contextmanager
    def served(self, *, host: str, port: int) -> Iterator[int]:
        """Answers scrapes from a thread while open; gives the port, which is a free one for 0."""
        server, thread = start_http_server(port, addr=host, registry=self.registry)
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _start_at_zero(self) -> None:
        """Rates and alerts need the series before the first failure."""
        for outcome, status_class in product(Outcome, _STATUS_CLASSES):
            self._attempts.count(outcome, status_class, by=0)
        for kind in (LaneKind.VERIFICATIONS, LaneKind.DELIVERIES):
            self._dead_letters.count(kind.name.lower(), by=0)
        for rung_by in ("work", "sweep"):
            self._bells.count(rung_by, by=0)
        for lanes in LaneKind:
            self.lanes(lanes, items=0, oldest_due_s=0)

    def _counter(self, name: str, help_text: str, *labels: str) -> Tally:
        return Tally(f"vouchpost_{name}", help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"vouchpost_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str) -> Spread:
        return Spread(f"vouchpost_{name}", help_text, _LATENCIES_S, registry=self.registry)


# `2xx`, …; there is none without an answer, or with a status code that HTTP does not know.
_CLASS_OF: dict[int | None, str] = {code: f"{code // 100}xx" for code in range(200, 600)}
