"""An XMP packet: its face regions and keywords, with everything in it that is somebody else's left alone.

The regions are those of the Metadata Working Group's Guidelines for Handling Image Metadata 2.0 (2010). A region of
ours has something of our namespace in it; which keywords are ours stands there, too.
"""

from dataclasses import dataclass
from typing import Any
from xml.dom.minidom import Element

from jobs.exports.rdf import (
    NAMESPACES,
    OURS,
    RDF,
    add,
    elements,
    find_field,
    find_property,
    items_of,
    list_of,
    names_within,
    remove,
    remove_items,
    text_of,
)
from jobs.exports.regions import Area
from jobs.exports.xml_text import XmlError, as_text, parse_xml, xml_bytes

_KEYWORDS = {
    "dc:subject": "Expression|{}",
    "lr:hierarchicalSubject": "Expression|{}",
    "digiKam:TagsList": "Expression/{}",
}
"""Where keywords stand, and how each of these writes levels."""
_WRITTEN = "emotion:keywords"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
)


@dataclass(frozen=True)
class Region:
    """A face as its photograph's metadata tells of it."""

    area: Area
    emotion: str
    confidence: float

    @property
    def xml(self) -> str:
        """A face without a name: photo managers make a person of each name."""
        sides = zip(("x", "y", "w", "h"), self.area, strict=True)
        area = " ".join(f'stArea:{name}="{share:.6f}"' for name, share in sides)
        emotion = as_text(self.emotion)
        return (
            f'<rdf:li rdf:parseType="Resource"><mwg-rs:Type>Face</mwg-rs:Type>'
            f'<mwg-rs:Area {area} stArea:unit="normalized"/>'
            f"<mwg-rs:Description>{emotion} {self.confidence:.2f}</mwg-rs:Description>"
            f'<mwg-rs:Extensions rdf:parseType="Resource"><emotion:emotion>{emotion}</emotion:emotion>'
            f"<emotion:confidence>{self.confidence:.4f}</emotion:confidence></mwg-rs:Extensions></rdf:li>"
        )


def with_regions(packet: bytes | None, regions: list[Region], size: tuple[int, int]) -> bytes:
    """The packet (None: an empty one) with these regions and their emotions as keywords in the place of our last ones.

    ``size`` is the (width, height) of the image as it is stored. Raises XmlError for a packet that cannot be merged.
    """
    document = parse_xml(packet if packet is not None else _EMPTY.encode())
    try:
        rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
        _remove_ours(rdf)
        if regions:
            _add_regions(rdf, regions, size)
            _add_keywords(rdf, sorted({region.emotion for region in regions}))
    except IndexError:
        raise XmlError("it is XML, but not built as XMP is") from None
    return xml_bytes(document)


def _remove_ours(rdf: Element) -> None:
    record = find_property(rdf, _WRITTEN)
    written = [text_of(item) for item in items_of(record)] if record else []
    for name, form in _KEYWORDS.items():
        found = find_property(rdf, name)
        if found and written:
            ours = {form.format(emotion) for emotion in written}
            remove_items(found, [item for item in items_of(found) if text_of(item) in ours], found)
    regions = find_property(rdf, "mwg-rs:Regions")
    listed = find_field(regions, "mwg-rs:RegionList") if regions else None
    if regions and listed:
        remove_items(listed, [item for item in items_of(listed) if _is_ours(item)], regions)
    if record:
        home: Any = record.parentNode
        remove(record)
        names = {name for name in home.attributes.keys() if not name.startswith("xmlns")}  # noqa: SIM118 - not a dict
        if not elements(home) and all(name.endswith(":about") for name in names):
            remove(home)


def _is_ours(region: Element) -> bool:
    """Whether we wrote a region and nobody has given the face a name since."""
    names = set(names_within(region))
    return (NAMESPACES["mwg-rs"], "Name") not in names and any(uri == OURS for uri, _ in names)


def _add_regions(rdf: Element, regions: list[Region], size: tuple[int, int]) -> None:
    width, height = size
    found = find_property(rdf, "mwg-rs:Regions") or add(
        _description(rdf),
        '<mwg-rs:Regions rdf:parseType="Resource">'
        f'<mwg-rs:AppliedToDimensions stDim:w="{width}" stDim:h="{height}" stDim:unit="pixel"/></mwg-rs:Regions>',
    )
    listed = find_field(found, "mwg-rs:RegionList") or add(
        found if found.hasAttributeNS(RDF, "parseType") else elements(found)[0],
        "<mwg-rs:RegionList><rdf:Bag></rdf:Bag></mwg-rs:RegionList>",
    )
    for region in regions:
        add(list_of(listed), region.xml)


def _add_keywords(rdf: Element, emotions: list[str]) -> None:
    for name, form in {**_KEYWORDS, _WRITTEN: "{}"}.items():
        found = find_property(rdf, name) or add(_description(rdf), f"<{name}><rdf:Bag></rdf:Bag></{name}>")
        there = {text_of(item) for item in items_of(found)}
        for keyword in map(form.format, emotions):
            if keyword not in there:
                add(list_of(found), f"<rdf:li>{as_text(keyword)}</rdf:li>")


def _description(rdf: Element) -> Element:
    """The description with our record, made if there is none; it is about the same as the others."""
    record = find_property(rdf, _WRITTEN)
    if record:
        home: Any = record.parentNode
        return home  # type: ignore[no-any-return]
    about = next((one.getAttributeNS(RDF, "about") for one in elements(rdf)), "")
    made = add(rdf, f"<rdf:Description><{_WRITTEN}><rdf:Bag></rdf:Bag></{_WRITTEN}></rdf:Description>")
    made.setAttributeNS(RDF, f"{made.prefix}:about", about)
    return made
