"""What a first run needs on one machine: a private Redis and a sandbox DNS zone."""
