"""What the programs have in common: a job comes in as a JSON line, what the SDK made of it goes out as one."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]
WEATHER = '{"degrees": 21}'


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to ask an SDK for."""

    base_url: str
    api: str  # "chat" or "responses"
    task: str
    model: str
    prompt: str
    image: str  # a data URL
    headers: dict[str, str]

    @property
    def of_responses(self) -> bool:
        """Whether the Responses API is asked."""
        return self.api == "responses"


def serve(version: str, tasks: Mapping[str, Callable[[Job], Answer]]) -> None:
    """Answer the jobs on standard input; what a library prints goes to standard error."""
    out, sys.stdout = sys.stdout, sys.stderr
    out.write(json.dumps({"version": version}) + "\n")
    out.flush()
    for line in sys.stdin:
        job = Job(**json.loads(line))
        out.write(json.dumps(_answer(tasks[job.task], job), default=str) + "\n")
        out.flush()


def _answer(task: Callable[[Job], Answer], job: Job) -> Answer:
    try:
        return task(job)
    except Exception as error:  # noqa: BLE001 - what the SDK raises is the answer
        return {"error": failure(error)}


def failure(error: BaseException) -> Answer:
    """Return what an application sees of an error."""
    response = getattr(error, "response", None)
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "message": str(error),
        "retry_after": response.headers.get("retry-after") if response is not None else None,
    }
