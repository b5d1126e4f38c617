"""The name of a slide's content, by which the same work is recognised whenever it comes again."""

import hashlib
import json
from collections.abc import Iterable, Sequence


def job_key(
    study_instance_uid: str,
    contents: Iterable[tuple[str, str]],
    bundle_sha256: str,
    genes: Sequence[str] | None,
) -> str:
    """Hash what decides a result: the study, the instances with their content, the model, and what was chosen.

    Parameters
    ----------
    study_instance_uid
        (0020,000D).
    contents
        SOP Instance UID and SHA-256 of the data set of each image of tissue, in any order.
    bundle_sha256
        Hash of the bundle's manifest.
    genes
        Symbols chosen; None for all that evidence supports.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits. Destinations and priority are no part of it: they change no result.
    """
    parts = [
        study_instance_uid,
        sorted(contents),
        bundle_sha256,
        {"genes": None if genes is None else sorted(set(genes))},
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
