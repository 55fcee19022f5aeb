"""`deploy/settings.md`, made from the code: `uv run python -m tests.contract.settings_page` writes it."""

from pathlib import Path

from vouchpost_gateway.cli.settings import default_of
from vouchpost_gateway.settings import SECRETS, Settings, variable

PAGE = Path(__file__).parents[2] / "deploy" / "settings.md"

_HEAD = """# Settings

Environment variables, read once at the start. A wrong or unknown one stops the start, by its name.
`vouchpost settings` shows the same table, and what is set where it runs.

Secrets may come from a file instead, so that no environment holds them: {files}.

| variable | default | accepts |
|---|---|---|
"""


def page() -> str:
    files = ", ".join(f"`{variable(name)}_FILE`" for name in SECRETS)
    return _HEAD.format(files=files) + "".join(_row(name) for name in Settings.model_fields)


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    default = default_of(field.default)
    accepts = (field.description or "").replace("|", r"\|")
    return f"| `{variable(name)}` | {f'`{default}`' if default else ''} | {accepts} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
