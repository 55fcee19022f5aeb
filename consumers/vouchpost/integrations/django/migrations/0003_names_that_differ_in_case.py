"""Names and keys of which every letter counts: by default MySQL and MariaDB take `crm` and `CRM` for the same."""

from typing import Any

from django.db import migrations

_COLUMNS = [
    ("vouchpost_mark", "receiver", 64),
    ("vouchpost_mark", "event_id", 64),
    ("vouchpost_guard", "receiver", 64),
    ("vouchpost_guard", "guard", 80),
    ("vouchpost_waiting", "key", 255),
]


def tell_case_apart(_: Any, editor: Any) -> None:
    if editor.connection.vendor == "mysql":
        for table, column, length in _COLUMNS:
            editor.execute(f"ALTER TABLE {table} MODIFY `{column}` varchar({length}) COLLATE utf8mb4_bin NOT NULL")


class Migration(migrations.Migration):
    dependencies = [("vouchpost", "0002_outbox")]

    operations = [
        # not atomic: what alters a table is not in a transaction there
        migrations.RunPython(tell_case_apart, migrations.RunPython.noop, atomic=False),
    ]
