"""The nouns and the rules. No I/O, no clock, no random numbers, no framework: they come in as arguments."""
