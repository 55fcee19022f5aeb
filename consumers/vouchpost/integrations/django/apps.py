"""The application that holds the marks: its migrations make the tables."""

from django.apps import AppConfig


class VouchpostConfig(AppConfig):
    name = "vouchpost.integrations.django"
    label = "vouchpost"
    verbose_name = "Vouchpost"
