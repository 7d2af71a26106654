"""A real nginx with TLS, configured by the block of docs/how-to/behind-nginx.md as it is printed there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from pathlib import Path

from support.certificates import free_port, make_authority

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "behind-nginx.md"
START_PATIENCE_S = 20.0
AROUND = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {block}
}}
"""


def find_nginx() -> str | None:
    """The program; Debian has it where an ordinary user's PATH does not look."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Nginx:
    """In front of a server on loopback; `port` stays the same when it is started again."""

    def __init__(self, folder: Path, server_url: str, **changed: str) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        authority = make_authority(folder)
        self.tls = ssl.create_default_context(cafile=authority.certificate)
        own = {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl", "bascule.example.com": "localhost",
            "/etc/ssl/bascule.pem": str(authority.certificate), "/etc/ssl/bascule.key": str(authority.key),
            "http://127.0.0.1:8765": server_url.replace("ws:", "http:"), **changed,
        }  # fmt: skip
        block = _printed()
        for words, replacement in own.items():
            assert words in block, words
            block = block.replace(words, replacement)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user, block=block))

    async def start(self) -> None:
        """Until it takes connections."""
        program = find_nginx()
        assert program is not None
        self._process = await asyncio.create_subprocess_exec(
            program, "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(START_PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None, (self._folder / "error.log").read_text()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def stop(self) -> None:
        """At once: its connections are cut."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


def _printed() -> str:
    found = re.search(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]
