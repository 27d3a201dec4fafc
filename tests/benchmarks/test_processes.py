import pytest

from benchmarks.processes import ServerDiedError, free_port, running, status_of


def test_a_server_runs_and_is_stopped() -> None:
    port = free_port()
    with running(["-m", "http.server", "--bind", "127.0.0.1", str(port)], port) as server:
        assert status_of(server.url + "/pyproject.toml") == 200
        assert status_of(server.url + "/not-there") == 404
    assert server.process.poll() is not None
    assert status_of(server.url) == 0


def test_a_server_that_dies_says_why() -> None:
    with (
        pytest.raises(ServerDiedError, match="the disk is on fire"),
        running(["-c", "raise SystemExit('the disk is on fire')"], 1),
    ):
        pass


def test_a_server_that_never_answers_is_given_up() -> None:
    with pytest.raises(ServerDiedError), running(["-c", "import time; time.sleep(60)"], free_port(), timeout_s=0.3):
        pass
