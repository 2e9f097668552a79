"""A page of SVG: shapes and words that are legible on light and dark screens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.etree import ElementTree as ET

LIGHT = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#57606a")
DARK = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#f778ba", "#b1bac4")


def _colours(page: str, ink: str, quiet: str, grid: str, series: Sequence[str]) -> str:
    rules = [
        f".page {{ fill: {page}; stroke: {grid} }}",
        f"text {{ fill: {ink} }}",
        f".quiet {{ fill: {quiet} }}",
        f".grid {{ stroke: {grid} }}",
        f".axis {{ stroke: {quiet} }}",
        *(f".line{each} {{ stroke: {colour} }}" for each, colour in enumerate(series)),
        *(f".fill{each} {{ fill: {colour} }}" for each, colour in enumerate(series)),
    ]
    return "\n".join(rules)


STYLE = f"""
text {{ font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }}
text.title {{ font-size: 19px; font-weight: 600 }}
text.head {{ font-size: 14px; font-weight: 600 }}
text.small {{ font-size: 12px }}
text.strong {{ font-weight: 600 }}
.line {{ fill: none; stroke-width: 2.5; stroke-linejoin: round }}
.over {{ stroke-width: 1.5; stroke-dasharray: 2 4 }}
.leader {{ fill: none; stroke-width: 1 }}
{_colours("#ffffff", "#1f2328", "#59636e", "#d8dee4", LIGHT)}
@media (prefers-color-scheme: dark) {{
{_colours("#0d1117", "#e6edf3", "#9198a1", "#30363d", DARK)}
}}
"""


class Page:
    """An SVG that is drawn on a page of its own colour, whatever is behind it."""

    def __init__(self, width: int, height: int, title: str, description: str):
        self._root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {width} {height}",
                "width": str(width),
                "height": str(height),
                "role": "img",
            },
        )
        ET.SubElement(self._root, "title").text = title
        ET.SubElement(self._root, "desc").text = description
        ET.SubElement(self._root, "style").text = STYLE
        self._add("rect", "page", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=8)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        style: str = "",
        *,
        anchor: Literal["start", "middle", "end"] = "start",
    ) -> None:
        """Words whose base line is at `y`."""
        element = self._add("text", style, x=x, y=y)
        element.set("text-anchor", anchor)
        element.text = words

    def line(self, style: str, *points: tuple[float, float]) -> None:
        """A line through the points."""
        path = " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
        self._add("path", style).set("d", f"M{path}")

    def bar(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A filled bar."""
        self._add("rect", style, x=x, y=y, width=width, height=height, rx=2)

    def written(self) -> str:
        """The page as a file's text."""
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"

    def _add(self, tag: str, style: str, **numbers: float) -> ET.Element:
        attributes = {name: _number(number) for name, number in numbers.items()}
        return ET.SubElement(
            self._root, tag, {"class": style, **attributes} if style else attributes
        )


def _number(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
