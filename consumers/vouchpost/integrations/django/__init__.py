"""Django: add "vouchpost.integrations.django" to INSTALLED_APPS, migrate, and route `view(receiver)`."""
