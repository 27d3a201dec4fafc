import pytest

from gateway.errors import AuthenticationError
from gateway.teams.keys import Keyring

KEYRING = Keyring.of({"acme": ["sk-acme-1", "sk-acme-2"], "umbrella": ["sk-umbrella"]})


def test_each_key_leads_to_its_team() -> None:
    assert KEYRING.team("Bearer sk-acme-1") == KEYRING.team("bearer  sk-acme-2") == "acme"
    assert KEYRING.team("Bearer sk-umbrella") == "umbrella"


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer ", "Basic sk-acme-1", "sk-acme-1", "Bearer sk-acme-3", "Bearer \xff"]
)
def test_anything_else_is_refused_without_repeating_it(sent: str | None) -> None:
    with pytest.raises(AuthenticationError) as caught:
        KEYRING.team(sent)
    assert "sk-acme" not in str(caught.value)


def test_without_teams_everybody_is_the_default_team() -> None:
    assert Keyring.of({}).team(None) == "default"
    assert not Keyring.of({}).required


def test_the_keyring_holds_no_key_in_clear() -> None:
    assert "sk-acme" not in repr(KEYRING)
