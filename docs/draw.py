"""Draws terminal text as an SVG without scripts or fonts of its own: `docs/draw.py < text > picture.svg`.

Lines that begin with "$ " are commands. Everything else is shown as it was printed.
"""

import sys
from html import escape

CHARACTER = 7.85  # width, in pixels, of one character of 13 px monospace
LINE = 18
MARGIN = 18


def draw(text: str) -> str:
    """The picture of these lines."""
    lines = [line.expandtabs().rstrip() for line in text.splitlines()]
    width = round(max(map(len, lines)) * CHARACTER) + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        if line:
            kind = ' class="command"' if line.startswith("$ ") else ""
            top = MARGIN + LINE * number + 13
            # The length keeps columns in line whatever font there is.
            length = f"{len(line) * CHARACTER:.1f}"
            rows.append(f'<text x="{MARGIN}" y="{top}" textLength="{length}"{kind}>{escape(line)}</text>')
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"',
            '     xml:space="preserve">',
            "<style>",
            "  rect { fill: #16181d }",
            "  text { font: 13px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #d5d8de;",
            "         white-space: pre }",
            "  .command { fill: #8fd694; font-weight: bold }",
            "</style>",
            f'<rect width="{width}" height="{height}" rx="8"/>',
            *rows,
            "</svg>\n",
        )
    )


if __name__ == "__main__":
    sys.stdout.write(draw(sys.stdin.read()))
