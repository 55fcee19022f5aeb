"""How a domain looks after its mail: SPF, DMARC, DKIM and MTA-STS, as signals that decide nothing about a mailbox."""
