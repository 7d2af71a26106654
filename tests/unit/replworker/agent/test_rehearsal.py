"""The agent's rehearsal: it goes the whole way, and leaves nothing."""

from replwire.frames import Kind
from replworker.agent import rehearsal
from replworker.agent.core import Agent
from replworker.rehearsals import ROUNDS


def test_every_step_is_taken(monkeypatch) -> None:
    """The stage's frames are those of the protocol: nothing is refused, and each round ends committed."""
    agents: list[Agent] = []

    class Watched(Agent):
        def __init__(self, python: str) -> None:
            super().__init__(python)
            agents.append(self)

    monkeypatch.setattr(rehearsal, "Agent", Watched)
    rehearsal.rehearse()

    (agent,) = agents
    assert not agent.has_ended
    agent.link_frame(agent.link_opened(1), _attach(), 0.0)
    assert any(b'"committed":%d' % ROUNDS in (frame or b"") for _, frame in agent.effects)


def _attach():
    from replwire.frames import Frame

    said = b'{"session": "", "generation": 0, "link_key": ""}'
    return Frame(Kind.ATTACH, 0, 1, (said,))
