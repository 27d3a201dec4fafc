"""Decoding of compressed replies, piece by piece, for accounting; the only user of the compression libraries."""

import zlib
from collections.abc import Callable

import brotli
import zstandard


class UndecodableError(Exception):
    """The bytes are not what their Content-Encoding says, become far too many, or it is one that is not known."""


Decode = Callable[[bytes], bytes]
# A piece that becomes more is no honest reply's: a few hundred bytes could fill the memory.
_MOST = 1 << 24
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_BEGINS = 0x1F
_SLICE = 256  # bytes, which zstd can at most turn into half of that


def decoder(content_encoding: str) -> Decode:
    """Return a function which takes a reply's bytes piece by piece and returns them decoded.

    Raises:
        UndecodableError: now for an unknown encoding, or from the function for broken bytes.
    """
    match content_encoding.strip().lower():
        case "" | "identity":
            return lambda data: data
        case "gzip" | "x-gzip":
            return _inflating(_GZIP)
        case "deflate":
            return _deflate()
        case "br":
            return _guarded(_brotli(), brotli.error)
        case "zstd":
            return _guarded(_zstd(), zstandard.ZstdError)
        case _:
            raise UndecodableError


def _guarded(step: Decode, error: type[Exception]) -> Decode:
    def decode(data: bytes) -> bytes:
        try:
            return step(data)
        except error:
            raise UndecodableError from None

    return decode


def _inflating(window_bits: int) -> Decode:
    inflate = zlib.decompressobj(window_bits)

    def step(data: bytes) -> bytes:
        nonlocal inflate
        decoded = bytearray()
        while data:
            if inflate.eof:
                if window_bits != _GZIP or data[0] != _GZIP_BEGINS:
                    break  # Padding, which readers pass over.
                inflate = zlib.decompressobj(_GZIP)  # gzip's members follow each other (RFC 1952 2.2)
            decoded += inflate.decompress(data, _MOST + 1 - len(decoded))
            if len(decoded) > _MOST:
                raise UndecodableError
            data = inflate.unused_data
        return bytes(decoded)

    return _guarded(step, zlib.error)


def _brotli() -> Decode:
    decompressor = brotli.Decompressor()

    def step(data: bytes) -> bytes:
        decoded: bytes = decompressor.process(data, output_buffer_limit=_MOST)
        if not decompressor.can_accept_more_data():
            raise UndecodableError
        return decoded

    return step


def _zstd() -> Decode:
    decompress = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress

    def step(data: bytes) -> bytes:
        decoded, size = list[bytes](), 0
        for start in range(0, len(data), _SLICE):
            decoded.append(decompress(data[start : start + _SLICE]))
            size += len(decoded[-1])
            if size > _MOST:
                raise UndecodableError
        return b"".join(decoded)

    return step


def _deflate() -> Decode:
    # RFC 9110 8.4.1.2 means zlib's format by "deflate"; some servers send it raw, so the first byte decides.
    step: Decode | None = None

    def decode(data: bytes) -> bytes:
        nonlocal step
        if step is None and data:
            raw = data[0] & 0x0F != 8
            step = _inflating(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
        return step(data) if step else b""

    return decode
