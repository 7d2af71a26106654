"""All findings together, in words and as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from orchestrator.app import version
from orchestrator.doctor import machine, store
from orchestrator.doctor.bubblewrap import bubblewrap
from orchestrator.doctor.docker import docker
from orchestrator.doctor.findings import Finding
from orchestrator.settings import Settings

__all__ = ["Finding", "Report", "examine"]


@dataclass(frozen=True, slots=True)
class Report:
    """What `doctor` found."""

    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether at least one runtime and one store can be used."""
        return bool(self._usable("runtime ") and self._usable("store "))

    def _usable(self, kind: str) -> list[str]:
        return [
            found.name.removeprefix(kind) for found in self.findings if found.name.startswith(kind) and found.usable
        ]

    def as_text(self) -> str:
        """For people: one line a finding, with what helps below it."""
        lines = [f"bascule {version()}"]
        for found in self.findings:
            lines.append(f"[{'ok' if found.usable else '--'}] {found.name}: {found.words}")
            if found.fix:
                lines.append(f"     {found.fix}")
        return "\n".join((*lines, *self._advice()))

    def _advice(self) -> list[str]:
        runtimes, stores = self._usable("runtime "), self._usable("store ")
        if not self.usable:
            lacking = "runtime" if not runtimes else "store"
            return [f"This machine cannot serve yet: it lacks a {lacking}. What helps stands above."]
        commands = []
        if "bubblewrap" in runtimes and "embedded" in stores:
            commands.append("  bascule serve --embedded --dev-token TOKEN")
        where = "redis://HOST:6379"
        commands += [f"  bascule serve --runtime {name} --redis-url {where} --keys-file FILE" for name in runtimes]
        return ["This machine can serve:", *commands]

    def as_json(self) -> str:
        """For programs."""
        found = [dataclasses.asdict(finding) for finding in self.findings]
        return json.dumps({"version": version(), "usable": self.usable, "findings": found}, indent=1, default=str)


def examine(settings: Settings) -> Report:
    """Look at everything, as a server with these settings would use it; takes a second or two."""
    url, password = settings.redis.url, settings.redis.password
    secret = password.get_secret_value() if password else None
    stores = [store.redis_at(url.get_secret_value(), secret)] if url is not None else []
    runtimes = (
        bubblewrap(settings.bubblewrap.python),
        docker(*settings.worker_images(), host=settings.docker.host, engine_runtime=settings.docker.runtime),
    )
    machine_itself = (machine.python(), machine.user_namespaces(), machine.cgroups())
    return Report((*machine_itself, *runtimes, *stores, store.embedded()))
