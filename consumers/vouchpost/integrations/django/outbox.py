"""An outbox through the Django ORM. What is added within a transaction is part of it, as with all Django writes."""

import json
from collections.abc import Sequence

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from vouchpost.integrations.django.models import Waiting
from vouchpost.integrations.django.store import check_that_it_commits
from vouchpost.outbox import Submission


class DjangoOutbox:
    """In the database of this alias, or of the one that is given as `handle`."""

    def __init__(self, using: str = "default") -> None:
        self._using = using

    def add(self, submission: Submission, *, handle: str | None = None) -> None:
        row = Waiting(key=submission.key, email=submission.email, details=json.dumps(submission.details()))
        Waiting.objects.using(handle or self._using).bulk_create([row], ignore_conflicts=True)  # it may wait already

    def oldest(self, limit: int) -> Sequence[Submission]:
        close_old_connections()  # a submitter's thread lives longer than a connection may
        check_that_it_commits(self._using)  # or what was sent would wait for ever, and be sent again and again
        rows = Waiting.objects.using(self._using).order_by("id")[:limit]
        return [Submission(row.email, key=row.key, **json.loads(row.details)) for row in rows]

    def remove(self, key: str) -> None:
        Waiting.objects.using(self._using).filter(key=key).delete()

    async def add_async(self, submission: Submission, *, handle: str | None = None) -> None:
        """In the thread that Django keeps for the ORM, as all of its own async queries are."""
        await sync_to_async(self.add)(submission, handle=handle)

    async def oldest_async(self, limit: int) -> Sequence[Submission]:
        return await sync_to_async(self.oldest)(limit)

    async def remove_async(self, key: str) -> None:
        await sync_to_async(self.remove)(key)
