"""The application: routes, errors and what protects them, joined."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from sqlalchemy import Engine, text
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vst_dicom import __version__
from vst_dicom.config import Settings
from vst_dicom.domain.wording import RESEARCH_USE_ONLY
from vst_dicom.service import page_routes, result_routes, retrieve_routes, search_routes, view_routes
from vst_dicom.service.addresses import API
from vst_dicom.service.archive import Archive
from vst_dicom.service.middleware import EveryResponse
from vst_dicom.service.problems import add_problem_handlers
from vst_dicom.service.slide_views import SlideViews

_OWN_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_READABLE_HEADERS: Final = ("Content-Range", "ETag", "Warning")


def make_app(settings: Settings, database: Engine) -> FastAPI:
    """Join everything that answers HTTP.

    Only requests for this machine's own names, or for that of `public_url`, are answered: a foreign page that makes
    its own name point here (DNS rebinding) reads nothing.

    Parameters
    ----------
    settings
        Of the whole server.
    database
        The ledger; only read.
    """
    app = FastAPI(
        title="vst_dicom",
        version=__version__,
        description=RESEARCH_USE_ONLY,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # these pages load programs from elsewhere
        redoc_url=None,
    )
    app.state.archive = Archive(database, settings.spool, settings.results)
    app.state.views = SlideViews(app.state.archive, settings.spool)
    app.state.public_url = settings.web.public_url
    for routes in (search_routes, retrieve_routes, result_routes, view_routes, page_routes):
        app.include_router(routes.router)

    @app.get("/health", tags=["Operation"])
    def report_health() -> Response:
        """Say whether this process lives and reaches the database; 503 if it does not."""
        with app.state.archive.connect() as connection:
            connection.execute(text("SELECT 1"))
        return JSONResponse({"status": "ok"})

    add_problem_handlers(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.web.cors_origins,
        allow_methods=("GET",),
        allow_headers=("Accept", "If-None-Match", "Range"),
        expose_headers=_READABLE_HEADERS,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_hosts(settings), www_redirect=False)
    app.add_middleware(EveryResponse)
    return app


def _hosts(settings: Settings) -> Sequence[str]:
    public = urlsplit(settings.web.public_url or "").hostname
    return [*_OWN_HOSTS, *([public] if public else [])]
