from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.shared_counts import SharedCount, SharedCounts


class Desk:
    """One who counts, and is told whether others can read it."""

    def __init__(self, folder: Path) -> None:
        self.told: list[bool] = []
        self.folder = folder
        self.counts = SharedCounts(folder, self.told.append)

    def count(self, name: str, label: str) -> SharedCount:
        return self.counts("counter", name, f"{name}_total", ("label",), (label,), "What it is")

    def read(self) -> dict[tuple[str, str], float]:
        """What others read."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self.folder))  # type: ignore[no-untyped-call]
        samples = [sample for metric in registry.collect() for sample in metric.samples]
        return {(sample.name, sample.labels["label"]): sample.value for sample in samples}


def test_others_read_what_is_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    labels = [f"{'ä' * n}b" for n in range(1000)]  # of all lengths, and more than the first file has room for
    counts = [desk.count("c", label) for label in labels]
    for number, count in enumerate(counts):
        count.inc(number)
        count.inc(0.5)
    assert desk.read() == {("c_total", label): number + 0.5 for number, label in enumerate(labels)}
    counts[3].set(7)
    assert (counts[3].get(), desk.read()["c_total", labels[3]]) == (7, 7)
    assert desk.told == []


def test_without_a_folder_all_is_counted_and_read_when_there_is_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "folder")
    desk.count("c", "early").inc(2)
    assert desk.told == [False]
    desk.folder.mkdir()
    desk.counts.mend(at_once=True)
    assert desk.told == [False, True]
    desk.count("c", "late").inc(3)
    assert desk.read() == {("c_total", "early"): 2, ("c_total", "late"): 3}


def test_a_file_that_was_cleaned_up_is_written_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    count = desk.count("c", "x")
    count.inc(2)
    for file in tmp_path.iterdir():
        file.unlink()
    count.inc(3)
    assert desk.read() == {}
    desk.counts.mend()  # not yet: looking costs time
    assert desk.read() == {}
    desk.counts.mend(at_once=True)
    assert desk.read() == {("c_total", "x"): 5}


def test_what_finds_no_room_leaves_what_was_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    count = desk.count("c", "x")
    count.inc(1)
    (tmp_path / next(tmp_path.iterdir()).with_suffix(".new").name).mkdir()  # so that no new file can be written
    more = [desk.count("c", f"{number:0500}") for number in range(200)]
    count.inc(1)
    more[-1].inc(4)
    assert desk.told == [False]
    assert desk.read() == {("c_total", "x"): 1} | {
        ("c_total", f"{number:0500}"): 0 for number in range(len(desk.read()) - 1)
    }
    next(tmp_path.glob("*.new")).rmdir()
    desk.counts.mend(at_once=True)
    assert desk.told == [False, True]
    assert (desk.read()["c_total", "x"], desk.read()["c_total", f"{199:0500}"]) == (2, 4)
