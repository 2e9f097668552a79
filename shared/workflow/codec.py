"""Results as JSON, read back by the annotation of the function that made them; and errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.workflows import ErrorInfo
from shared.workflow.errors import NonRetryableError, StepFailed, WorkflowMisuse
from shared.workflow.step import Marker

LONGEST_ERROR = 2000
"""Characters kept of an error's text: megabytes must not make a status document unstorable."""


def encode_result(result: object, of: str) -> bytes:
    """The result as JSON. Raises NonRetryableError over 1 MiB, since it would be so again."""
    try:
        encoded = msgspec.json.encode(result)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise NonRetryableError(
            "result_not_encodable", f"the result of {of} is not JSON: {error}"
        ) from error
    if len(encoded) > MAX_CONTENT_BYTES:
        raise NonRetryableError(
            "result_too_large",
            f"the result of {of} has {len(encoded)} bytes; {MAX_CONTENT_BYTES} are allowed",
        )
    return encoded


def decode_result(encoded: bytes, function: Callable[..., Any]) -> Any:
    """What `function` returned when `encoded` was journaled."""
    return msgspec.json.decode(encoded, type=_result_type(_plain(function)))


def describe(error: BaseException, step: str | None = None) -> ErrorInfo:
    """What a caller is told of an error."""
    if isinstance(error, StepFailed):
        return ErrorInfo(name=error.name, message=error.message, step=error.step)
    name = error.code if isinstance(error, NonRetryableError) else type(error).__name__
    text = str(error)
    if len(text) > LONGEST_ERROR:
        text = text[:LONGEST_ERROR] + "…"
    return ErrorInfo(name=name, message=text, step=step)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    # A bound method is a new object at each use; its function is the one to cache by.
    return getattr(function, "__func__", function)


@lru_cache(maxsize=1024)
def _result_type(function: Callable[..., Any]) -> Any:
    try:
        annotation = get_type_hints(function)["return"]
    except (KeyError, NameError, TypeError) as error:
        name = getattr(function, "__qualname__", repr(function))
        raise WorkflowMisuse(
            f"{name} needs a return annotation that can be resolved at run time: its journaled "
            "result is read back by it"
        ) from error
    if get_origin(annotation) not in {Union, UnionType}:
        return annotation
    joined: Any = None
    for part in get_args(annotation):
        if not _is_skipped(part):
            joined = part if joined is None else joined | part
    return joined


def _is_skipped(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and get_args(annotation) == (Marker.SKIPPED,)
