"""Recipients as the newest verdict about their address left them."""

from django.db import models

SEGMENTS = {"safe": ("valid",), "careful": ("risky", "unknown"), "suppressed": ("invalid",)}
"""Which statuses a segment holds. Nobody who is not in a segment is written to."""


class Recipient(models.Model):
    id = models.BigAutoField(primary_key=True)
    subject_id = models.CharField(max_length=128, unique=True)
    email = models.CharField(max_length=254)
    status = models.CharField(max_length=32, db_index=True)
    reason_code = models.CharField(max_length=64)
    checked_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "marketing"

    def __str__(self) -> str:
        return self.subject_id
