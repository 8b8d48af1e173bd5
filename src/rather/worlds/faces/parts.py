"""What a face is made of: neck and cloth, ears, skin and its lines, beard, hair, hat; nose, mouth, eyes, glasses."""

from __future__ import annotations

import torch

from rather.worlds.faces.canvas import Canvas, Plane, Traits, band, both, bump, either, ellipse, superellipse

_TEETH = torch.tensor([0.96, 0.95, 0.92]).view(3, 1, 1)
_THROAT = torch.tensor([0.30, 0.08, 0.08]).view(3, 1, 1)
_EYEBALL = torch.tensor([0.95, 0.95, 0.94]).view(3, 1, 1)
_PUPIL = torch.tensor([0.03, 0.03, 0.03]).view(3, 1, 1)
_GLINT = torch.ones(3, 1, 1)
_GLASS = torch.tensor([0.80, 0.88, 0.95]).view(3, 1, 1)


def strands(canvas: Canvas, traits: Traits) -> Plane:
    """How light each point of the hair is: strands that fall from the crown."""
    around = torch.atan2(canvas.x, canvas.y + 0.9)
    reach = 1 / (canvas.y + 0.9).clamp(min=0.3)  # radians around the crown a length
    phase = traits["hair_phase"]
    coarse = canvas.waves(around * 38 + phase + 3 * canvas.clouds, 38 * reach)
    fine = canvas.waves(around * 83 + 3 * canvas.pores + 1.7 * phase, 83 * reach)
    return (0.93 + 0.13 * coarse + 0.12 * fine) * canvas.light


def hair_behind(canvas: Canvas, traits: Traits, strand: Plane) -> None:
    """Long hair behind the neck, which short hair has not."""
    aside = canvas.x.abs() - (traits["width"] + 0.10 + 0.03 * torch.sin(canvas.y * 5 + traits["hair_phase"]))
    fall = both(aside, band(canvas.y, -0.28, traits["hair_end"]))
    crown = ellipse(canvas.x, canvas.y + 0.22, traits["width"] + 0.12, 0.55)
    cover = canvas.cover(either(fall, crown)) * traits["long_hair"]
    canvas.paint(cover, traits["hair"] * (0.8 * strand)[:, None], "hair")


def neck_and_cloth(canvas: Canvas, traits: Traits) -> None:
    """A neck, shoulders and a neckline; creases across the neck come with age."""
    x, y = canvas.x, canvas.y
    shadow = 0.86 - 0.20 * bump(y - 0.55, 0.14)  # the chin's
    collar = 0.76
    skin = traits["skin"] * (shadow * canvas.light)[:, None]
    neck = canvas.cover(both(x.abs() - 0.20 - 0.05 * (y - 0.5).clamp(0, 1), 0.30 - y))
    neckline = canvas.cover(ellipse(x, y - collar, 0.25, 0.15))
    shoulders = canvas.cover(both(ellipse(x, y - 1.16, 0.90, 0.44), 0.62 - y))
    folds = 0.90 + 0.10 * torch.cos(9 * x + 2 * canvas.clouds)
    canvas.paint(neck, skin, "neck")
    canvas.paint(shoulders, traits["cloth_colour"] * (folds * canvas.light)[:, None], "cloth")
    canvas.paint(neckline, skin, "neck")
    creases = sum(
        canvas.stroke(y - level + 1.2 * x**2 + 0.012 * torch.sin(9 * x + 40 * level), 0.014)
        for level in (0.70, 0.77, 0.84)
    )
    hollow = 0.5 * bump(x.abs() - 0.05, 0.03) * bump(y - 0.80, 0.12)  # between the cords of the throat
    throat = torch.maximum(neck * (y < collar), neckline) * bump(x, 0.19, flat=True)
    canvas.shade(1 - 0.40 * traits["age"] * throat * (creases + hollow).clamp(max=1))


def hair_in_front(canvas: Canvas, traits: Traits, strand: Plane) -> None:
    """Long hair over the shoulders."""
    full = 0.085 * (3 * canvas.y).clamp(0, 1)
    aside = (canvas.x.abs() - (traits["width"] + 0.10)).abs() - full
    end = traits["hair_end"] - 2 * (canvas.x.abs() - traits["width"] - 0.08) ** 2
    cover = canvas.cover(both(aside, band(canvas.y, 0.02, end))) * traits["long_hair"]
    canvas.paint(cover, traits["hair"] * (0.92 * strand)[:, None], "hair")


def ears(canvas: Canvas, traits: Traits) -> None:
    """Two ears; the head hides the inner half of each."""
    size = traits["ear_size"]
    distance = ellipse(canvas.x.abs() - traits["width"] - 0.015, canvas.y, 0.065 * size, 0.12 * size)
    canvas.paint(canvas.cover(distance), traits["skin"] * (0.88 * canvas.light)[:, None], "ear")


