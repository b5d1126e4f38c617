"""Maps without any hotspot that are as smooth as the slide's own, on the same tissue."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

GENES_AT_ONCE: Final = 16
"""Genes whose maps lie in memory together; all of them on a large slide are gigabytes."""

_LEAST_MARGIN: Final = 12
"""Fewest cells of the torus beyond the tissue, so that its opposite borders do not touch."""

_UNCORRELATED: Final = 0.05
"""Correlation, over all tiles of a distance, below which a map counts as uncorrelated."""

_LEAST_WINDOW: Final = 3.0
"""Narrowest window over lags, standard deviation in cells."""

_CLIP: Final = 2.0
"""Values further from the mean, in standard deviations, count as this far: a hotspot itself must not pass for the
smoothness that it is judged by."""


class SurrogateMaps:
    """Draws Gaussian fields with the autocorrelation of given maps.

    The autocorrelation is estimated from pairs of tiles of the tissue only, whatever its shape: by fast Fourier
    transform, sums of products over tiles at each lag are divided by the number of such pairs. A Gaussian window as
    wide as one and a half times the distance at which correlation fades keeps the noise of far lags out. The
    transform is the power spectrum. A surrogate takes amplitudes from it and random phases. All genes of one
    surrogate share the random phases, added to the phases of their own maps (Prichard and Theiler 1994), so that
    genes whose maps are alike get surrogates that are alike.

    Parameters
    ----------
    values
        Maps, each with mean 0 and variance 1, shape ``(n_tiles, n_genes)``.
    cells
        Grid row and column of each tile, shape ``(n_tiles, 2)``.
    """

    def __init__(self, values: NDArray[np.float32], cells: NDArray[np.int32]) -> None:
        self._cells = cells - cells.min(axis=0)
        extent = self._cells.max(axis=0) + 1
        margin = max(_LEAST_MARGIN, int(extent.max()) // 2)
        self._shape = (
            int(fft.next_fast_len(extent[0] + margin, True)),
            int(fft.next_fast_len(extent[1] + margin, True)),
        )
        mask = self._place(np.ones((len(values), 1), dtype=np.float32))
        pairs = np.rint(self._inverse(np.abs(self._transform(mask)) ** 2))
        rows, columns = (np.minimum(np.arange(side), side - np.arange(side)) for side in self._shape)
        lag = np.hypot(rows[:, None], columns)
        self._amplitudes = np.empty((values.shape[1], self._shape[0], self._shape[1] // 2 + 1), dtype=np.complex64)
        for start in range(0, values.shape[1], GENES_AT_ONCE):
            genes = slice(start, start + GENES_AT_ONCE)
            self._amplitudes[genes] = self._estimate(values[:, genes], pairs, lag, margin)

    def draw(self, random: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """Draw one surrogate of every map, a few genes after the other, each time shape ``(n_tiles, n_genes)``."""
        noise = self._transform(random.standard_normal(self._shape, dtype=np.float32))
        places = self._cells[:, 0] * self._shape[1] + self._cells[:, 1]
        for start in range(0, len(self._amplitudes), GENES_AT_ONCE):
            fields = self._inverse(self._amplitudes[start : start + GENES_AT_ONCE] * noise)
            yield np.ascontiguousarray(fields.reshape(len(fields), -1).take(places, axis=1).T)

    def _estimate(
        self, values: NDArray[np.float32], pairs: NDArray[np.float32], lag: NDArray[np.float64], margin: int
    ) -> NDArray[np.complex64]:
        """Amplitudes with the autocorrelation of maps, and the maps' own phases."""
        clipped = np.clip(values, -_CLIP, _CLIP)
        products = self._inverse(np.abs(self._transform(self._place(clipped))) ** 2)
        correlation = np.where(pairs > 0, products / np.maximum(pairs, 1), 0) / (clipped**2).mean(axis=0)[:, None, None]
        width = np.clip(1.5 * self._fading(correlation, pairs, lag), _LEAST_WINDOW, margin / 3)
        window = np.exp(-((lag / width[:, None, None]) ** 2) / 2)
        power = np.maximum(self._transform((correlation * window).astype(np.float32)).real, 0)

        own = self._transform(self._place(values))
        power /= self._inverse(power)[:, :1, :1]
        size = np.abs(own)
        phase = np.where(size > 1e-6, own / np.maximum(size, 1e-6), 1)
        return (np.sqrt(power) * phase).astype(np.complex64)

    def _fading(
        self, correlation: NDArray[np.floating], pairs: NDArray[np.floating], lag: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Least distance, in cells, at which a map is uncorrelated, shape ``(n_genes,)``."""
        distance = np.rint(lag).astype(np.int64).ravel()
        total = np.maximum(np.bincount(distance, pairs.ravel()), 1)
        radial = np.stack([np.bincount(distance, (own * pairs).ravel()) / total for own in correlation])
        return np.asarray((radial < _UNCORRELATED).argmax(axis=1), dtype=np.float64)

    def _place(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put values on the torus, shape ``(n_genes, n_rows, n_columns)``, 0 where there is no tile."""
        maps = np.zeros((values.shape[1], *self._shape), dtype=np.float32)
        maps[:, self._cells[:, 0], self._cells[:, 1]] = values.T
        return maps

    def _transform(self, maps: NDArray[np.float32]) -> NDArray[np.complex64]:
        return np.asarray(fft.rfft2(maps))

    def _inverse(self, spectra: NDArray[np.inexact]) -> NDArray[np.float32]:
        return np.asarray(fft.irfft2(spectra, s=self._shape))
