"""XML of strangers, read and written so that all that is not touched stays."""

import re
from typing import NoReturn
from xml.dom import minidom
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

_DEEPEST = 100
"""Levels of elements; XMP needs some twenty."""
_LARGEST = 2**26
"""Bytes of a document that is read into memory at most."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class XmlError(ValueError):
    """XML that is damaged, or might be there to do harm."""


def parse_xml(document: bytes) -> minidom.Document:
    """Parse with the standard library, after a first reading that refuses what is not needed: a DOCTYPE, and depth.

    Entities, which expand and lead to other files, can be declared in a DOCTYPE only. Raises XmlError.
    """
    if len(document) > _LARGEST:
        raise XmlError(f"it has {len(document)} bytes, more than the {_LARGEST} that are read")
    depth = 0

    def refuse_doctype(*_: object) -> NoReturn:
        raise XmlError("it has a DOCTYPE, which XMP does not need and which may do harm")

    def deeper(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise XmlError(f"its elements lie within each other more than {_DEEPEST} deep")

    def higher(*_: object) -> None:
        nonlocal depth
        depth -= 1

    reader = expat.ParserCreate()
    reader.StartDoctypeDeclHandler, reader.StartElementHandler, reader.EndElementHandler = (
        refuse_doctype,
        deeper,
        higher,
    )
    try:
        reader.Parse(document, True)
        return minidom.parseString(document)  # noqa: S318 - without a DOCTYPE there is nothing to expand
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise error if isinstance(error, XmlError) else XmlError(f"it is damaged: {error}") from error


def xml_bytes(document: minidom.Document) -> bytes:
    """Write a document as UTF-8; unlike minidom's own, before Python 3.13, no line end in an attribute is lost."""
    start = ['<?xml version="1.0" encoding="UTF-8"?>'] if document.version else []
    return "\n".join([*start, *map(_written, document.childNodes), ""]).encode()


def _written(node: minidom.Node) -> str:
    if isinstance(node, minidom.Element):
        attributes = "".join(f" {name}={quoteattr(value)}" for name, value in node.attributes.items())
        inside = "".join(map(_written, node.childNodes))
        return f"<{node.tagName}{attributes}>{inside}</{node.tagName}>" if inside else f"<{node.tagName}{attributes}/>"
    if node.nodeType == minidom.Node.TEXT_NODE:
        return escape(str(node.nodeValue)).replace("\r", "&#13;")
    return str(node.toxml())


def as_text(value: object) -> str:
    """``value`` as the text of an element; characters that XML cannot hold become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", str(value)))
