"""The page: how large each segment is, and whom not to write to, most recent first."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_MEANS: Final = {
    "safe": "Accept mail: write to them.",
    "careful": "Doubtful or not verifiable yet: write seldom.",
    "suppressed": "Do not work: never write to them.",
}
_NOBODY: Final = SafeString('<tr><td colspan="2" class="quiet">Nobody.')


def overview(sizes: Mapping[str, int], suppressed: Iterable[Any]) -> SafeString:
    tiles = format_html_join(
        "",
        '<div class="card"><span class="status {0}">{0}</span><p class="number">{1}</p><p class="quiet">{2}</p>'
        '<a href="/segments/{0}.csv">Download</a></div>',
        ((name, size, _MEANS[name]) for name, size in sizes.items()),
    )
    rows = format_html_join(
        "", "<tr><td>{}<td>{}", ((one.email, one.reason_code.replace("_", " ")) for one in suppressed)
    )
    return format_html(
        '<h1>Segments</h1><div class="tiles">{}</div><h1 style="margin-top:2rem">Suppression list</h1>'
        '<div class="card"><table><tr><th>Address<th>Why{}</table></div>',
        tiles,
        rows or _NOBODY,
    )
