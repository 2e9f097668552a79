"""Gzip without second copies: a file is compressed as it is read, and checked as it comes back."""

from __future__ import annotations

import zlib
from hashlib import sha256
from io import BufferedIOBase
from typing import BinaryIO

GZIP = 16 + zlib.MAX_WBITS
"""With a header that names no file and no time: the same bytes each time."""
BLOCK_BYTES = 256 * 1024


class Gzipped(BufferedIOBase):
    """What a file gives when it is compressed."""

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self._compressor = zlib.compressobj(level=6, wbits=GZIP)
        self._waiting = b""
        self._ended = False
        self.raw_sha256 = sha256()
        self.gzip_sha256 = sha256()
        self.raw_bytes = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` compressed bytes, all that is left without one; none at the end."""
        wanted = None if size is None or size < 0 else size
        while not self._ended and (wanted is None or len(self._waiting) < wanted):
            self._compress()
        given = self._waiting if wanted is None else self._waiting[:wanted]
        self._waiting = self._waiting[len(given) :]
        self.gzip_sha256.update(given)
        return given

    def _compress(self) -> None:
        block = self._raw.read(BLOCK_BYTES)
        self.raw_sha256.update(block)
        self.raw_bytes += len(block)
        if block:
            self._waiting += self._compressor.compress(block)
        else:
            self._waiting += self._compressor.flush()
            self._ended = True


class Unpacker:
    """Decompresses chunks as they come. Both digests are those of what has come so far."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(wbits=GZIP)
        self.raw_sha256 = sha256()
        self.gzip_sha256 = sha256()

    def unpack(self, chunk: bytes) -> bytes:
        """The bytes that the chunk adds. Raises zlib.error for what is no gzip."""
        self.gzip_sha256.update(chunk)
        raw = self._decompressor.decompress(chunk)
        self.raw_sha256.update(raw)
        return raw

    @property
    def ended(self) -> bool:
        """Whether all of it has come."""
        return self._decompressor.eof
