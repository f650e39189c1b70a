"""One HTTP exchange with a party that may be slow, large or hostile; bounded in time and size.

The deadline is on the wall: it holds over name resolution, connecting, TLS, headers and body together, so a server
that sends one byte a second gains nothing by never being silent. Redirects are not followed, encodings not asked for
(a compressed body could unfold to anything), and reading stops with the first byte too many.

It does *not* judge the status or the body.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import httpx2

MAX_BODY: Final = 256 * 1024
"""Discovery documents, key sets and introspection answers are a few KiB."""

CONNECT_SECONDS: Final = 3.0
"""A reachable party accepts within milliseconds; this leaves time for one lost packet."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `form` and `document` hold what may be secret and are not shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    document: Mapping[str, str] | None = field(default=None, repr=False)
    """Sent as JSON."""


class NoAnswer(Exception):
    """Nothing usable came. The text names what happened, never what was sent."""


def exchange(
    ask: Ask,
    *,
    seconds: float,
    tls: ssl.SSLContext | None = None,
    proxy_from_environment: bool = True,
) -> tuple[int, bytes]:
    """Status and body, within `seconds`. Raises NoAnswer. For threads without an event loop of their own."""
    # Not asyncio.run: that waits for its resolver threads, which nothing can interrupt.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(
            _within(ask, seconds, tls or default_tls(), proxy_from_environment)
        )
    except TimeoutError:
        raise NoAnswer(f"{ask.url}: no answer within {seconds:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise NoAnswer(f"{ask.url}: {type(error).__name__}") from None
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@cache
def default_tls() -> ssl.SSLContext:
    """The system's trust; making it costs 20 ms, so it is made once."""
    return httpx2.create_ssl_context()


async def _within(
    ask: Ask, seconds: float, tls: ssl.SSLContext, proxy_from_environment: bool
) -> tuple[int, bytes]:
    async with asyncio.timeout(seconds):
        async with (
            httpx2.AsyncClient(
                verify=tls,
                timeout=httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
                follow_redirects=False,
                trust_env=proxy_from_environment,
            ) as client,
            client.stream(
                ask.method,
                ask.url,
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    **ask.headers,
                },
                data=ask.form,
                json=ask.document,
            ) as response,
        ):
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_BODY:
                    raise NoAnswer(f"{ask.url} answered more than {MAX_BODY} bytes")
            return response.status_code, bytes(body)
