"""An HTTP transport that bounds every answer: so many bytes, so many seconds, no compression.

It stands below Authlib's client, so that the token endpoint is bounded by the same few lines as the lists.
A read timeout alone does not bound a server that drips a byte at a time, and a size limit on encoded
bytes does not bound a compressed bomb.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, cast

import httpx2

MAX_BYTES: Final = 16 * 1024 * 1024
"""A hundred full user records with certificates and keys weigh well under two megabytes."""


class AnswerTooLarge(httpx2.TransportError):
    """More bytes than any honest page has."""


class BoundedTransport(httpx2.BaseTransport):
    """Passes requests to `inner`. Raises AnswerTooLarge, or httpx2.ReadTimeout once `max_seconds` are over."""

    def __init__(
        self, inner: httpx2.BaseTransport, *, max_seconds: float, max_bytes: int = MAX_BYTES
    ) -> None:
        self._inner = inner
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = time.monotonic() + self._max_seconds
        request.headers["Accept-Encoding"] = "identity"
        response = self._inner.handle_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise httpx2.DecodingError("a compressed answer was not asked for", request=request)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_BoundedStream(
                cast("httpx2.SyncByteStream", response.stream), self._max_bytes, deadline
            ),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._inner.close()


class _BoundedStream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, max_bytes: int, deadline: float) -> None:
        self._inner = inner
        self._max_bytes = max_bytes
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        seen = 0
        for chunk in self._inner:
            seen += len(chunk)
            if seen > self._max_bytes:
                raise AnswerTooLarge(f"more than {self._max_bytes} bytes")
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the answer took too long as a whole")
            yield chunk

    def close(self) -> None:
        self._inner.close()
