import tempfile
from pathlib import Path

import pytest

from gateway.metrics_folder import MetricsFolder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_made_for_its_owner_alone_and_removed_with_all_in_it(tmp_path: Path) -> None:
    folder = MetricsFolder()
    assert folder.path.parent == tmp_path
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "counter_1.db").touch()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_again_and_holds(tmp_path: Path) -> None:
    folder = MetricsFolder()
    folder.path.rmdir()
    folder.mend()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    MetricsFolder().remove()
    assert list(tmp_path.iterdir()) == [folder.path]  # in use, and not swept
    folder.remove()


def test_what_the_dead_have_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    left, other, link = (
        tmp_path / name for name in ("context-gateway-metrics-x", "other", "context-gateway-metrics-y")
    )
    left.mkdir()
    other.mkdir()
    (left / "counter_1.db").touch()
    (other / "precious").touch()
    link.symlink_to(other)
    living = MetricsFolder()
    MetricsFolder().remove()
    assert set(tmp_path.iterdir()) == {other, link, living.path}
    assert (other / "precious").exists()
    living.remove()
