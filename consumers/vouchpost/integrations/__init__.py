"""Thin adapters: each one reads a body of bounded size, asks the receiver, and writes its answer."""
