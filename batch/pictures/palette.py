"""The colour that each label has wherever it is shown: in copies of photographs and in charts."""

_COLOURS = ("#e69f00", "#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#6e6e6e", "#7f4f24", "#b8a800")
"""After Okabe and Ito's palette (2008), which most colour-blind people can tell apart, with a gray and without the
yellow: each stands out from white, from black, and from most photographs."""


def colour_of(index: int) -> str:
    """The colour of the label with that index, as ``#rrggbb``; there are nine in turn."""
    return _COLOURS[index % len(_COLOURS)]


def ink_on(colour: str) -> str:
    """Black or white, whichever is easier to read on ``colour`` (WCAG 2.1, relative luminance)."""
    levels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
