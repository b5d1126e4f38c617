"""Which instances of a series make one slide (PS3.3 A.32.8.4): those of one container and one pyramid.

Grouping is by what headers say, never by time. It is the same as for files at hand, so that what was grouped here is
one slide there: instances that do not name container or pyramid go along if all others agree.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from vst_dicom.dicom.whole_slide import split_by_stated
from vst_dicom.study.facts import InstanceFacts


@dataclass(frozen=True, slots=True)
class SlideGroup:
    """Instances of one slide.

    Parameters
    ----------
    container, pyramid_uid
        What they have in common; may be empty.
    volumes
        Numbers of the images of tissue.
    aside
        Numbers of label, overview and thumbnail images and of what cannot be read; never decoded.
    """

    container: str
    pyramid_uid: str
    volumes: tuple[int, ...]
    aside: tuple[int, ...] = ()

    @property
    def members(self) -> tuple[int, ...]:
        """All numbers."""
        return self.volumes + self.aside

    def key(self, study_instance_uid: str, series_instance_uid: str) -> str:
        """Name the group: the same in every process."""
        parts = (study_instance_uid, series_instance_uid, self.container, self.pyramid_uid)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def group_series(facts: Mapping[int, InstanceFacts]) -> list[SlideGroup]:
    """Group the instances of one series into slides.

    Parameters
    ----------
    facts
        What each instance says, by its number.

    Returns
    -------
    list[SlideGroup]
        In the order of container and pyramid; each instance is in exactly one. The order of `facts` does not matter.
    """
    volumes = sorted(number for number, stated in facts.items() if stated.is_volume)
    aside = sorted(number for number, stated in facts.items() if not stated.is_volume)
    groups: dict[tuple[str, str], list[int]] = {}
    for container, part in split_by_stated(volumes, [facts[number].container for number in volumes]).items():
        pyramids = split_by_stated(part, [facts[number].pyramid_uid for number in part])
        groups.update({(container, pyramid_uid): numbers for pyramid_uid, numbers in pyramids.items()})
    others: dict[tuple[str, str], list[int]] = {}
    for number in aside:
        others.setdefault(_place_aside(facts[number], list(groups)), []).append(number)
    return [
        SlideGroup(*name, tuple(groups.get(name, ())), tuple(others.get(name, ())))
        for name in sorted(groups.keys() | others.keys())
    ]


def _place_aside(stated: InstanceFacts, groups: list[tuple[str, str]]) -> tuple[str, str]:
    """Put a label with the slide of its container, or with the first where nothing tells."""
    if not groups:
        return ("", "")
    same = sorted(name for name in groups if stated.container and name[0] == stated.container)
    return same[0] if same else min(groups)
