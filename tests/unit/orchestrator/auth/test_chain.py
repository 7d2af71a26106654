"""Several authenticators in turn: the first that knows the token wins, failures look alike."""

import pytest

from orchestrator.auth.chain import TOKEN_CHARS_MAX, Chain
from orchestrator.auth.dev_token import DEVELOPER, DevToken
from replwire.errors import WireError


def test_any_of_them_may_know_the_token() -> None:
    """The second authenticator's token works too."""
    assert Chain([DevToken("one"), DevToken("two")]).authenticate("two") is DEVELOPER


@pytest.mark.parametrize("token", ["", "three", "x" * (TOKEN_CHARS_MAX + 1), "\udfff"])
def test_a_token_that_nobody_knows_is_refused(token: str) -> None:
    """In the same words, whatever is wrong with it."""
    with pytest.raises(WireError, match=r"^no valid token$") as caught:
        Chain([DevToken("one")]).authenticate(token)
    assert caught.value.code == "unauthenticated"


def test_a_long_token_does_not_count_by_its_beginning() -> None:
    """What is beyond the limit is not cut off and forgotten."""
    token = "x" * TOKEN_CHARS_MAX
    chain = Chain([DevToken(token)])
    assert chain.authenticate(token) is DEVELOPER
    with pytest.raises(WireError):
        chain.authenticate(token + "y")


def test_everyone_is_asked_whoever_knows() -> None:
    """The time does not tell which list a token is in."""
    asked = []

    class Counting(DevToken):
        def authenticate(self, token: str):
            asked.append(token)
            return super().authenticate(token)

    Chain([Counting("one"), Counting("two")]).authenticate("one")
    assert asked == ["one", "one"]


def test_an_empty_chain_lets_nobody_in() -> None:
    """No authenticator, no entry."""
    with pytest.raises(WireError):
        Chain([]).authenticate("anything")


@pytest.mark.parametrize("token", ["", " ", "two words", "a\nb", "é", "x" * (TOKEN_CHARS_MAX + 1)])
def test_a_dev_token_that_nobody_could_show_is_a_mistake(token: str) -> None:
    """It would be no secret, or no header could carry it as it is."""
    with pytest.raises(ValueError, match="without spaces"):
        DevToken(token)
