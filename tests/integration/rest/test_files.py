"""Files over REST on a real server: bytes up and down, parts, checksums, names; never half a file."""

import asyncio
import base64
import hashlib
import random
from urllib.parse import quote

import pytest
import yarl

from orchestrator.transports.rest import models
from support.raw_http import answer_to
from support.rest import rest_of
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

LARGE = random.Random(7).randbytes(2_500_000)
"""More than one envelope holds."""


def digest(data: bytes) -> str:
    """As RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.mark.parametrize("data", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
async def test_bytes_go_up_and_come_down(embedded: Server, data: bytes) -> None:
    """With their checksum, and the session's code sees them; HEAD is the head of GET."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = f"{await rest.opened()}/files"
        up = await rest.ask("PUT", f"{place}/a/b.bin", data=data, headers={"Content-Digest": digest(data)})
        written = models.FileWritten.model_validate(up.json)
        assert (up.status, written.path, written.size, written.state) == (200, "a/b.bin", len(data), "committed")
        down = await rest.ask("GET", f"{place}/a/b.bin")
        assert (down.status, down.body == data, down.headers["Content-Digest"]) == (200, True, digest(data))
        assert down.headers["Content-Type"] == "application/octet-stream"
        assert down.headers["Content-Disposition"].startswith("attachment;")
        head = await rest.ask("HEAD", f"{place}/a/b.bin")
        for name in ("Content-Length", "ETag", "Accept-Ranges", "Content-Type"):
            assert head.headers[name] == down.headers[name]
        same = await rest.ask("GET", f"{place}/a/b.bin", headers={"If-None-Match": down.headers["ETag"]})
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", down.headers["ETag"])
        size = await rest.eval(place.removesuffix("/files"), "import os; os.path.getsize('a/b.bin'), os.listdir('a')")
        assert size["output"] == f"({len(data)}, ['b.bin'])"
        listed = models.FileList.model_validate((await rest.ask("GET", f"{place}/?folder=a")).json)
        assert [(entry.name, entry.kind, entry.size) for entry in listed.items] == [("b.bin", "file", len(data))]
        assert (await rest.ask("DELETE", f"{place}/a/b.bin")).status == 204
        assert (await rest.ask("GET", f"{place}/a/b.bin")).json["code"] == "not_found"


RANGES = (
    ("bytes=0-0", 0, 1),
    ("bytes=10-19", 10, 20),
    ("bytes=2499990-", 2_499_990, 2_500_000),
    ("bytes=-7", 2_499_993, 2_500_000),
    ("bytes=5-99999999", 5, 2_500_000),
    ("bytes=-99999999", 0, 2_500_000),
    ("bytes=3-2000002", 3, 2_000_003),
)


async def test_a_part_of_a_file(embedded: Server) -> None:
    """206, with the checksum of what is sent; with another ETag in `If-Range` it is the whole file."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = f"{await rest.opened()}/files/large.bin"
        await rest.ask("PUT", place, data=LARGE)
        for range_, start, end in RANGES:
            part = await rest.ask("GET", place, headers={"Range": range_})
            assert (part.status, part.body == LARGE[start:end]) == (206, True), range_
            assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/2500000"
            assert part.headers["Content-Digest"] == digest(LARGE[start:end])
        for etag, status in ((part.headers["ETag"], 206), ('"another"', 200)):
            answer = await rest.ask("GET", place, headers={"Range": "bytes=1-2", "If-Range": etag})
            assert answer.status == status


async def test_ranges_that_are_not_there_or_not_served(embedded: Server) -> None:
    """416 says how long the file is; what is no range of bytes is not looked at."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = f"{await rest.opened()}/files/a"
        await rest.ask("PUT", place, data=b"0123456789")
        for range_ in ("bytes=10-", "bytes=10-20", "bytes=-0"):
            answer = await rest.ask("GET", place, headers={"Range": range_})
            assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")
            assert answer.json["code"] == "range_not_satisfiable"
        for range_ in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=-", ""):
            answer = await rest.ask("GET", place, headers={"Range": range_})
            assert (answer.status, answer.body) == (200, b"0123456789"), range_


