"""Plugin of Orthanc (orthanc-python): metadata of a series with a BulkDataURI for every OB, OD, OF, OL, OV, OW and UN.

The DICOMweb plugin 1.7 writes the first number of OD, OF and OL values and drops the others, so that coordinates of
annotations are lost to every viewer; it does serve the whole value as bulk data. This answers requests for the
metadata of a study or a series in its place, from its own answers for single instances. Load it before the DICOMweb
plugin: of two plugins that know an address, the first in ``Plugins`` is asked.
"""

import json
import re
from typing import Any

import orthanc

_ROOT = "/dicom-web"
_BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def answer_metadata(output: Any, _uri: str, **request: Any) -> None:
    """Answer ``studies/<study>/metadata`` and ``studies/<study>/series/<series>/metadata``."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    study, *rest = request["groups"]
    series = rest[0] if rest else ""
    base = _base(request["headers"])
    found = [_metadata(instance, base) for instance in _find_instances(study, series)]
    if found:
        output.AnswerBuffer(f"[{','.join(found)}]", "application/dicom+json")
    else:
        output.SendHttpStatusCode(404)


def _find_instances(study: str, series: str) -> list[str]:
    """Addresses of instances, below that of the DICOMweb service."""
    query = {"Level": "Instance", "Query": {"StudyInstanceUID": study}, "Expand": True}
    if series:
        query["Query"]["SeriesInstanceUID"] = series
    instances = json.loads(orthanc.RestApiPost("/tools/find", json.dumps(query)))
    names: dict[str, str] = {}
    for instance in instances:
        parent = instance["ParentSeries"]
        if parent not in names:
            names[parent] = json.loads(orthanc.RestApiGet(f"/series/{parent}"))["MainDicomTags"]["SeriesInstanceUID"]
    return sorted(
        f"studies/{study}/series/{names[instance['ParentSeries']]}/instances/{instance['MainDicomTags']['SOPInstanceUID']}"
        for instance in instances
    )


def _metadata(instance: str, base: str) -> str:
    """Metadata of one instance as JSON text."""
    (dataset,) = json.loads(orthanc.RestApiGetAfterPlugins(f"{_ROOT}/{instance}/metadata"))
    _point_to_bulk_data(dataset, f"{base}{_ROOT}/{instance}/bulk")
    return json.dumps(dataset, separators=(",", ":"))


def _point_to_bulk_data(dataset: dict[str, Any], place: str) -> None:
    """Replace values by the address of the whole value, in sequences too."""
    for tag, element in dataset.items():
        here = f"{place}/{tag.lower()}"
        if element["vr"] == "SQ":
            for number, item in enumerate(element.get("Value", ()), start=1):
                _point_to_bulk_data(item, f"{here}/{number}")
        elif "BulkDataURI" in element or (element["vr"] in _BULK and "Value" in element):
            dataset[tag] = {"vr": element["vr"], "BulkDataURI": here}


def _base(headers: dict[str, str]) -> str:
    """Scheme and host by which the client, or the proxy in front, asked."""
    forwarded = dict(re.findall(r'(\w+)="?([^";,]+)', headers.get("forwarded", "").split(",")[0]))
    scheme = forwarded.get("proto") or headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{forwarded.get('host') or headers.get('host', 'localhost')}"


orthanc.RegisterRestCallback(f"{_ROOT}/studies/([0-9.]+)/metadata", answer_metadata)
orthanc.RegisterRestCallback(f"{_ROOT}/studies/([0-9.]+)/series/([0-9.]+)/metadata", answer_metadata)
