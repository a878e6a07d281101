"""`python -m bench.picture`: docs/images/performance.svg, where our own CPU goes, from the figures in figures.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "images" / "performance.svg"
WIDTH, LEFT, RIGHT, ROW, BAR = 860, 190, 70, 46, 26
KINDS = {
    "start": ("start until the first connection", "#4c6a92"),
    "ssh": ("asyncssh", "#9db4cf"),
    "ours": ("ours: frames, redaction, judging, storing", "#d98e4a"),
    "end": ("answers, report, delivery", "#8a8a8a"),
}


def picture(rows: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Return the rows (ms of CPU for each host, by kind) as stacked bars."""
    widest = max(sum(row.values()) for row in rows.values())
    scale = (WIDTH - LEFT - RIGHT) / widest
    height = 84 + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f'<style>{_STYLE}</style><rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text x="20" y="30" class="title">{escape(title)}</text>',
        *_legend(),
    ]
    for number, (name, row) in enumerate(rows.items()):
        parts += _bar(name, row, 76 + number * ROW, scale)
    return "\n".join([*parts, "</svg>\n"])


def _legend() -> Iterator[str]:
    at = 20
    for words, colour in KINDS.values():
        yield f'<rect x="{at}" y="44" width="11" height="11" fill="{colour}"/><text x="{at + 16}" y="54">{escape(words)}</text>'
        at += 34 + round(6.4 * len(words))


def _bar(name: str, row: Mapping[str, float], top: int, scale: float) -> Iterator[str]:
    yield f'<text x="{LEFT - 10}" y="{top + 18}" text-anchor="end">{escape(name)}</text>'
    at = float(LEFT)
    for kind, (_, colour) in KINDS.items():
        width = row.get(kind, 0.0) * scale
        if width:
            yield f'<rect x="{at:.1f}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
        if width > 30:
            yield f'<text x="{at + width / 2:.1f}" y="{top + 18}" text-anchor="middle" class="in">{row[kind]:.1f}</text>'
        at += width
    yield f'<text x="{at + 8:.1f}" y="{top + 18}"><tspan class="sum">{sum(row.values()):.1f}</tspan> ms</text>'


_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.title{font-size:15px;font-weight:600}.in{fill:#fff}"
    ".sum{font-weight:600}.page{fill:#fff}"
)


def main() -> None:
    """Draw."""
    figures = json.loads((HERE / "figures.json").read_text())
    PICTURE.write_text(picture(figures["rows"], figures["title"]))
    print(PICTURE)


if __name__ == "__main__":
    main()