@pytest.mark.parametrize("size", [5, 1_500_000])
async def test_bytes_that_are_not_what_was_said_are_not_kept(embedded: Server, size: int) -> None:
    """The old file stays, and nothing is left beside it."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = f"{await rest.opened()}/files"
        await rest.ask("PUT", f"{place}/a", data=b"old")
        for wrong in (digest(b"other"), "sha-256=x", "sha-256=:*:"):
            answer = await rest.ask("PUT", f"{place}/a", data=bytes(size), headers={"Content-Digest": wrong})
            assert (answer.status, answer.json["field"]) == (400, "Content-Digest")
        assert (await rest.ask("GET", f"{place}/a")).body == b"old"
        listed = (await rest.ask("GET", f"{place}/")).json["items"]
        assert [entry["name"] for entry in listed] == ["a"]


async def test_an_upload_that_breaks_off_leaves_nothing(embedded: Server) -> None:
    """The client vanishes in the middle of a large file."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = f"{await rest.opened()}/files"
        await rest.ask("PUT", f"{place}/a", data=b"old")
        port = int(embedded.url.rsplit(":", 1)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"PUT {place}/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 2500000\r\n\r\n"
        writer.write(head.encode() + LARGE[:1_500_000])
        await writer.drain()
        async with asyncio.timeout(20):
            names: list[str] = []
            while ".a.unfinished" not in names:
                names = [item["name"] for item in (await rest.ask("GET", f"{place}/")).json["items"]]
            writer.transport.abort()
            while names != ["a"]:
                names = [item["name"] for item in (await rest.ask("GET", f"{place}/")).json["items"]]
        assert (await rest.ask("GET", f"{place}/a")).body == b"old"


async def test_what_is_too_large_is_refused_by_its_head(embedded: Server) -> None:
    """Nothing of it is read, and a body of unknown length is not begun."""
    port = int(embedded.url.rsplit(":", 1)[1])
    async with rest_of(embedded.url, TOKEN) as rest:
        place = f"{await rest.opened()}/files/a"
        for more, status, word in (
            ("Content-Length: 67108865", 413, b"upload_bytes_max"),
            ("Transfer-Encoding: chunked", 411, b"length_required"),
            ("Content-Length: 5\r\nContent-Encoding: gzip", 415, b"unsupported_encoding"),
        ):
            head = f"PUT {place} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n\r\n"
            said = await answer_to(port, head.encode())
            assert f" {status} ".encode() in said.splitlines()[0] and word in said


NAMES = (
    ("x.html", 'filename="x.html"'),
    ("x.svg", 'filename="x.svg"'),
    ("..\\..\\evil.exe", 'filename="evil.exe"'),
    ("CON", 'filename="_CON"'),
    ("a\r\nSet-Cookie: b", 'filename="a__Set-Cookie_ b"'),
    ('a"b', 'filename="a_b"'),
    ("zürich.csv", "filename*=UTF-8''z%C3%BCrich.csv"),
    ("a\u202eb", 'filename="a_b"'),
    (" . ", 'filename="file"'),
)


async def test_b09_a_downloads_name_is_harmless(embedded: Server) -> None:
    """Always an attachment of octets, whatever a tenant calls it."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        for name, shown in NAMES:
            await rest.eval(place, f"open({name!r}, 'w').write('<script>')")
            answer = await rest.ask("GET", f"{place}/files/{quote(name, safe='')}")
            assert (answer.status, answer.body) == (200, b"<script>"), name
            said = answer.headers["Content-Disposition"]
            assert said.startswith("attachment; ") and shown in said
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "Set-Cookie" not in answer.headers


async def test_paths_that_lead_out_are_refused(embedded: Server) -> None:
    """Quoted or not."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        for path in ("../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "%00", "a/../../b"):
            url = yarl.URL(f"{rest.base}{place}/files/{path}", encoded=True)
            async with rest.http.get(url) as answer:
                assert answer.status in (400, 403, 404)
                assert (await answer.json(content_type=None))["code"] in ("bad_message", "forbidden", "not_found")


async def test_a_file_that_changes_while_it_is_sent_is_broken_off(embedded: Server) -> None:
    """Never a mixture of two: the connection ends before its time, or what came is one of them."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        await rest.ask("PUT", f"{place}/files/a", data=LARGE)
        changes = "open('b', 'wb').write(bytes(2_500_000)); import os; os.replace('b', 'a')"
        whole, ends = {digest(LARGE), digest(bytes(2_500_000))}, set()
        for _ in range(5):
            down, _ = await asyncio.gather(
                rest.ask("GET", f"{place}/files/a"), rest.eval(place, changes), return_exceptions=True
            )
            if isinstance(down, BaseException) or down.status == 409:
                ends.add("broken off")
            else:
                assert digest(down.body) in whole and down.headers["Content-Digest"] == digest(down.body)
                ends.add("whole")
            await rest.ask("PUT", f"{place}/files/a", data=LARGE)
        assert ends
