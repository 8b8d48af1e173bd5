"""The features of a face: nose, mouth, eyes, brows, and the glasses before them."""

from __future__ import annotations

import torch

from rather.worlds.faces.canvas import Canvas, Traits
from rather.worlds.faces.distances import Plane, band, both, bump, ellipse, superellipse

_TEETH = torch.tensor([0.96, 0.95, 0.92]).view(3, 1, 1)
_THROAT = torch.tensor([0.30, 0.08, 0.08]).view(3, 1, 1)
_EYEBALL = torch.tensor([0.95, 0.95, 0.94]).view(3, 1, 1)
_PUPIL = torch.tensor([0.03, 0.03, 0.03]).view(3, 1, 1)
_GLINT = torch.ones(3, 1, 1)
_GLASS = torch.tensor([0.80, 0.88, 0.95]).view(3, 1, 1)


def nose(canvas: Canvas, traits: Traits) -> None:
    """A ridge, lit from one side, a tip and two nostrils."""
    x, y = canvas.x - traits["turn"], canvas.y
    length, width = traits["nose_length"], traits["nose_width"]
    down = y - 0.10 * length
    lit = traits["light"].sign()
    ridge = bump(x - 0.012 * lit, 0.024 * width) * bump(y, 0.11, flat=True)
    shadow = bump(x + 0.045 * width * lit, 0.018) * bump(y - 0.02, 0.10, flat=True)
    canvas.shade((1 + 0.10 * ridge) * (1 - 0.16 * shadow))
    tip = ellipse(x, down - 0.015, 0.060 * width, 0.050 * length)
    skin = traits["skin"] * (1.04 * canvas.light)[:, None]
    canvas.paint(0.55 * canvas.cover(tip, 2.0), skin)
    nostrils = ellipse(x.abs() - 0.032 * width, down - 0.045, 0.017, 0.010)
    canvas.paint(0.75 * canvas.cover(nostrils, 1.2), skin * 0.45)
    bridge = x.abs() - (0.022 + 0.02 * (y / 0.12).clamp(0, 1)) * width
    bridge = both(bridge, band(y, traits["eye_level"], 0.12 * length))
    outline = torch.minimum(tip, bridge)
    canvas.mark(canvas.cover(outline), "nose")


def mouth(canvas: Canvas, traits: Traits) -> None:
    """Lips, whose corners rise as they part over the teeth; at rest they are shut and hang a little."""
    smile = traits["smile"]
    half = 0.138 * traits["mouth_width"] * (1 + 0.32 * smile)
    along = (canvas.x - traits["turn"]) / half
    taper = 1 - (along**2).clamp(max=1)
    curve = (0.100 * smile - 0.022) * (0.5 - along**2)
    down = canvas.y - 0.30 - traits["mouth_level"] - curve
    opening = (0.003 + 0.046 * smile**2 * (0.4 + 0.6 * traits["mouth_opening"])) * taper
    thickness = 0.028 * traits["lip_fullness"] * taper
    ends = (along.abs() - 1) * half
    lips = canvas.cover(both((down - 0.004).abs() - opening - thickness, ends), 1.1)
    canvas.paint(lips, traits["lips"] * canvas.light[:, None], "lips")
    inside = both(down.abs() - opening, ends + 0.06 * half)
    canvas.paint(canvas.cover(inside, 1.1), _THROAT, "mouth")
    teeth = both(inside + 0.006, (down + 0.15 * opening).abs() - 0.62 * opening)
    shown = ((smile - 0.3) / 0.3).clamp(0, 1)
    canvas.paint(canvas.cover(teeth) * shown, _TEETH, "mouth")


def eyes(canvas: Canvas, traits: Traits) -> None:
    """Two eyes at once, each point seen from the nearer one; a smile and age narrow them."""
    x, size = canvas.x - traits["turn"] * 0.7, traits["eye_size"]
    side = x.detach().sign()
    x = x - side * traits["eye_distance"]
    y = canvas.y - traits["eye_level"]
    lid = 0.040 * size * (1 - 0.26 * traits["smile"] - 0.20 * traits["age"])
    ball = ellipse(x, y, 0.074 * size * (1 - 0.06 * traits["age"]), lid)
    canvas.paint(canvas.cover(ball - 0.008), traits["skin"] * (0.62 * canvas.light)[:, None], "eye")
    white = canvas.cover(ball)
    canvas.paint(white, _EYEBALL)
    x = x - traits["gaze"]
    canvas.paint(white * canvas.cover(ellipse(x, y, 0.033 * size, 0.033 * size)), traits["iris"])
    canvas.paint(white * canvas.cover(ellipse(x, y, 0.015 * size, 0.015 * size)), _PUPIL)
    canvas.paint(white * canvas.cover(ellipse(x - 0.011, y + 0.012, 0.008, 0.008)), _GLINT)


def brows(canvas: Canvas, traits: Traits, strand: Plane) -> None:
    """Two brows of the hair's colour, thinner at their outer ends."""
    outward = (canvas.x - traits["turn"] * 0.7).abs() - traits["eye_distance"]
    y = canvas.y - traits["eye_level"] + 0.105 + 0.01 * traits["smile"]
    y = y + traits["brow_slope"] * outward + 0.9 * (outward - 0.01) ** 2
    thin = 1 - 0.45 * ((outward + 0.10) / 0.2).clamp(0, 1)
    brow = both(y.abs() - 0.017 * traits["brow_thickness"] * thin, outward.abs() - 0.098)
    canvas.paint(0.92 * canvas.cover(brow, 1.4), traits["hair"] * (0.75 * strand)[:, None], "brow")


def glasses(canvas: Canvas, traits: Traits) -> None:
    """Two lenses in frames, a bridge between them and an arm to each ear."""
    on, paint = traits["glasses"], traits["frame"]
    x = (canvas.x - traits["turn"] * 0.7).abs()
    y = canvas.y - traits["eye_level"] - 0.012
    middle = traits["eye_distance"] + 0.006
    wide, high, square = traits["lens_width"], traits["lens_height"], traits["lens_square"]
    lens = superellipse(x - middle, y, wide, high, square)
    canvas.paint(0.16 * on * canvas.cover(lens), _GLASS)
    rim = lens.abs() - (0.014 + 0.004 * square)
    arms = both((y + 0.03).abs() - 0.012, band(x, middle + wide, traits["width"] + 0.01))
    bridge = both((y + 0.03 - 3 * x**2).abs() - 0.013, x - (middle - wide + 0.01))
    canvas.paint(on * canvas.cover(torch.minimum(torch.minimum(rim, arms), bridge)), paint, "glasses")
