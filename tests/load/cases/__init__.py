"""The load cases by name, each a function from seconds of load to a result."""
