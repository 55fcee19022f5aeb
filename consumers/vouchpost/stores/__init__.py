"""Where marks and guards live, beside the consumer's own data. Each store is imported by name, with what it needs."""
