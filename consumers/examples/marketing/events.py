"""Verdicts in, recipients out. The subscription asks for the address (`include: ["address"]`)."""

from consumers.examples.marketing.models import Recipient
from vouchpost import Message, Router

router = Router()


@router.on_verdict
def remember(message: Message, using: str) -> None:
    """One row per subject; without a subject or an address there is nobody to write to."""
    verdict = message.verdict
    if verdict.subject_id is None or verdict.email is None:
        return
    Recipient.objects.using(using).update_or_create(
        subject_id=verdict.subject_id,
        defaults={
            "email": verdict.email,
            "status": verdict.status,
            "reason_code": verdict.reason_code,
            "checked_at": verdict.checked_at,
        },
    )
