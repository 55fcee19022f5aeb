"""Names that no mail can reach from the public Internet, whatever a name server says about them.

Live questions about them are answered without asking. Test questions may be about the sandbox's own.
"""

# Each with where it is reserved. Matching is by whole labels, from the right.
_SPECIAL_USE = frozenset(
    {
        # RFC 6761 and RFC 2606
        "example", "example.com", "example.net", "example.org", "invalid", "localhost", "test",
        # RFC 6762 (mDNS), RFC 7686 (Tor), RFC 8375 (homenet), RFC 9476 (alternative name systems)
        "local", "onion", "home.arpa", "alt",
        # RFC 3172: infrastructure; nobody has a mailbox under it
        "arpa",
        # ICANN, 2024: for private use, never to be delegated
        "internal",
        # ICANN, 2018 and SAC045: never to be delegated because of collisions with private networks
        "corp", "home", "mail",
        # RFC 6762 appendix G: private top-level domains in wide use
        "intranet", "private", "lan",
        # The default of common equipment
        "localdomain",
    }
)  # fmt: skip

# What the sandbox answers for: the two that RFC 6761 sets aside for documentation and for tests.
_SANDBOX = frozenset({"example", "test"})


def is_reserved(domain: str) -> bool:
    """Whether the name is, or is under, one that is reserved."""
    return _under(domain, _SPECIAL_USE)


def is_sandbox(domain: str) -> bool:
    """Whether the sandbox answers for the name, so that test questions may ask about it."""
    return _under(domain, _SANDBOX)


def _under(domain: str, names: frozenset[str]) -> bool:
    labels = domain.split(".")
    return labels[-1] in names or ".".join(labels[-2:]) in names
