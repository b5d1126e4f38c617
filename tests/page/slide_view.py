"""The slide view in a browser, asked by places on the slide."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.page.planted_site import PlantedSite

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PATIENCE_MS: Final = 30_000
_MOST_LOOKS: Final = 60


@dataclass
class SlideView:
    """A page of a browser.

    Parameters
    ----------
    page
        The page.
    url
        Of the server.
    planted
        What it shows.
    """

    page: "Page"
    url: str
    planted: PlantedSite
    console: list[str] = field(default_factory=list)
    requested: set[str] = field(default_factory=set)

    @classmethod
    @contextmanager
    def opened(
        cls, browser: "Browser", url: str, planted: PlantedSite, size: tuple[int, int] = (1200, 800), **options: Any
    ) -> Iterator["SlideView"]:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        view = cls(context.new_page(), url, planted)
        view.page.set_default_timeout(_PATIENCE_MS)
        view.page.on("console", lambda message: view.console.append(f"{message.type}: {message.text}"))
        view.page.on("pageerror", lambda error: view.console.append(f"page error: {error}"))
        view.page.on("request", lambda request: view.requested.add(request.url))
        try:
            yield view
        finally:
            context.close()

    def open(self, query: str = "") -> None:
        """Go to the slide and wait until it and the map are there."""
        self.page.goto(f"{self.url}/#/slide/{self.planted.key}{query and '?' + query}")
        self.page.wait_for_selector("[data-open=true]")
        self.page.wait_for_selector("[data-shown]", state="attached")

    def choose(self, label: str) -> None:
        """Choose a gene in the list."""
        self.page.get_by_role("option", name=label).click()

    def show(self, name: str) -> None:
        """Wait until a layer is drawn."""
        self.page.wait_for_selector(f"[data-shown='{name}']", state="attached")

    @property
    def outside_requests(self) -> list[str]:
        """What the page asked of anybody but the server."""
        own = urlsplit(self.url).netloc
        others = (urlsplit(url) for url in self.requested)
        return [url.geturl() for url in others if url.scheme not in {"data", "blob"} and url.netloc != own]

    @property
    def faults(self) -> list[str]:
        """What the console complains about."""
        return [line for line in self.console if line.startswith(("error", "page error", "warning"))]

    def look(self) -> NDArray[np.int16]:
        """Take a picture once it no longer changes, shape ``(n_rows, n_columns, 3)``."""
        before = self._picture()
        for _ in range(_MOST_LOOKS):
            self.page.wait_for_timeout(120)
            after = self._picture()
            if np.array_equal(before, after):
                return after
            before = after
        raise AssertionError("the page does not come to rest")

    def find(self, places_px: NDArray[np.floating], pane: int = 0) -> NDArray[np.int64]:
        """Row and column on the screen of places of the base level, outer corner of the slide at 0, 0."""
        found = self.page.evaluate(
            "([places, pane]) => { const { element, transform: { scale, x, y } } = slidePage.maps.all[pane];"
            "  const box = element.getBoundingClientRect();"
            "  return places.map(([px, py]) => [box.top + y + py * scale, box.left + x + px * scale]); }",
            [np.asarray(places_px).tolist(), pane],
        )
        return np.floor(np.array(found)).astype(np.int64)

    def tiles(self, pane: int = 0) -> NDArray[np.int64]:
        """Row and column on the screen of the middle of each tile."""
        return self.find(self.planted.grid.centers_px + 0.5, pane)

    def pixels(self, places: NDArray[np.int64]) -> NDArray[np.int16]:
        """Colors at places on the screen."""
        return np.asarray(self.look()[places[:, 0], places[:, 1]])

    def _picture(self) -> NDArray[np.int16]:
        png = self.page.screenshot(animations="disabled", caret="hide")
        return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(np.int16)
