"""The RDF within an XMP packet (ISO 16684-1, 7): properties, structures and lists, found and added."""

from collections.abc import Iterator
from typing import Any
from xml.dom.minidom import Element

from jobs.exports.xml_text import XmlError, parse_xml

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OURS = "urn:emotion-annotate:1.0/"
NAMESPACES = {
    "rdf": RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "emotion": OURS,
}
_XMLNS = "http://www.w3.org/2000/xmlns/"


def find_property(rdf: Element, name: str) -> Element | None:
    """A property, such as ``dc:subject``, in whichever description it stands."""
    return next((found for about in elements(rdf) if (found := _child(about, name))), None)


def find_field(structure: Element, name: str) -> Element | None:
    """A field of a structure, whichever of RDF's ways it is written in: at once, or in a description of its own."""
    at_once = _child(structure, name)
    return at_once or next((found for one in elements(structure) if (found := _child(one, name))), None)


def list_of(parent: Element) -> Element:
    """The Bag, Seq or Alt of a property; raises XmlError if it has none."""
    for one in elements(parent):
        if one.namespaceURI == RDF and one.localName in ("Bag", "Seq", "Alt"):
            return one
    raise XmlError(f"{parent.tagName} is no list")


def items_of(parent: Element) -> list[Element]:
    """The items of a property that is a list; raises XmlError."""
    return elements(list_of(parent))


def elements(parent: Element) -> list[Element]:
    """The elements right below another one."""
    return [child for child in parent.childNodes if isinstance(child, Element)]


def text_of(element: Element) -> str:
    """The text of an element that has nothing else."""
    return "".join(str(node.nodeValue) for node in element.childNodes if node.nodeType == node.TEXT_NODE)


def names_within(element: Element) -> Iterator[tuple[str | None, str | None]]:
    """Namespaces and local names of an element, and of all elements and attributes within it."""
    for one in _and_below(element):
        yield one.namespaceURI, one.localName
        yield from ((attribute.namespaceURI, attribute.localName) for attribute in one.attributes.values())


def remove_items(listed: Element, items: list[Element], whole: Element) -> None:
    """Take items out of a list; and ``whole``, the property that holds the list, once the last has gone."""
    for item in items:
        remove(item)
        if not items_of(listed):
            remove(whole)


def remove(element: Element) -> None:
    """Take an element out of its document."""
    parent: Any = element.parentNode
    parent.removeChild(element)


def add(parent: Element, xml: str) -> Element:
    """Append an element, with those of ``NAMESPACES`` that are not in scope where it comes to stand."""
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    made: Any = parse_xml(f"<x {declared}>{xml}</x>".encode()).documentElement
    document: Any = parent.ownerDocument
    new: Element = document.importNode(made.firstChild, True)
    parent.appendChild(new)
    named = [*_and_below(new), *(attribute for one in _and_below(new) for attribute in one.attributes.values())]
    for prefix in sorted({str(one.prefix) for one in named if one.prefix}):
        if _in_scope(parent, prefix) != NAMESPACES[prefix]:
            new.setAttributeNS(_XMLNS, f"xmlns:{prefix}", NAMESPACES[prefix])
    return new


def _child(parent: Element, name: str) -> Element | None:
    prefix, _, local = name.partition(":")
    wanted = (NAMESPACES[prefix], local)
    return next((one for one in elements(parent) if (one.namespaceURI, one.localName) == wanted), None)


def _and_below(element: Element) -> list[Element]:
    return [element, *element.getElementsByTagName("*")]


def _in_scope(element: object, prefix: str) -> str | None:
    while isinstance(element, Element):
        if element.hasAttribute(f"xmlns:{prefix}"):
            return element.getAttribute(f"xmlns:{prefix}")
        element = element.parentNode
    return None
