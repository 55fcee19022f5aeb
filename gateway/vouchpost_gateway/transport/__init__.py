"""One HTTP request out to a subscriber, bounded in time, memory and destination."""
