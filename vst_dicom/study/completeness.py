"""Whether everything that a slide needs has come.

DICOM does not say how many instances a slide has, so the parts that can be missed are counted: the base level, and
the parts of divided images. Only after that, quiet time decides.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from vst_dicom.study.facts import Concatenation, InstanceFacts


def find_base(facts: Mapping[int, InstanceFacts]) -> int | None:
    """Find the largest image of tissue, of a divided one its first part; None where there is none.

    Parameters
    ----------
    facts
        What each instance of the slide says, by its number.
    """
    volumes = [number for number, stated in facts.items() if stated.is_volume]
    if not volumes:
        return None
    return min(volumes, key=lambda number: (-_area(facts[number]), _part_number(facts[number]), number))


def find_missing(facts: Iterable[InstanceFacts], *, asked: bool = False) -> str:
    """Say what is missing before a slide can be processed; empty if nothing is known to be.

    Parameters
    ----------
    facts
        What the instances of the slide say.
    asked
        Whether a person asked to process what is there: then the largest image is taken as the base level, but a
        divided image must still be whole.
    """
    volumes = [stated for stated in facts if stated.is_volume]
    if not volumes:
        return "no image of tissue came yet (VOLUME, third value of Image Type (0008,0008))"
    divided: dict[str, list[InstanceFacts]] = defaultdict(list)
    for stated in volumes:
        if stated.concatenation is not None:
            divided[stated.concatenation.uid].append(stated)
    for parts in divided.values():
        missing = _find_missing_part(parts)
        if missing:
            return missing
    if not asked and all(stated.is_resampled for stated in volumes):
        return (
            "the base level did not come yet: every image says that it was RESAMPLED from a larger one "
            "(Image Type (0008,0008)); send it, or process what is there with: vst-dicom studies run-now"
        )
    return ""


def _find_missing_part(parts: Sequence[InstanceFacts]) -> str:
    """Say what a concatenation lacks: by the stated total, else by counting frames."""
    stated = [part.concatenation for part in parts if part.concatenation is not None]
    name = f"{parts[0].n_rows} x {parts[0].n_columns}"
    total = max((part.total for part in stated if part.total is not None), default=None)
    numbers = {part.number for part in stated}
    if total is not None:
        missing = [number for number in range(1, total + 1) if number not in numbers]
        if missing:
            shown = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
            return f"level {name}: part {shown} of {total} did not come yet (In-concatenation Number (0020,9162))"
        return ""
    gap = _find_gap(parts)
    if gap is not None:
        return f"level {name}: the part from frame {gap + 1} on did not come yet"
    whole = max((part.n_frames_of_image for part in parts if part.n_frames_of_image is not None), default=None)
    n_frames = sum(part.n_frames for part in parts)
    if whole is not None and n_frames < whole:
        return f"level {name}: {n_frames} of {whole} frames came"
    return ""


def _find_gap(parts: Sequence[InstanceFacts]) -> int | None:
    """First frame, from 0, that no part holds though a later one came; None if there is no gap."""
    spans = sorted((_first_frame(part.concatenation), part.n_frames) for part in parts)
    if any(start < 0 for start, _ in spans):
        return None
    expected = 0
    for start, n_frames in spans:
        if start > expected:
            return expected
        expected = max(expected, start + n_frames)
    return None


def _first_frame(part: Concatenation | None) -> int:
    return -1 if part is None or part.first_frame is None else part.first_frame


def _area(stated: InstanceFacts) -> int:
    return stated.n_rows * stated.n_columns


def _part_number(stated: InstanceFacts) -> int:
    return 0 if stated.concatenation is None else stated.concatenation.number or 0
