"""The application: routes, errors and what protects them, joined."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from sqlalchemy import Engine
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vst_dicom import __version__
from vst_dicom.config import Settings
from vst_dicom.domain.wording import RESEARCH_USE_ONLY
from vst_dicom.service import (
    bundle_routes,
    destination_routes,
    event_routes,
    health_routes,
    job_routes,
    page_routes,
    render_routes,
    result_routes,
    retrieve_routes,
    rule_routes,
    search_routes,
    slide_routes,
    store_routes,
    view_routes,
)
from vst_dicom.service.access import audit_routes, login_routes, session_routes
from vst_dicom.service.access.auditing import Audited
from vst_dicom.service.access.guard import Rates, guard
from vst_dicom.service.access.principals import Gatekeeper
from vst_dicom.service.archive import Archive
from vst_dicom.service.events import SlideFeed
from vst_dicom.service.foreign_requests import OwnRequestsOnly
from vst_dicom.service.middleware import EveryResponse, HeadAsGet
from vst_dicom.service.openapi import describe_api
from vst_dicom.service.problems import add_problem_handlers
from vst_dicom.service.rendering import Renderer
from vst_dicom.service.slide_views import SlideViews
from vst_dicom.service.uploading import Uploading
from vst_dicom.service.workitems import channel as workitem_channel
from vst_dicom.service.workitems import routes as workitem_routes
from vst_dicom.service.workitems.channel import Channels

_OWN_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_READABLE_HEADERS: Final = ("Accept-Ranges", "Content-Range", "ETag", "Warning")
_ROUTES: Final = (
    retrieve_routes,  # frames come by the thousand, and routes are tried in this order
    search_routes,
    workitem_routes,
    workitem_channel,
    store_routes,
    render_routes,
    result_routes,
    view_routes,
    slide_routes,
    job_routes,
    event_routes,
    bundle_routes,
    rule_routes,
    destination_routes,
    health_routes,
    session_routes,
    login_routes,
    audit_routes,
    page_routes,
)


def make_app(settings: Settings, database: Engine) -> FastAPI:
    """Join everything that answers HTTP.

    Only requests for this machine's own names, or for that of `public_url`, are answered: a foreign page that makes
    its own name point here (DNS rebinding) reads nothing.

    Parameters
    ----------
    settings
        Of the whole server.
    database
        The ledger.
    """
    app = FastAPI(
        title="vst_dicom",
        version=__version__,
        description=RESEARCH_USE_ONLY,
        openapi_url=None,  # it has a route of its own, which asks for a login like the others
        dependencies=[Depends(guard)],
        docs_url=None,  # these pages load programs from elsewhere
        redoc_url=None,
    )
    app.state.archive = Archive(database, settings.spool, settings.results)
    app.state.renderer = Renderer(app.state.archive)
    app.state.views = SlideViews(app.state.archive, settings.spool)
    app.state.uploading = Uploading(settings, database)
    app.state.public_url = settings.web.public_url
    app.state.settings = settings
    app.state.database = database
    app.state.feed = SlideFeed(database)
    app.state.channels = Channels()
    app.state.gate = Gatekeeper(settings.web, database)
    app.state.rates = Rates(settings.web.rates)
    for routes in _ROUTES:
        app.include_router(routes.router)
    describe_api(app)
    add_problem_handlers(app)
    app.add_middleware(Audited, database=database)
    app.add_middleware(OwnRequestsOnly, public_url=settings.web.public_url)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.web.cors_origins,
        allow_methods=("GET", "HEAD"),
        allow_headers=("Accept", "Authorization", "If-None-Match", "If-Range", "Range"),
        expose_headers=_READABLE_HEADERS,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_hosts(settings), www_redirect=False)
    app.add_middleware(EveryResponse)
    app.add_middleware(HeadAsGet)
    return app


def _hosts(settings: Settings) -> Sequence[str]:
    public = urlsplit(settings.web.public_url or "").hostname
    return [*_OWN_HOSTS, *([public] if public else [])]
