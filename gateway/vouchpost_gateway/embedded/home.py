"""What `vouchpost up` keeps in its data directory, and where. All of it is its owner's alone.

master.key   the key that seals addresses and signing secrets; without it they are lost
ledger.url   where the embedded Redis listens while `up` runs, with its password
test.key     the API key that `up` prints
redis/       the ledger
"""

import base64
import os
from pathlib import Path

from vouchpost_gateway.embedded.data_directory import DataDirectory, write_private

DEFAULT = Path("vouchpost-data")

_KEY_BYTES = 32


class Home:
    """A data directory and the files in it."""

    def __init__(self, path: Path | None = None) -> None:
        self.directory = DataDirectory(path or DEFAULT)
        self.path = self.directory.path
        self.master_key_file = self.path / "master.key"
        self.ledger_url_file = self.path / "ledger.url"
        self.test_key_file = self.path / "test.key"
        self.redis_dir = self.path / "redis"

    def make_master_key(self) -> None:
        """Makes the master key on the first start; never replaces one."""
        if not self.master_key_file.exists():
            write_private(self.master_key_file, base64.b64encode(os.urandom(_KEY_BYTES)).decode() + "\n")

    def keep_ledger_url(self, url: str) -> None:
        """So that `vouchpost keys` and `doctor` find the ledger from another terminal."""
        write_private(self.ledger_url_file, url + "\n")

    def test_key(self) -> str | None:
        try:
            return self.test_key_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None

    def keep_test_key(self, text: str) -> None:
        write_private(self.test_key_file, text + "\n")
