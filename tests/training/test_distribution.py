from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.predict.engines import torch_engine
from tests.training.spots import section
from vst_dicom.predict.appearance import N_APPEARANCE, describe_appearance
from vst_dicom.training.cohort import Cohort, Section
from vst_dicom.training.distribution import SectionTiles, describe_distribution, sample_sections


def made_up(name: str, patient: str, seed: int, shift: float = 0.0, n_tiles: int = 150) -> SectionTiles:
    """Appearance and features are normal; another patient may lie a little beside."""
    random = np.random.default_rng(seed)

    def draw(n_numbers: int, scale: float) -> np.ndarray:
        return (shift + scale * random.standard_normal((n_tiles, n_numbers))).astype(np.float32)

    center = np.float32(10)
    return SectionTiles(
        name, patient, draw(N_APPEARANCE, 1), center + draw(40, 1), draw(N_APPEARANCE, 2), center + draw(40, 2)
    )


COHORT = [made_up("A1", "A", 1), made_up("A2", "A", 2), made_up("B1", "B", 3, 0.5), made_up("C1", "C", 4, -0.5)]


def test_held_out_patients_stay_below_the_limit_and_the_rest_is_counted() -> None:
    part, familiarity = describe_distribution(COHORT, ["A", "B", "C"])

    assert (part.unit, part.n_units, part.n_components, part.n_tiles) == ("patient", 3, 32, 1200)
    assert all(share <= 0.02 for share in part.held_out_unfamiliar.values())
    new = made_up("D1", "D", 5, 0.3)
    assert (familiarity.distance(new.appearance, new.embeddings) > 1).mean() < 0.02


def test_another_appearance_is_unfamiliar_whatever_the_encoder_sees() -> None:
    _, familiarity = describe_distribution(COHORT, ["A", "B", "C"])
    new = made_up("D1", "D", 5)

    assert (familiarity.distance(new.appearance + 12, new.embeddings) > 1).all()


def test_other_content_is_unfamiliar_whatever_the_appearance() -> None:
    _, familiarity = describe_distribution(COHORT, ["A", "B", "C"])
    new = made_up("D1", "D", 5)
    other = new.embeddings.copy()
    other[:, ::2] -= 25

    assert (familiarity.distance(new.appearance, other) > 1).all()


def test_a_patient_far_from_the_others_widens_the_limit() -> None:
    _, narrow = describe_distribution(COHORT[:3], ["A"])
    _, wide = describe_distribution([*COHORT[:2], made_up("B1", "B", 3, 4.0)], ["A"])
    new = made_up("D1", "D", 5, 2.0)

    assert wide.distance(new.appearance, new.embeddings).mean() < narrow.distance(new.appearance, new.embeddings).mean()


def test_only_patients_that_fitted_the_head_count_as_familiar() -> None:
    part, _ = describe_distribution(COHORT, ["A"])

    assert part.n_tiles == 600


def test_one_patient_is_judged_by_sections() -> None:
    part, _ = describe_distribution(COHORT[:2], ["A"])

    assert (part.unit, list(part.held_out_unfamiliar)) == ("section", ["A1", "A2"])


def test_a_single_section_is_too_little() -> None:
    with pytest.raises(ValueError, match="two sections"):
        describe_distribution(COHORT[:1], ["A"])


def test_a_handful_of_tiles_gives_finite_maps() -> None:
    few = [made_up("A1", "A", 1, n_tiles=2), made_up("B1", "B", 2, n_tiles=2)]

    _, familiarity = describe_distribution(few, ["A", "B"])

    assert np.isfinite(familiarity.embedding_map).all()
    assert np.isfinite(familiarity.appearance_map).all()


class MeanColor(nn.Module):
    """Twelve numbers from the mean color, and a count of the tiles that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.n_seen = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.n_seen += len(images)
        return images.mean(dim=(2, 3)).repeat(1, 4)


def test_tiles_of_a_cohort_are_read_at_their_spots_and_kept(tmp_path: Path) -> None:
    image = np.full((1500, 1500, 3), (220, 140, 190), dtype=np.uint8)
    image[:, 750:] = (120, 70, 150)
    Image.fromarray(image).save(tmp_path / "slide.png")
    spots = replace(section("S", "P", 0, n_spots=3), centers_px=np.array([[300.0, 700], [400, 700], [1200, 700]]))
    cohort = Cohort(
        name="n", doi="d", license="l", source="s", organ="o", specimen="s", library="l", spot_um=100,
        section=tuple(
            Section(id=name, patient="P", image=Path("slide.png"), pixel_spacing_um=0.5, counts=Path("c"),
                    spots=Path("s")) for name in ("S", "T")
        ),
    )  # fmt: skip
    encoder = MeanColor()
    engine = torch_engine(encoder, (0, 0, 0), (1, 1, 1), 12)

    first, _ = sample_sections(cohort, [spots, spots], tmp_path, engine, "key", 0, tmp_path / "cache")
    n_seen = encoder.n_seen
    again, _ = sample_sections(cohort, [spots, spots], tmp_path, engine, "key", 0, tmp_path / "cache")

    plain = np.stack([np.full((224, 224, 3), color, np.uint8) for color in [(220, 140, 190)] * 2 + [(120, 70, 150)]])
    np.testing.assert_allclose(first.appearance, describe_appearance(plain), atol=1e-5)
    np.testing.assert_array_equal(first.embeddings, spots.features)
    assert first.changed_embeddings.shape == (3, 12)
    assert (first.changed_appearance != first.appearance).any()
    assert n_seen == encoder.n_seen == 6
    np.testing.assert_array_equal(again.changed_embeddings, first.changed_embeddings)
