"""The table of submissions that wait."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vouchpost", "0001_marks_and_guards")]

    operations = [
        migrations.CreateModel(
            name="Waiting",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=255, unique=True)),
                ("email", models.TextField()),
                ("details", models.TextField()),
            ],
        ),
    ]
