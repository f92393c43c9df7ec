"""Lag against polls as an SVG: each poller a point, the learned schedule a curve over its cost."""

import math
from collections.abc import Mapping, Sequence

from benchmarks.schedule.evaluation import Score

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 480, 60, 50
_MOST_LAG, _MOST_POLLS = 60.0, 16.0
_TICKS = (1, 2, 3, 4, 6, 8, 10, 15)


def draw(scores: Mapping[str, Score], curve: Sequence[tuple[float, Score]]) -> str:
    """Return the picture; `curve` has the learned schedule's scores by the cost of a poll."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, _HEIGHT - 10, "polls an operation", "middle"),
        _text(8, 16, "mean lag, s"),
    ]
    for polls in _TICKS:
        x = _x(polls)
        parts += [_line(x, _y(0), x, _y(_MOST_LAG)), _text(x, _y(0) + 18, str(polls), "middle")]
    for lag in range(0, int(_MOST_LAG) + 1, 10):
        y = _y(lag)
        parts += [_line(_LEFT, y, _WIDTH, y), _text(_LEFT - 8, y + 4, str(lag), "end")]
    points = " ".join(f"{_x(s.polls):.1f},{_y(s.lag_mean):.1f}" for _, s in curve)
    parts.append(f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="2"/>')
    for cost, score in curve:
        parts += [
            _dot(score, "#1f77b4"),
            _text(_x(score.polls) - 8, _y(score.lag_mean) + 14, f"{cost:g}", "end"),
        ]
    for name, score in scores.items():
        if not name.startswith("learned"):
            parts += [
                _dot(score, "#333"),
                _text(_x(score.polls) + 7, _y(score.lag_mean) - 4, name),
            ]
    return "\n".join([*parts, "</svg>\n"])


def _x(polls: float) -> float:
    share = math.log(max(polls, 0.8) / 0.8) / math.log(_MOST_POLLS / 0.8)
    return _LEFT + share * (_WIDTH - _LEFT - 20)


def _y(lag: float) -> float:
    return (_HEIGHT - _BOTTOM) - min(lag, _MOST_LAG) / _MOST_LAG * (_HEIGHT - _BOTTOM - 30)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _dot(score: Score, colour: str) -> str:
    return (
        f'<circle cx="{_x(score.polls):.1f}" cy="{_y(score.lag_mean):.1f}" r="4" fill="{colour}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
