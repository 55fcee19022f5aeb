"""A marketing system: who may be written to, and who must not."""
