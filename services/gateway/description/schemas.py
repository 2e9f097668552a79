"""JSON Schema of the Structs, as descriptions need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

REFERENCE = "#/components/schemas/{name}"


def components(types: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A schema for each type, and the Structs that these refer to, by name."""
    schemas, structs = msgspec.json.schema_components(types, ref_template=REFERENCE)
    return [_portable(each) for each in schemas], _portable(structs)


def _portable(schema: Any) -> Any:
    """The schema with patterns that mean outside Python what they mean in it."""
    if isinstance(schema, (list, tuple)):
        return [_portable(each) for each in cast("Sequence[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    return {
        name: pattern(value) if name == "pattern" and isinstance(value, str) else _portable(value)
        for name, value in found.items()
    }


def pattern(python: str) -> str:
    """A regular expression of ECMA 262, where `$` is the end of the text alone."""
    return re.sub(r"\\Z|\$\(\?!\\n\)", "$", python).replace(r"\x00", r"\u0000")
