"""Decoding of compressed replies, piece by piece, for accounting; the only user of the compression libraries."""

import zlib
from collections.abc import Callable

import brotli
import zstandard


class UndecodableError(Exception):
    """The bytes are not what their Content-Encoding says, or it is one that is not known."""


Decode = Callable[[bytes], bytes]


def decoder(content_encoding: str) -> Decode:
    """Return a function which takes a reply's bytes piece by piece and returns them decoded.

    Raises:
        UndecodableError: now for an unknown encoding, or from the function for broken bytes.
    """
    match content_encoding.strip().lower():
        case "" | "identity":
            return lambda data: data
        case "gzip" | "x-gzip":
            return _guarded(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress, zlib.error)
        case "deflate":
            return _deflate()
        case "br":
            return _guarded(brotli.Decompressor().process, brotli.error)
        case "zstd":
            return _guarded(zstandard.ZstdDecompressor().decompressobj().decompress, zstandard.ZstdError)
        case _:
            raise UndecodableError


def _guarded(step: Decode, error: type[Exception]) -> Decode:
    def decode(data: bytes) -> bytes:
        try:
            return step(data)
        except error:
            raise UndecodableError from None

    return decode


def _deflate() -> Decode:
    # RFC 9110 8.4.1.2 means zlib's format by "deflate"; some servers send it raw, so the first byte decides.
    step: Decode | None = None

    def decode(data: bytes) -> bytes:
        nonlocal step
        if step is None and data:
            raw = data[0] & 0x0F != 8
            step = _guarded(zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS).decompress, zlib.error)
        return step(data) if step else b""

    return decode
