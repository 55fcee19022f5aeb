"""Vouchpost's consumer kit: receive signed events, submit addresses."""
