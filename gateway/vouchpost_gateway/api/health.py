"""/healthz and /readyz: is the process alive, and can it keep its promises. For machines, without a key."""

from vouchpost_gateway.api.answer import Answer, json_answer
from vouchpost_gateway.api.services import Health


def alive() -> Answer:
    return json_answer({"status": "alive"})


def ready(health: Health) -> Answer:
    """503 lists what is wrong, in words an operator can act on."""
    readiness = health.readiness()
    status = "ready" if readiness.ready else "not_ready"
    return json_answer({"status": status, "problems": list(readiness.problems)}, status=200 if readiness.ready else 503)
