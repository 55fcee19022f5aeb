"""The marks, the guards and the outbox, as rows beside the application's own."""

from django.db import models


class Mark(models.Model):
    """An event that was dealt with."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.CharField(max_length=64)
    event_id = models.CharField(max_length=64)
    outcome = models.CharField(max_length=16)
    at_s = models.BigIntegerField(db_index=True)

    class Meta:
        app_label = "vouchpost"
        constraints = [models.UniqueConstraint(fields=["receiver", "event_id"], name="vouchpost_mark_once")]

    def __str__(self) -> str:
        return f"{self.receiver} {self.event_id} {self.outcome}"


class Guard(models.Model):
    """How far the verdicts of a subject have come."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.CharField(max_length=64)
    guard = models.CharField(max_length=80)
    sequence = models.BigIntegerField()
    revision = models.BigIntegerField()
    at_s = models.BigIntegerField(db_index=True)

    class Meta:
        app_label = "vouchpost"
        constraints = [models.UniqueConstraint(fields=["receiver", "guard"], name="vouchpost_guard_once")]

    def __str__(self) -> str:
        return f"{self.receiver} {self.sequence}.{self.revision}"


class Waiting(models.Model):
    """A submission that the gateway has not taken yet."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=255, unique=True)
    email = models.TextField()
    details = models.TextField()

    class Meta:
        app_label = "vouchpost"

    def __str__(self) -> str:
        return f"{self.key}"
