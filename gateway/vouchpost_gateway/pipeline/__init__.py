"""One request to one final delivery, a file per step. Each opens with the narrow Protocols it needs."""
