"""Rich text as Outlook packs it (MS-OXRTFCP)."""

import struct

_HEADER = struct.Struct("<III4x")
_COMPRESSED, _PLAIN = 0x75465A4C, 0x414C454D
_WINDOW = 4096
_KNOWN = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript "
    b"\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    b"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_MOST = 50_000_000


def decompress(data: bytes) -> bytes:
    """Raises `ValueError` for what is not packed like this."""
    _, size, kind = _HEADER.unpack_from(data)
    packed = data[_HEADER.size :]
    if kind == _PLAIN:
        return packed[:size]
    if kind != _COMPRESSED:
        raise ValueError("neither compressed nor plain rich text")
    return _unpack(packed, min(size, _MOST))


def _unpack(packed: bytes, size: int) -> bytes:
    window = bytearray(_KNOWN.ljust(_WINDOW, b" "))
    write = len(_KNOWN)
    found = bytearray()
    place = 0
    while place < len(packed) and len(found) < size:
        control = packed[place]
        place += 1
        for bit in range(8):
            if control >> bit & 1:
                if place + 1 >= len(packed):
                    return bytes(found[:size])
                reference = packed[place] << 8 | packed[place + 1]
                place += 2
                offset = reference >> 4
                if offset == write:  # the end
                    return bytes(found[:size])
                piece = [(offset + step) % _WINDOW for step in range((reference & 15) + 2)]
            else:
                if place >= len(packed):
                    return bytes(found[:size])
                window[write] = packed[place]
                piece = [write]
                place += 1
            for source in piece:
                byte = window[source]
                window[write] = byte
                write = (write + 1) % _WINDOW
                found.append(byte)
    return bytes(found[:size])
