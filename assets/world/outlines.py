"""Extracts the ten digits of three free fonts as polygons: `python outlines.py > digits.json`.

Needs fontTools and the fonts below (Debian: fonts-dejavu-core, fonts-liberation2, fonts-noto-core). The curves are
flattened, turned from "y up" to "y down", and scaled so that the smallest circle around a digit has radius 1 and lies
at the origin. Contours keep their winding, so that the signed areas of a digit's outside and holes add up.
"""

import json
import math
import random
import sys

from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont

FONTS = {
    "dejavu": "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf",
    "liberation": "/usr/share/fonts/truetype/liberation2/LiberationSans-Bold.ttf",
    "noto": "/usr/share/fonts/truetype/noto/NotoSans-Bold.ttf",
}
# The furthest that a chord may lie from its curve, in radii of the enclosing circle; 0.04 pixels of a big digit at 128.
TOLERANCE = 0.001
# Decimals kept.
DECIMALS = 4


class Flattener(BasePen):
    """Collects the contours of a glyph as closed polygons, with each curve cut into chords."""

    def __init__(self, glyphs, tolerance):
        super().__init__(glyphs)
        self.tolerance = tolerance
        self.contours = []

    def _moveTo(self, point):
        self.contours.append([point])

    def _lineTo(self, point):
        self.contours[-1].append(point)

    def _qCurveToOne(self, control, end):
        start = self._getCurrentPoint()
        # A chord over 1/n of a quadratic curve lies at most |start - 2 control + end| / (4 n^2) from it.
        bend = math.hypot(*(s - 2 * c + e for s, c, e in zip(start, control, end)))
        pieces = max(1, math.ceil(math.sqrt(bend / (4 * self.tolerance))))
        for piece in range(1, pieces + 1):
            t = piece / pieces
            self.contours[-1].append(
                tuple((1 - t) ** 2 * s + 2 * t * (1 - t) * c + t**2 * e for s, c, e in zip(start, control, end))
            )

    def _curveToOne(self, *_):
        raise ValueError("a cubic curve: these fonts have quadratic ones only")


def smallest_circle(points):
    """The smallest circle around `points`, by Welzl's incremental algorithm: ((x, y), radius)."""

    def through(*boundary):
        if len(boundary) == 1:
            return boundary[0], 0.0
        (ax, ay), (bx, by) = boundary[:2]
        if len(boundary) == 2:
            return ((ax + bx) / 2, (ay + by) / 2), math.hypot(bx - ax, by - ay) / 2
        cx, cy = boundary[2]
        bx, by, cx, cy = bx - ax, by - ay, cx - ax, cy - ay
        double_area = 2 * (bx * cy - by * cx)
        ux = (cy * (bx**2 + by**2) - by * (cx**2 + cy**2)) / double_area
        uy = (bx * (cx**2 + cy**2) - cx * (bx**2 + by**2)) / double_area
        return (ax + ux, ay + uy), math.hypot(ux, uy)

    def outside(circle, point):
        return math.dist(circle[0], point) > circle[1] * (1 + 1e-12)

    points = list(points)
    random.Random(0).shuffle(points)
    circle = through(points[0])
    for i, p in enumerate(points):
        if not outside(circle, p):
            continue
        circle = through(p)
        for j, q in enumerate(points[:i]):
            if not outside(circle, q):
                continue
            circle = through(p, q)
            for r in points[:j]:
                if outside(circle, r):
                    circle = through(p, q, r)
    return circle


def signed_area(contour):
    """Positive where the contour runs anticlockwise with y up."""
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(contour, contour[1:] + contour[:1])) / 2


def flattened(glyphs, name, tolerance):
    """The contours of a glyph in font units, each without a repeated closing point."""
    pen = Flattener(glyphs, tolerance)
    glyphs[name].draw(pen)
    return [contour[:-1] if contour[0] == contour[-1] else contour for contour in pen.contours]


def digit(glyphs, name):
    """A digit as polygons in the unit circle, y down, clockwise on screen outside and anticlockwise in holes."""
    (centre_x, centre_y), radius = smallest_circle(
        point for contour in flattened(glyphs, name, 0.05) for point in contour
    )
    contours = flattened(glyphs, name, TOLERANCE * radius)
    # TrueType runs clockwise outside, that is with a negative area in y up. Overlapping contours would count twice.
    assert sum(signed_area(contour) < 0 for contour in contours) == 1, f"{name} has more than one outside"
    placed = [[((x - centre_x) / radius, (centre_y - y) / radius) for x, y in contour] for contour in contours]
    return [[[round(x, DECIMALS), round(y, DECIMALS)] for x, y in contour] for contour in placed]


def main():
    fonts = {}
    for key, path in FONTS.items():
        font = TTFont(path)
        glyphs, names = font.getGlyphSet(), font.getBestCmap()
        version = font["name"].getDebugName(5).split(";")[0]
        fonts[key] = {
            "source": f"{font['name'].getDebugName(4)}, {version}",
            "digits": [digit(glyphs, names[ord(str(value))]) for value in range(10)],
        }
    json.dump(fonts, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
