"""The tables of `models.py`."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="Guard",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("receiver", models.CharField(max_length=64)),
                ("guard", models.CharField(max_length=80)),
                ("sequence", models.BigIntegerField()),
                ("revision", models.BigIntegerField()),
                ("at_s", models.BigIntegerField(db_index=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("receiver", "guard"), name="vouchpost_guard_once")],
            },
        ),
        migrations.CreateModel(
            name="Mark",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("receiver", models.CharField(max_length=64)),
                ("event_id", models.CharField(max_length=64)),
                ("outcome", models.CharField(max_length=16)),
                ("at_s", models.BigIntegerField(db_index=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("receiver", "event_id"), name="vouchpost_mark_once")],
            },
        ),
    ]
