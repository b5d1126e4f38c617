"""What a browser shows of a slide, asked by places on the slide."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PATIENCE_MS: Final = 60_000
_MOST_LOOKS: Final = 40


class Screen:
    """A page of a browser on which a dicom-microscopy-viewer, alone or inside OHIF, shows a slide.

    Parameters
    ----------
    page
        The page.
    viewer
        JavaScript expression for its VolumeImageViewer.
    """

    def __init__(self, page: "Page", viewer: str) -> None:
        self.page = page
        self.console: list[str] = []
        self.requested: set[str] = set()
        self._viewer = viewer
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"page error: {error}"))
        page.on("requestfailed", lambda request: self.console.append(f"failed: {request.url} {request.failure}"))
        page.on("request", lambda request: self.requested.add(request.url))

    def open(self, url: str) -> None:
        """Go to an address and wait until its slide can be asked."""
        self.page.goto(url)
        self.page.wait_for_function(f"Boolean({self._viewer}?.getMap().getTargetElement())", timeout=_PATIENCE_MS)

    def ask(self, body: str, argument: Any = None) -> Any:
        """Run JavaScript with ``viewer`` and ``given``; returns what it returns."""
        return self.page.evaluate(f"async (given) => {{ const viewer = {self._viewer}; {body} }}", argument)

    @property
    def outside_requests(self) -> list[str]:
        """What the page asked of anybody but this machine."""
        local = {"", "127.0.0.1", "localhost"}
        return sorted(
            url
            for url in self.requested
            if urlsplit(url).scheme not in {"data", "blob"} and urlsplit(url).hostname not in local
        )

    def look(self) -> NDArray[np.int16]:
        """Take a picture once it no longer changes, shape ``(n_rows, n_columns, 3)``."""
        self.ask(
            "const map = viewer.getMap();"
            "await Promise.race(["
            "  new Promise((done) => { map.once('rendercomplete', done); map.render(); }),"
            "  new Promise((done) => setTimeout(done, 10000)),"
            "]);"
        )
        before = self._picture()
        for _ in range(_MOST_LOOKS):
            self.page.wait_for_timeout(150)
            after = self._picture()
            if np.array_equal(before, after):
                return after
            before = after
        raise AssertionError("the page does not come to rest")

    def _picture(self) -> NDArray[np.int16]:
        png = self.page.screenshot(animations="disabled", caret="hide")
        return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(np.int16)

    def find(self, places_mm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row and column on the screen of places on the slide, by the viewer's own transforms.

        Parameters
        ----------
        places_mm
            x, y in the slide's frame of reference, shape ``(n, 2)``.

        Returns
        -------
        NDArray[np.int64]
            Shape ``(n, 2)``.
        """
        affine = np.array(self.ask("return viewer.getAffine();"), dtype=float)
        homogeneous = np.column_stack([places_mm, np.ones(len(places_mm))])
        pixels = (np.linalg.inv(affine) @ homogeneous.T).T[:, :2]
        # Pixel (column, row) of the total pixel matrix lies at (column, -(row + 1)) of the map.
        coordinates = np.column_stack([pixels[:, 0], -(pixels[:, 1] + 1)])
        found = self.ask(
            "const map = viewer.getMap(), box = map.getViewport().getBoundingClientRect();"
            "return given.map((place) => { const [x, y] = map.getPixelFromCoordinate(place);"
            "  return [y + box.top, x + box.left]; });",
            coordinates.tolist(),
        )
        return np.floor(np.array(found)).astype(np.int64)

    def save(self, file: Path) -> None:
        """Write what is to be seen, and beside it what the console says."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)
        file.with_suffix(".txt").write_text("\n".join(self.console), encoding="utf-8")


@contextmanager
def open_browser() -> Iterator["Browser"]:
    """Start Debian's Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_screen(browser: "Browser", viewer: str) -> Iterator[Screen]:
    """Open a page."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    try:
        yield Screen(page, viewer)
    finally:
        page.close()


def near(picture: NDArray[np.int16], places: NDArray[np.int64], color: NDArray[Any], reach: int = 2) -> NDArray[Any]:
    """How close the most alike pixel within `reach` of each place comes to a color, largest difference of a band.

    Parameters
    ----------
    picture
        As `Screen.look` gives it.
    places
        Row and column, shape ``(n, 2)``.
    color
        Red, green, blue; shape ``(3,)`` or ``(n, 3)``.
    """
    seen = _around(picture, places, reach)
    wanted = np.broadcast_to(np.asarray(color), (len(places), 3))
    return np.asarray(np.abs(seen - wanted[:, None, :]).max(axis=2).min(axis=1))


def off_by(
    picture: NDArray[np.int16], places: NDArray[np.int64], palette: NDArray[Any], share: NDArray[Any], reach: int = 1
) -> NDArray[np.float64]:
    """How far the values that colors stand for are from those expected, as a share of the range of a map.

    Parameters
    ----------
    picture, places, reach
        As of `near`.
    palette
        Colors from the least to the greatest value, shape ``(n_colors, 3)``.
    share
        Expected value of each place, from 0, the least of the map, to 1, the greatest; shape ``(n,)``.

    Returns
    -------
    NDArray[np.float64]
        Shape ``(n,)``; infinite where no color of the palette is.
    """
    seen = _around(picture, places, reach)
    differences = np.abs(seen[:, :, None, :] - palette).max(axis=3)
    off = np.abs(differences.argmin(axis=2) / (len(palette) - 1) - share[:, None])
    return np.asarray(np.where(differences.min(axis=2) <= 4, off, np.inf).min(axis=1))


def _around(picture: NDArray[np.int16], places: NDArray[np.int64], reach: int) -> NDArray[np.int16]:
    """Colors within `reach` of each place, shape ``(n, (2 × reach + 1)², 3)``."""
    steps = np.arange(-reach, reach + 1)
    shifts = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    rows, columns = (places[:, None, :] + shifts).transpose(2, 0, 1)
    return picture[rows.clip(0, picture.shape[0] - 1), columns.clip(0, picture.shape[1] - 1)]
