from django.apps import AppConfig


class MarketingConfig(AppConfig):
    name = "consumers.examples.marketing"
    label = "marketing"
