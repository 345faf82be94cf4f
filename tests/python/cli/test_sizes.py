"""Numbers of bytes on the command line: read and shown as by the native tools, whose tests have the same cases."""

from __future__ import annotations

import pytest
from wasmgrad import InvalidArgument
from wasmgrad._cli.sizes import byte_size_text, read_byte_size, read_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("1023", 1023),
        ("1KiB", 1024),
        ("512MiB", 1 << 29),
        ("3GiB", 3 << 30),
        ("1TiB", 1 << 40),
        ("18446744073709551615", (1 << 64) - 1),
        ("16777215TiB", 16777215 << 40),
    ],
)
def test_sizes_are_read_and_shown(text: str, size: int) -> None:
    assert read_byte_size("--memory", text) == size
    assert byte_size_text(size) == text


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "-1", "+1", " 1", "1 MiB", "1MB", "1mib", "0x10", "1.5GiB", "1\n", "16777216TiB", "\u0663"],
)
def test_what_is_no_size_is_refused_by_the_option(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^--tensor-bytes: .* is no number of bytes"):
        read_byte_size("--tensor-bytes", text)


@pytest.mark.parametrize(("text", "pages"), [("64KiB", 1), ("65536", 1), ("512MiB", 8192), ("4GiB", 65536)])
def test_memories_are_whole_pages(text: str, pages: int) -> None:
    assert read_memory("--memory", text) == pages


@pytest.mark.parametrize("text", ["0", "1", "65535", "65KiB", "4294967297", "5GiB"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="multiple of 64KiB up to 4GiB"):
        read_memory("--memory", text)
