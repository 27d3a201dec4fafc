import pytest
from typer.testing import CliRunner, Result

from gateway.cli import main
from tests.upstreams import Upstream

RUN = CliRunner()


def measured(url: str, *more: str, model: str = "gpt-4o-mini") -> Result:
    return RUN.invoke(main, ["measure", "--url", url, "--model", model, *more])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lengths", "many"), "--lengths: expected numbers of tokens"),
        (("--lengths", "10,2000"), "--lengths: from 100 to 2,000,000 tokens"),
        (("--facts", "/no/such/file"), "--facts: /no/such/file: No such file"),
        (("--among", "/no/such/file"), "--among: /no/such/file: No such file"),
        (("--key-from", "NO_SUCH_KEY"), "--key-from: the environment has no NO_SUCH_KEY"),
        (("--url", "nonsense"), "--url: expected a URL"),
        (("--model", "gpt-4o", "--lengths", "2000000"), "it can cost $"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_before_anything_is_sent(
    upstream: Upstream, options: tuple[str, ...], said: str
) -> None:
    result = measured(upstream.url, *options)
    assert result.exit_code == 2
    assert result.output.startswith(said) or said in result.stderr.splitlines()[-1]
    assert not upstream.requests


def test_whoever_is_no_gateway_is_found_out_at_once(upstream: Upstream) -> None:
    result = measured(upstream.url, "--questions", "1", "--at-once", "1", model="gpt-4o-mini")
    assert result.exit_code == 2
    assert "this is no context-gateway" in result.stderr
    assert len(upstream.requests) == 1
