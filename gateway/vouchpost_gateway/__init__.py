"""Vouchpost's gateway: accepts email verifications, runs them on arq workers, pushes signed events."""
