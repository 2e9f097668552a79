"""Reads archives, and tells those that are not what they were."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Mapping

import msgspec

from services.maintenance.archive.gzipping import Unpacker
from shared.jetstream.objects import ObjectDamaged, Objects
from shared.messages.segments import Manifest


def as_headers(manifest: Manifest) -> dict[str, str]:
    """The manifest beside its object."""
    return {name: str(value) for name, value in msgspec.to_builtins(manifest).items()}


def of_headers(name: str, headers: Mapping[str, str]) -> Manifest:
    """The manifest that stands beside the object. Raises ObjectDamaged."""
    try:
        return msgspec.convert(dict(headers), Manifest, strict=False)
    except msgspec.ValidationError as error:
        raise ObjectDamaged(f"{name} has no manifest: {error}") from error


async def unpacked(objects: Objects, name: str, manifest: Manifest) -> AsyncGenerator[bytes]:
    """The segment's bytes. Raises ObjectMissing, and ObjectDamaged at the latest at the end."""
    unpacker = Unpacker()
    async for chunk in objects.get(name):
        try:
            yield await asyncio.to_thread(unpacker.unpack, chunk)
        except zlib.error as error:
            raise ObjectDamaged(f"{name} is no gzip: {error}") from error
    found = (unpacker.gzip_sha256.hexdigest(), unpacker.raw_sha256.hexdigest())
    if not unpacker.ended or found != (manifest.gzip_sha256, manifest.sha256):
        raise ObjectDamaged(f"{name} does not have the bytes of its manifest")
