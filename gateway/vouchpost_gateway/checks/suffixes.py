"""The public suffixes, as publicsuffixlist carries them: no network, read once."""

from functools import cache

from publicsuffixlist import PublicSuffixList


@cache
def suffixes() -> PublicSuffixList:
    """Only what is listed counts: a suffix that nobody has listed is none."""
    return PublicSuffixList(accept_unknown=False)
