"""The HTTP API: Starlette, one file per resource. The only place that knows status codes."""
