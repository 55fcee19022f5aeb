"""How the pages of the examples look: one stylesheet, and the frame around a page."""

from html import escape
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2330; --quiet: #5c6675; --line: #dfe3ea; --paper: #f5f6f9; --card: #fff;
  --accent: #2f5bd7; --good: #14794a; --doubt: #9a6200; --bad: #b3261e; --wait: #5c6675; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf1; --quiet: #9aa5b5; --line: #333b48; --paper: #14181f;
  --card: #1d232d; --accent: #8fb0ff; --good: #59cf95; --doubt: #e6b450; --bad: #ff8a80; --wait: #9aa5b5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.5rem;
  margin-bottom: 1rem; }
.quiet { color: var(--quiet); font-size: .9rem; }
.status { display: inline-block; padding: .1rem .7rem; border-radius: 999px; border: 1px solid currentColor;
  font-size: .9rem; font-weight: 600; color: var(--wait); }
.status.valid, .status.safe { color: var(--good); }
.status.risky, .status.unknown, .status.careful { color: var(--doubt); }
.status.invalid, .status.suppressed { color: var(--bad); }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-size: .8rem; color: var(--quiet); font-weight: 600; }
th, td { padding: .55rem .5rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
form { display: flex; gap: .5rem; flex-wrap: wrap; }
input { flex: 1 1 9rem; min-width: 0; padding: .55rem .8rem; font: inherit; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: 8px; }
button { padding: .55rem 1.1rem; font: inherit; font-weight: 600; border: 0; border-radius: 8px; cursor: pointer;
  background: var(--accent); color: var(--card); }
[role=alert] { color: var(--bad); margin: .6rem 0 0; }
[role=alert]:empty { display: none; }
ol.steps { list-style: none; margin: 0; padding: 0; }
ol.steps li { border-left: 2px solid var(--line); padding: 0 0 1rem 1.1rem; margin-left: .4rem; position: relative; }
ol.steps li::before { content: ""; position: absolute; left: -.42rem; top: .5rem; width: .7rem; height: .7rem;
  border-radius: 50%; background: var(--accent); }
ol.steps li:last-child { border-color: transparent; padding-bottom: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; }
.tiles .card { margin: 0; }
.number { font-size: 2rem; font-weight: 700; margin: .3rem 0; }
"""


def page(title: str, body: str) -> str:
    """The body is HTML, and whatever in it came from somebody is escaped already."""
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += '<link rel="icon" href="data:,">'
    return f"{head}<title>{escape(title)}</title><style>{STYLE}</style><main>{body}</main></html>"
