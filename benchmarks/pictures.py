#!/usr/bin/env python3
"""Draw what a command prints as docs/NAME.svg.

    python benchmarks/pictures.py compare -- STEP1=out/demo/step1_predict STEP2=out/demo/step2_predict

The command is scripts/NAME.py with the words behind `--`. The picture has its own background, loads nothing, and every
line has a fixed width, so that columns are aligned in any font.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
CHARACTER, LINE, MARGIN = 8.4, 21, 18  # pixels
INK, BLUE, GREY = "#1f2328", "#0b57b0", "#6b7280"
_INTERVAL = re.compile(r"\[([-+][\d.]+), ([-+][\d.]+)\]")


def main() -> int:
    """Run the command and draw its output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the script, and of the picture")
    parser.add_argument("--out", type=Path, help="another picture")
    parser.add_argument("words", nargs="+", help="words of the command")
    args = parser.parse_args()
    shown = ["python", f"scripts/{args.name}.py", *args.words]
    done = subprocess.run([sys.executable, *shown[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    out = args.out or ROOT / "docs" / f"{args.name}.svg"
    out.write_text(drawn(done.stdout.rstrip().splitlines()), encoding="utf-8")
    print(f"wrote {out}")
    return 0


def drawn(lines: list[str]) -> str:
    """Lines of text as an SVG picture."""
    width, height = max(map(len, lines)) * CHARACTER + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">'
    )
    frame = f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#ffffff" stroke="#d0d7de"/>'
    font = '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14">'
    return "\n".join([head, frame, font, *_texts(lines), "</g>", "</svg>", ""])


def _texts(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        stripped = line.lstrip()
        if not stripped:
            continue
        left, top = MARGIN + (len(line) - len(stripped)) * CHARACTER, MARGIN + number * LINE + 0.72 * LINE
        colour, weight = _style(line)
        yield (
            f'<text x="{left:.1f}" y="{top:.1f}" textLength="{len(stripped) * CHARACTER:.1f}" fill="{colour}" '
            f'font-weight="{weight}" xml:space="preserve">{escape(stripped)}</text>'
        )


def _style(line: str) -> tuple[str, str]:
    """Lines without figures are grey; a difference whose interval leaves out 0 is blue and bold."""
    interval = _INTERVAL.search(line)
    if interval:
        low, high = map(float, interval.groups())
        return (BLUE, "600") if low > 0 or high < 0 else (INK, "400")
    return (INK if re.search(r"\d\.\d{3}", line) else GREY), "400"


if __name__ == "__main__":
    sys.exit(main())
