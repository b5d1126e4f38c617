"""Made-up figures of one gene, for tests of what is made of them."""

from dataclasses import dataclass, field

import numpy as np

from vst_dicom.training.evaluate import Fold, FoldScore, Protocol
from vst_dicom.training.figures import Figures
from vst_dicom.training.fit import Choice
from vst_dicom.training.yardsticks import BASELINES


@dataclass
class Made:
    """Figures of one gene, good unless said otherwise."""

    r: float = 0.5
    depth_adjusted_r: float = 0.3
    slope: float = 1.0
    moran_predicted: float = 0.6
    moran_measured: float = 0.3
    null_r: tuple[float, ...] = (0.0,) * 99
    baselines: dict[str, float] = field(default_factory=dict)

    def figures(self) -> Figures:
        one = np.array([1.0])
        baselines = {name: one * self.baselines.get(name, 0.1) for name in BASELINES}
        null = np.array(self.null_r, dtype=np.float32)[:, None]
        return Figures(
            r=one * self.r, depth_adjusted_r=one * self.depth_adjusted_r, rank_r=one * self.r, r2=one * 0.2,
            mae=one * 0.7, slope=one * self.slope, moran_predicted=one * self.moran_predicted,
            moran_measured=one * self.moran_measured, baselines=baselines, depth_adjusted_baselines=baselines,
            null_r=null, null_depth_adjusted_r=null, gains=dict.fromkeys(BASELINES, one * 0.1),
        )  # fmt: skip


def score(protocol: Protocol, unit: str, patient: str, made: Made) -> FoldScore:
    return FoldScore(Fold(protocol, unit, patient, ("x",), (unit,)), Choice(1.0, 5), 100, {unit: made.figures()})
