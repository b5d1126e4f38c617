"""Stands before every route: who asks, may they, and not too often."""

import time
from http import HTTPStatus
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from vst_dicom.service.access.principals import EVERYBODY, Gatekeeper, Principal, unauthorized
from vst_dicom.service.access.roles import STORES, Role, least_role
from vst_dicom.web_settings import RateSettings

_READS: Final = ("GET", "HEAD")


class Rates:
    """Counts what each client asked in the last minute.

    Parameters
    ----------
    settings
        How much is too much.
    """

    def __init__(self, settings: RateSettings) -> None:
        self._counter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(settings.requests_per_minute)
        self._changes = RateLimitItemPerMinute(settings.changes_per_minute)
        self._refusals = RateLimitItemPerMinute(settings.refusals_per_minute)

    def count(self, client: str, *, is_change: bool) -> None:
        """Count a request.

        Raises
        ------
        HTTPException
            429 if it was one too many.
        """
        self._hit(self._requests, "request", client)
        if is_change:
            self._hit(self._changes, "change", client)

    def check_refusals(self, address: str) -> None:
        """Raise 429 if too many requests from an address were refused."""
        if not self._counter.test(self._refusals, "refusal", address):
            raise self._too_many(self._refusals, "refusal", address)

    def count_refusal(self, address: str) -> None:
        """Count a request that was refused for want of a login."""
        self._counter.hit(self._refusals, "refusal", address)

    def _hit(self, item: RateLimitItemPerMinute, kind: str, client: str) -> None:
        if not self._counter.hit(item, kind, client):
            raise self._too_many(item, kind, client)

    def _too_many(self, item: RateLimitItemPerMinute, kind: str, client: str) -> HTTPException:
        reset_s = self._counter.get_window_stats(item, kind, client).reset_time
        wait_s = max(1, round(reset_s - time.time()))
        headers = {"Retry-After": str(wait_s)}
        return HTTPException(HTTPStatus.TOO_MANY_REQUESTS, f"too many requests; ask again in {wait_s} s", headers)


async def guard(request: HTTPConnection) -> Principal:
    """Let a request pass that its route's least role allows; one to open a WebSocket counts as GET.

    Raises
    ------
    HTTPException
        401 if nobody is logged in, 403 if their role does not suffice, 429 if they ask too often.
    """
    gate: Gatekeeper = request.app.state.gate
    rates: Rates = request.app.state.rates
    method, path = request.scope.get("method", "GET"), request.scope["route"].path
    wanted = least_role(method, path)
    address = address_of(request)
    if gate.asks and wanted is not Role.PUBLIC:
        rates.check_refusals(address)
        try:
            principal = await run_in_threadpool(gate.identify, request)
        except HTTPException:
            rates.count_refusal(address)
            raise
    else:
        principal = EVERYBODY if not gate.asks else Principal("", Role.PUBLIC)
    request.state.principal = principal
    if principal.role < wanted:
        if not principal.subject:
            rates.count_refusal(address)
            raise unauthorized("log in, or send Authorization: Bearer with a token")
        detail = f"this needs the role {wanted.label}; yours is {principal.role.label}"
        raise HTTPException(HTTPStatus.FORBIDDEN, detail)
    if gate.asks:
        is_change = method not in _READS and f"{method} {path}" not in STORES
        rates.count(principal.subject or address, is_change=is_change)
    return principal


def address_of(request: HTTPConnection) -> str:
    """Address of a client."""
    return request.client.host if request.client else ""