def head(canvas: Canvas, traits: Traits) -> Plane:
    """The face's skin; its distance is returned, since most of what follows stays inside."""
    x, y, age = canvas.x, canvas.y, traits["age"]
    width, height = traits["width"], traits["height"]
    square = traits["jaw"] * (y * 4).clamp(0, 1)
    face = superellipse(x, y, width, height, square)
    rounding = 1.07 - 0.22 * ((x / width) ** 2 + (y / height) ** 2).clamp(0, 1.2)
    grain = 1 + (0.025 + 0.05 * age) * canvas.pores
    colour = traits["skin"] * (rounding * grain * canvas.light)[:, None]
    canvas.paint(canvas.cover(face), colour, "skin")
    return face


def lines(canvas: Canvas, traits: Traits, face: Plane) -> None:
    """What age draws into the skin from the forehead to the chin, each line as dark as the face is old."""
    x, y, aside = canvas.x, canvas.y, canvas.x.abs()
    eye = traits["eye_level"]
    from_eye = aside - traits["eye_distance"]
    forehead = bump(x, 0.24, flat=True) * sum(
        canvas.stroke(y - level - eye / 2 - 0.05 * x**2 - 0.006 * torch.sin(22 * x + 60 * level), 0.012)
        for level in (-0.34, -0.28, -0.22)
    )
    corner = from_eye - 0.10
    crows_feet = bump(corner - 0.035, 0.04, flat=True) * sum(
        canvas.stroke(y - eye - slope * corner, 0.009) for slope in (-0.45, 0.0, 0.45)
    )
    eye_bag = bump(from_eye, 0.09, flat=True) * canvas.stroke(y - eye - 0.085 + 0.6 * from_eye**2, 0.013)
    nose_to_mouth = bump(y - 0.21, 0.11, flat=True) * canvas.stroke(aside - 0.14 - 0.16 * (y - 0.12), 0.014)
    mouth_to_jaw = bump(y - 0.43, 0.08, flat=True) * canvas.stroke(aside - 0.165 - 0.15 * (y - 0.35), 0.014)
    chin = bump(x, 0.13, flat=True) * canvas.stroke(y - 0.45 + 0.8 * x**2, 0.016)
    jowl = bump(aside - 0.22, 0.06) * bump(y - 0.47, 0.05)
    dark = forehead + crows_feet + eye_bag + nose_to_mouth + mouth_to_jaw + chin + 0.6 * jowl
    canvas.shade(1 - 0.42 * traits["age"] * canvas.cover(face) * dark.clamp(max=1))


def beard(canvas: Canvas, traits: Traits, face: Plane) -> None:
    """A full beard with a moustache, from the ears down; the mouth lies bare."""
    x, y = canvas.x, canvas.y
    along = (x / traits["width"]).abs()
    edge = 0.20 - 0.24 * along * along * along + 0.01 * canvas.pores
    bare = ellipse(x - traits["turn"], y - 0.305 - traits["mouth_level"], 0.11, 0.028)
    curls = canvas.waves(70 * x + 30 * y + 5 * canvas.clouds, 76.0)
    colour = traits["hair"] * ((0.80 + 0.14 * curls + 0.10 * canvas.pores) * canvas.light)[:, None]
    cover = canvas.cover(both(face - 0.015 * (4 * y).clamp(0, 1), edge - y, -bare), 2.0)
    canvas.paint(cover * traits["beard"] * (0.80 + 0.20 * traits["beard_density"]), colour, "beard")


def hair(canvas: Canvas, traits: Traits, strand: Plane) -> None:
    """Hair over the head down to the hairline, which recedes a little with age, or to the fringe."""
    x, y, long = canvas.x, canvas.y, traits["long_hair"]
    width, phase = traits["width"], traits["hair_phase"]
    aside = x.abs()
    scalp = ellipse(x, y + 0.13, width + 0.075 + 0.03 * long, traits["height"] - 0.045)
    bare = -0.39 + traits["hairline"] - 0.05 * traits["age"] + 0.02 * torch.sin(18 * x + phase)
    bare = bare + (0.05 - 0.38 * long) * x**2
    fringe = -0.21 + 0.3 * traits["eye_level"] + 0.02 * torch.sin(24 * x + phase) + 0.12 * x
    edge = torch.lerp(bare, torch.maximum(bare, fringe), traits["fringe"])
    temple = 1 - 0.55 * (y.clamp(max=0) / traits["height"]) ** 2  # the face narrows there
    inner = (width - 0.045 - 0.03 * long) * temple + 0.30 * (y - 0.02).clamp(min=0)
    side = both(inner - aside, y - (0.30 * long - 0.02 * (1 - long)))
    cover = canvas.cover(both(scalp, either(y - edge, side)))
    canvas.paint(cover, traits["hair"] * strand[:, None], "hair")


def hat(canvas: Canvas, traits: Traits) -> None:
    """A round hat with a brim."""
    x, width = canvas.x, traits["width"]
    level = canvas.y + 0.35 - 0.03 * x
    dome = both(ellipse(x, canvas.y + 0.30, width + 0.115, 0.47), level)
    brim = both(level.abs() - 0.05, x.abs() - (width + 0.15))
    cloth = 0.92 + 0.10 * torch.cos(4 * x + 1) - 0.18 * bump(level + 0.05, 0.02)
    cover = canvas.cover(either(dome, brim)) * traits["hat"]
    canvas.paint(cover, traits["hat_colour"] * (cloth * canvas.light)[:, None], "hat")


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
