"""Reference consumers: real frameworks, real databases, one command each."""
