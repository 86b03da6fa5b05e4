"""Say in a picture's XMP that it was colorized, and by what."""

from dataclasses import replace
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

from colorgan.media.metadata import Metadata

# XMP's own record of what was done to a picture (`xmpMM:History`); date, camera and author of the photo stay untouched.
_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)
_END, _HISTORY = b"</rdf:RDF>", b"<xmpMM:History>"
# IPTC's word for a picture that a trained network has changed
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def mark_colorized(metadata: Metadata, software: str, checkpoint: str) -> Metadata:
    """Add an entry to the XMP history: action `colorized`, by which software and checkpoint, when.

    Args:
        metadata: of the photo.
        software: name and version.
        checkpoint: name and hash of the network file.
    """
    entry = (
        '<rdf:li xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" stEvt:action="colorized" '
        f"stEvt:softwareAgent={quoteattr(software)} stEvt:parameters={quoteattr(checkpoint)} "
        f'stEvt:when="{datetime.now(UTC).isoformat(timespec="seconds")}"/>'
    ).encode()
    packet = metadata.xmp if _END in metadata.xmp else _PACKET
    history = packet.find(_HISTORY)
    end_of_list = packet.find(b"</rdf:Seq>", history) if history >= 0 else -1
    if end_of_list >= 0:
        marked = packet[:end_of_list] + entry + packet[end_of_list:]
    else:
        source = b"" if b"DigitalSourceType" in packet else f' Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}"'.encode()
        place = packet.rfind(_END)
        description = (
            b'<rdf:Description rdf:about="" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" '
            b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"' + source + b">\n<xmpMM:History><rdf:Seq>"
            + entry + b"</rdf:Seq></xmpMM:History>\n</rdf:Description>\n"
        )  # fmt: skip
        marked = packet[:place] + description + packet[place:]
    return replace(metadata, xmp=marked)
