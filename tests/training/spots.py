"""Made-up sections whose expression depends on their features in a known way."""

import numpy as np

from vst_dicom.training.features import SectionSpots


def section(
    name: str, patient: str, seed: int, n_spots: int = 60, noise: float = 0.3, offset: float = 0.0
) -> SectionSpots:
    """Twelve features; gene 0 follows the first, gene 1 the second and seventh, gene 2 nothing."""
    random = np.random.default_rng(seed)
    features = random.standard_normal((n_spots, 12)).astype(np.float32) * np.array([3, 2] + [1] * 10, np.float32)
    genes = np.stack([features[:, 0], features[:, 1] - 2 * features[:, 6], np.zeros(n_spots)], axis=1)
    expression = genes + noise * random.standard_normal((n_spots, 3)) + offset
    return SectionSpots(
        section_id=name,
        patient=patient,
        centers_px=random.uniform(0, 1000, (n_spots, 2)),
        features=features + np.float32(offset),
        plain=random.uniform(1, 100, (n_spots, 3)),
        expression=expression.astype(np.float32),
        total_counts=random.uniform(500, 5000, n_spots),
        site="not stated",
        context=(1, 3),
        markers=np.zeros((n_spots, 0), dtype=np.float32),
    )
