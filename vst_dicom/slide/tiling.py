"""Which frame lies where: TILED_FULL by rule, TILED_SPARSE frame by frame (PS3.3 C.7.6.17.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.domain.geometry import MatrixSize


@dataclass(frozen=True, eq=False)
class FramePlane:
    """Frames of one optical path and one focal plane of a level.

    Parameters
    ----------
    optical_path
        Optical Path Identifier (0048,0106); empty where the instance names none.
    z_um
        Height above the glass.
    frames
        Frame numbers, from 0 within the image, shape ``(n,)``.
    corners_px
        Row and column of their top left pixels in the total pixel matrix, from 0, shape ``(n, 2)``.
    """

    optical_path: str
    z_um: float
    frames: NDArray[np.int64]
    corners_px: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FocalPlanes:
    """Focal planes of a TILED_FULL image.

    Parameters
    ----------
    count
        Total Pixel Matrix Focal Planes (0048,0303).
    first_um
        Height of the plane nearest to the glass.
    step_um
        Distance between them, Spacing Between Slices (0018,0088).
    """

    count: int = 1
    first_um: float = 0.0
    step_um: float = 0.0


def place_full(
    size: MatrixSize, frame_size: MatrixSize, n_frames: int, paths: Sequence[str], planes: FocalPlanes
) -> tuple[FramePlane, ...]:
    """Place the frames of a TILED_FULL image: along rows, then columns, then focal planes, then optical paths.

    Raises
    ------
    DamagedInstanceError
        If the number of frames is not what the geometry demands.
    """
    grid = size.divided_by(frame_size)
    n_tiles = grid.n_rows * grid.n_columns
    expected = n_tiles * planes.count * len(paths)
    if n_frames != expected:
        msg = (
            f"Number of Frames (0028,0008) is {n_frames}, but {grid.n_rows} x {grid.n_columns} tiles, {planes.count} "
            f"focal plane(s) and {len(paths)} optical path(s) make {expected}; export the slide again"
        )
        raise DamagedInstanceError(msg)
    rows, columns = np.divmod(np.arange(n_tiles, dtype=np.int64), grid.n_columns)
    corners = np.stack([rows * frame_size.n_rows, columns * frame_size.n_columns], axis=1)
    return tuple(
        FramePlane(
            optical_path=path,
            z_um=planes.first_um + plane * planes.step_um,
            frames=(path_number * planes.count + plane) * n_tiles + np.arange(n_tiles, dtype=np.int64),
            corners_px=corners,
        )
        for path_number, path in enumerate(paths)
        for plane in range(planes.count)
    )


def place_sparse(
    size: MatrixSize, corners_px: NDArray[np.int64], z_um: NDArray[np.float64], paths: Sequence[str]
) -> tuple[FramePlane, ...]:
    """Place frames that say one by one where they lie.

    Parameters
    ----------
    size
        Total pixel matrix.
    corners_px
        Row and column of each frame, from 0, shape ``(n_frames, 2)``.
    z_um
        Height of each frame, shape ``(n_frames,)``.
    paths
        Optical path of each frame.

    Raises
    ------
    DamagedInstanceError
        If a frame begins outside the matrix, or two lie at the same place.
    """
    outside = ((corners_px < 0) | (corners_px >= (size.n_rows, size.n_columns))).any(axis=1)
    if outside.any():
        msg = f"frame {int(outside.argmax()) + 1} lies outside the total pixel matrix; export the slide again"
        raise DamagedInstanceError(msg)
    names = np.array(list(paths), dtype=np.str_)
    heights = np.round(z_um, 3)
    planes = []
    for path in dict.fromkeys(paths):
        for height in np.unique(heights[names == path]):
            frames = np.flatnonzero((names == path) & (heights == height)).astype(np.int64)
            corners = corners_px[frames]
            if len(np.unique(corners, axis=0)) != len(corners):
                raise DamagedInstanceError("two frames lie at the same place; export the slide again")
            planes.append(FramePlane(path, float(height), frames, corners))
    return tuple(planes)


class FrameLookup:
    """Finds the frames below a cell of the regular frame grid.

    Parameters
    ----------
    plane
        Frames and their places.
    size, frame_size
        Total pixel matrix and size of a frame.
    """

    def __init__(self, plane: FramePlane, size: MatrixSize, frame_size: MatrixSize) -> None:
        step = np.array([frame_size.n_rows, frame_size.n_columns], dtype=np.int64)
        grid = size.divided_by(frame_size)
        self.aligned = not (plane.corners_px % step).any()
        self._cells: NDArray[np.int64] | None = None
        self._overlapping: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        if self.aligned:
            self._cells = np.full((grid.n_rows, grid.n_columns), -1, dtype=np.int64)
            rows, columns = (plane.corners_px // step).T
            self._cells[rows, columns] = plane.frames
            return
        for frame, (row, column) in zip(plane.frames.tolist(), plane.corners_px.tolist(), strict=True):
            for cell_row in {row // step[0], (row + step[0] - 1) // step[0]}:
                for cell_column in {column // step[1], (column + step[1] - 1) // step[1]}:
                    offset = row - int(cell_row * step[0]), column - int(cell_column * step[1])
                    self._overlapping.setdefault((int(cell_row), int(cell_column)), []).append((frame, *offset))

    def find(self, frame_row: int, frame_column: int) -> list[tuple[int, int, int]]:
        """Frame number, and row and column of its corner relative to the corner of the cell; empty where glass is."""
        if self._cells is None:
            return self._overlapping.get((frame_row, frame_column), [])
        frame: int = self._cells.item(frame_row, frame_column)
        return [] if frame < 0 else [(frame, 0, 0)]

    @property
    def n_empty(self) -> int:
        """Cells of the grid without a frame; 0 where frames do not follow the grid."""
        return 0 if self._cells is None else int((self._cells < 0).sum())
