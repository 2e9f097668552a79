"""The log in segments: files that are closed by size and age, and never written to again."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from uuid import uuid4

import structlog

from shared.messages.segments import CLOSED, OPEN, stem
from shared.runtime.clocks import SystemClock
from shared.runtime.config import ConfigurationError, Settings

log = structlog.get_logger(__name__)

LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB


class SegmentHandler(logging.Handler):
    """Writes each record to the segment that is open. Its writer holds a lock on it.

    Trouble is told once, on stdout, and ends nothing; each later record is tried again.
    Raises OSError when the first segment cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        service: str,
        *,
        limit_bytes: int,
        limit_seconds: float,
        now: Callable[[], datetime],
        machine_seconds: Callable[[], float] = monotonic,
    ):
        super().__init__()
        self._folder = folder
        self._service = service
        self._limit_bytes = limit_bytes
        self._limit_seconds = limit_seconds
        self._now = now
        self._machine_seconds = machine_seconds
        self._path: Path | None = None
        self._in_trouble = False
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record's line, into a new segment where the open one is full or old."""
        line = f"{self.format(record)}\n".encode()
        try:
            if self._path is not None and self._is_due(len(line)):
                self._close()
            if self._path is None:
                self._open()
            self._write(line)
        except OSError as error:
            self._tell_trouble(error)
        else:
            self._in_trouble = False

    def close(self) -> None:
        """Closes the open segment for good."""
        self.acquire()
        try:
            self._close()
        except OSError as error:
            self._tell_trouble(error)
        finally:
            self.release()
        super().close()

    def _is_due(self, more_bytes: int) -> bool:
        age_seconds = self._machine_seconds() - self._opened_seconds
        too_large = self._size_bytes + more_bytes > self._limit_bytes
        return self._size_bytes > 0 and (too_large or age_seconds >= self._limit_seconds)

    def _open(self) -> None:
        name = stem(self._service, self._now(), f"{os.getpid()}-{uuid4().hex[:8]}")
        path = self._folder / f"{name}{OPEN}"
        # Not yet its own name: unlocked, it would look like one that a dead writer left.
        made = path.with_suffix(".new")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, LOCK)
            made.rename(path)
        except OSError:
            os.close(descriptor)
            made.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor
        self._size_bytes = 0
        self._opened_seconds = self._machine_seconds()
        self._path = path

    def _write(self, line: bytes) -> None:
        left = line
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            # Of a line that a full disk cut off nothing stays.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size_bytes)
            raise
        self._size_bytes += len(line)

    def _close(self) -> None:
        if self._path is None:
            return
        path, self._path = self._path, None
        try:
            _settle(path)
        finally:
            os.close(self._descriptor)

    def _tell_trouble(self, error: OSError) -> None:
        if not self._in_trouble:
            # Set first: this line comes here too.
            self._in_trouble = True
            log.error("log_segment_failed", folder=str(self._folder), reason=str(error))


def open_segments(service: str, settings: Settings) -> SegmentHandler | None:
    """The handler of the folder that the settings name, where dead writers' segments are closed;
    None where they name none. Raises ConfigurationError when it cannot be written to."""
    if not settings.log_dir:
        return None
    folder = Path(settings.log_dir)
    try:
        close_abandoned(folder)
        return SegmentHandler(
            folder,
            service,
            limit_bytes=settings.log_segment_bytes,
            limit_seconds=settings.log_segment_seconds,
            now=SystemClock().now,
        )
    except OSError as error:
        raise ConfigurationError(
            (
                f"LOG_DIR: no log segment can be written to {folder} ({error.strerror}): make it a "
                "folder that this user may write to and that has room, or leave LOG_DIR out",
            )
        ) from error


def close_abandoned(folder: Path) -> list[str]:
    """Closes the segments whose writers are gone; their names. Raises OSError."""
    closed: list[str] = []
    for path in sorted(folder.glob(f"*{OPEN}")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # closed meanwhile
        try:
            fcntl.flock(descriptor, LOCK)
            # Another may have closed it between the two.
            if path.exists():
                closed.append(_settle(path).name)
        except BlockingIOError:
            continue  # its writer lives
        finally:
            os.close(descriptor)
    return closed


def _settle(path: Path) -> Path:
    """Gives the segment the name of a closed one, or takes an empty one away."""
    closed = path.with_suffix(CLOSED)
    if path.stat().st_size == 0:
        path.unlink()
    else:
        path.rename(closed)
    return closed
