"""A signup service: the account exists at once, and what it may do depends on the verdict that arrives."""
