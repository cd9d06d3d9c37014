"""A promise as a picture: of how many rows how much is promised. SVG, without anything from elsewhere. Pure."""

from __future__ import annotations

import math
from html import escape

from producer.trust.promises.trusted import Trusted
from producer.trust.promises.words import share

#: Of the picture, and what its axes leave free at the left, the right, the top and the bottom.
_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 14, 40


def svg(trusted: Trusted) -> str:
    """The curve of a promise: the share of the rows across, the lower bound of their precision up, and the precision
    that is wanted as a line. It has the colours of what it stands in. Empty if nothing was tested."""
    if not trusted.curve:
        return ""
    bounds = [bound.lower_bound for bound in trusted.curve]
    lowest = min(0.9, math.floor(10 * min(*bounds, trusted.precision)) / 10)

    def x(part: float) -> float:
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(bound: float) -> float:
        return round(_TOP + (1 - bound) / (1 - lowest) * (_HEIGHT - _TOP - _BOTTOM), 1)

    points = sorted((x(bound.share), y(bound.lower_bound)) for bound in trusted.curve)
    wanted, foot = y(trusted.precision), y(lowest)
    marks = [
        f'<circle cx="{x(each.share)}" cy="{y(each.lower_bound)}" '
        f'r="{6 if each.threshold == trusted.threshold else 3.5}">'
        f"<title>score at least {each.threshold:g}: {share(each.share)} of the rows, at least "
        f"{share(each.lower_bound)} right; {each.labels:,} judged, {each.wrong:,} wrong</title></circle>"
        for each in trusted.curve
    ]
    ups = [lowest + (1 - lowest) * step / 4 for step in range(5)]
    scale = [f'<text x="{_LEFT - 6}" y="{y(up) + 4}" text-anchor="end">{share(up)}</text>' for up in ups]
    scale += [f'<text x="{x(part / 4)}" y="{foot + 16}" text-anchor="middle">{25 * part}%</text>' for part in range(5)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f"<title>{escape(_title(trusted))}</title>"
        f'<path d="M{_LEFT} {_TOP}V{foot}H{_WIDTH - _RIGHT}" fill="none" stroke="currentColor" opacity="0.5"/>'
        f'<path d="M{_LEFT} {wanted}H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-dasharray="5 4" opacity="0.7"/>'
        f'<polyline points="{" ".join(f"{across},{up}" for across, up in points)}" fill="none" stroke="currentColor" '
        f'stroke-width="2"/>{"".join(marks)}{"".join(scale)}'
        f'<text x="{x(0.5)}" y="{_HEIGHT - 6}" text-anchor="middle">share of the rows</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{wanted - 5}" text-anchor="end">'
        f"wanted: {share(trusted.precision)}</text></svg>"
    )


def _title(trusted: Trusted) -> str:
    return f"What the judged answers of job {trusted.job} promise: the least share that is right, by share of the rows"
