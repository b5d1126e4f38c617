"""Roles, and the least role that each route asks for: the one table of it."""

from enum import IntEnum
from typing import Final

from vst_dicom.service.addresses import API, DICOMWEB


class Role(IntEnum):
    """What somebody may do; each role may do what those before it may."""

    PUBLIC = 0
    """Nobody in particular: no patient data."""

    VIEWER = 1
    """Sees slides, results and how far they are."""

    OPERATOR = 2
    """Also sends slides, starts, retries, cancels, delivers again, and tries rules."""

    ADMIN = 3
    """Also reads the audit."""

    @property
    def label(self) -> str:
        """Its name as settings, tokens and the API write it."""
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> "Role":
        """Find a role by its name."""
        return cls[label.upper()]


_LOGGED_IN: Final = "GET /login/callback"
_STUDY: Final = f"{DICOMWEB}/studies/{{study}}"
_SERIES: Final = f"{_STUDY}/series/{{series}}"
_INSTANCE: Final = f"{_SERIES}/instances/{{instance}}"
_WORKITEM: Final = f"{DICOMWEB}/workitems/{{workitem}}"

_ROUTES: Final[dict[Role, tuple[str, ...]]] = {
    Role.PUBLIC: (
        "GET /",
        "GET /page/{name}",
        "GET /health/live",
        "GET /health/ready",
        "GET /login",
        _LOGGED_IN,
        f"GET {API}/session",
        f"POST {API}/session",
        f"POST {API}/session/end",
    ),
    Role.VIEWER: (
        f"GET {API}/openapi.json",
        f"GET {DICOMWEB}/studies",
        f"GET {DICOMWEB}/series",
        f"GET {DICOMWEB}/instances",
        f"GET {_STUDY}",
        f"GET {_STUDY}/metadata",
        f"GET {_STUDY}/series",
        f"GET {_STUDY}/instances",
        f"GET {_SERIES}",
        f"GET {_SERIES}/metadata",
        f"GET {_SERIES}/instances",
        f"GET {_INSTANCE}",
        f"GET {_INSTANCE}/metadata",
        f"GET {_INSTANCE}/frames/{{frames}}",
        f"GET {_INSTANCE}/bulkdata/{{path:path}}",
        f"GET {_STUDY}/rendered",
        f"GET {_STUDY}/thumbnail",
        f"GET {_SERIES}/rendered",
        f"GET {_SERIES}/thumbnail",
        f"GET {_INSTANCE}/rendered",
        f"GET {_INSTANCE}/thumbnail",
        f"GET {_INSTANCE}/frames/{{frames}}/rendered",
        f"GET {_INSTANCE}/frames/{{frames}}/thumbnail",
        f"GET {API}/results",
        f"GET {API}/results/{{key}}",
        f"GET {API}/results/{{key}}/files/{{name}}",
        f"GET {API}/results/{{key}}/values.csv",
        f"GET {API}/results/{{key}}/dicom.zip",
        f"GET {API}/results/{{key}}/view",
        f"GET {API}/results/{{key}}/layers/{{name}}",
        f"GET {API}/results/{{key}}/picture",
        f"GET {API}/results/{{key}}/slide/{{level}}/{{row}}/{{column}}",
        f"GET {API}/studies",
        f"GET {API}/slides",
        f"GET {API}/slides/{{slide_id}}",
        f"GET {API}/jobs",
        f"GET {API}/jobs/{{key}}",
        f"GET {API}/events",
        f"GET {API}/bundles",
        f"GET {API}/bundles/{{bundle_id}}",
        f"GET {API}/bundles/{{bundle_id}}/card",
        f"GET {API}/rules",
        f"GET {API}/destinations",
        f"GET {API}/decisions",
        f"GET {DICOMWEB}/workitems",
        f"GET {_WORKITEM}",
    ),
    Role.OPERATOR: (
        f"POST {DICOMWEB}/studies",
        f"POST {_STUDY}",
        f"POST {API}/slides/{{slide_id}}/run",
        f"POST {API}/jobs/{{key}}/retry",
        f"POST {API}/jobs/{{key}}/cancel",
        f"POST {API}/jobs/{{key}}/deliver",
        f"PATCH {API}/jobs/{{key}}",
        f"POST {API}/rules/dry-run",
        f"POST {DICOMWEB}/workitems",
        f"POST {_WORKITEM}",
        f"PUT {_WORKITEM}/state",
        f"POST {_WORKITEM}/cancelrequest",
        f"POST {_WORKITEM}/subscribers/{{aetitle}}",
        f"DELETE {_WORKITEM}/subscribers/{{aetitle}}",
        f"POST {_WORKITEM}/subscribers/{{aetitle}}/suspend",
        f"GET {DICOMWEB}/subscribers/{{aetitle}}",  # a WebSocket
    ),
    Role.ADMIN: (f"GET {API}/audit",),
}

LEAST_ROLES: Final = {route: role for role, routes in _ROUTES.items() for route in routes}
"""By method and path as declared."""

WITHOUT_PATIENT_DATA: Final = frozenset(
    {
        f"GET {API}/openapi.json",
        f"GET {API}/bundles",
        f"GET {API}/bundles/{{bundle_id}}",
        f"GET {API}/bundles/{{bundle_id}}/card",
        f"GET {API}/rules",
        f"GET {API}/destinations",
    }
)
"""Routes behind a login that show nothing about a patient: reading them is not audited."""


STORES: Final = frozenset({f"POST {DICOMWEB}/studies", f"POST {_STUDY}"})
"""Routes that take instances: many senders send each in a request of its own, so these are limited in other ways."""


def least_role(method: str, path: str) -> Role:
    """Role that a route asks for; one that nobody declared is for administrators only."""
    return LEAST_ROLES.get(f"{method} {path}", Role.ADMIN)


def is_audited(method: str, path: str) -> bool:
    """Whether using a route is written down: every login, every change, and every look at patient data."""
    route = f"{method} {path}"
    if method not in ("GET", "HEAD") or route == _LOGGED_IN:
        return True
    return least_role(method, path) is not Role.PUBLIC and route not in WITHOUT_PATIENT_DATA
