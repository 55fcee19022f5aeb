"""Where one machine keeps its data: readable by its owner only, and held by one process at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from vouchpost_gateway.domain.errors import Misconfigured


class DataDirectoryInUseError(Misconfigured):
    """Another process holds this data directory."""


class DataDirectoryUnusableError(Misconfigured):
    """The directory cannot be used for data, or is used for something else."""


class DataDirectory:
    """A directory only its owner may read, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[bytes] | None = None

    def hold(self) -> None:
        """Makes it and locks it until `release`, or until this process is gone; Misconfigured when it cannot."""
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise DataDirectoryInUseError(
                f"{self.path} is in use by another process: end that one, or name another directory"
            ) from None
        self._lock = lock

    def _open_lock(self) -> IO[bytes]:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_what_is_not_ours()
            self.path.chmod(0o700)
            return (self.path / "lock").open("ab")
        except OSError as error:
            raise DataDirectoryUnusableError(f"{self.path} cannot hold data: {error.strerror}") from error

    def _refuse_what_is_not_ours(self) -> None:
        """A directory of other things would be closed to whoever shares it now."""
        if not (self.path / "lock").exists() and any(self.path.iterdir()):
            raise DataDirectoryUnusableError(f"{self.path} holds something else; name an empty or a new directory")

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def write_private(path: Path, text: str) -> None:
    """Replaces a file at once and whole; only its owner may read it."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
