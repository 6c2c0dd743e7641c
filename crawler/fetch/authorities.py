"""Whom TLS believes: the machine's authorities, or those of ``[http] ca_file`` besides."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from crawler.model.errors import UsageError
from crawler.model.settings import Http

_OLDEST: Final = ssl.TLSVersion.TLSv1_2


class Authorities:
    """A context of our own, made by the first request that needs one, in a thread.

    Reading the machine's certificates takes 30 to 40 ms (OpenSSL lets go of the interpreter meanwhile): on the loop it
    was its longest turn, and of every start, also of a crawl without an https URL.
    """

    @classmethod
    def of(cls, settings: Http) -> Authorities | None:
        """None where aiohttp's own context will do: the machine's authorities, names checked, no TLS before 1.2.

        Raises :class:`UsageError` where ``ca_file`` is none: that is to be known before anything is asked.
        """
        usual = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if settings.ca_file is None:
            return None if usual.minimum_version >= _OLDEST else cls(None)
        try:
            usual.load_verify_locations(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(
                f"[http] ca_file {settings.ca_file}: {why}; name a file of certificates in PEM form"
            ) from error
        return cls(settings.ca_file)

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self._reading: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        """Read once, for all that wait; one that is cut off meanwhile takes it from nobody."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        return await asyncio.shield(self._reading)

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = _OLDEST
        if self._ca_file is not None:
            context.load_verify_locations(cafile=self._ca_file)
        return context
