"""XML and HTML as trees, by lxml. Nothing beside the text is opened: no address, no entity."""

from __future__ import annotations

from typing import Any

from producer.input.documents.text import unreadable


def walk_html(data: bytes) -> Any:
    """The beginnings and ends of the elements of a web page in UTF-8, however broken it is."""
    from lxml import etree

    return _walk(data, etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True))


def walk_xml(data: bytes) -> Any:
    """Those of XML. Raises Unreadable."""
    from lxml import etree

    return _walk(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def version() -> str:
    """Of lxml."""
    from lxml import __version__

    return str(__version__)


def _walk(data: bytes, parser: Any) -> Any:
    from lxml import etree

    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        raise unreadable("its markup is damaged") from error
    return etree.iterwalk(root, events=("start", "end")) if root is not None else ()
