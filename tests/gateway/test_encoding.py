import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest
import zstandard

from gateway.encoding import UndecodableError, decoder

TEXT = b'{"usage": {"prompt_tokens": 1}}' * 500


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:9]) + gzip.compress(b"") + gzip.compress(TEXT[9:]) + b"\0" * 9),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("deflate", zlib.compress(TEXT) + b"\0"),
        ("br", brotli.compress(TEXT)),
        ("zstd", zstandard.compress(TEXT)),
        ("zstd", zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:])),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_pieces_of_any_size_are_decoded(name: str, packed: bytes, size: int) -> None:
    decode = decoder(name)
    assert b"".join(decode(packed[i : i + size]) for i in range(0, len(packed), size)) == TEXT


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_broken_bytes_are_said_to_be_broken(name: str) -> None:
    with pytest.raises(UndecodableError):
        decoder(name)(b"\xf8\xf8 this is not compressed at all" * 100)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("br", partial(brotli.compress, quality=5)),
        ("zstd", zstandard.compress),
    ],
)
def test_a_bomb_is_not_unfolded(name: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(b"\0" * (1 << 27))
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableError):
            decoder(name)(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()
    large = b"0123456789abcdef" * (1 << 18)
    assert decoder(name)(pack(large)) == large


def test_a_bomb_in_many_members_is_not_unfolded() -> None:
    with pytest.raises(UndecodableError):
        decoder("gzip")(gzip.compress(b"\0" * (1 << 22)) * 5)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(UndecodableError):
        decoder("gzip, br")
