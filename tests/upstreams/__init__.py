"""A real HTTP upstream that speaks the OpenAI protocol, records what arrives byte for byte, and misbehaves on demand.

In a test: `with Upstream() as upstream: ...` (a thread with its own event loop); as a process:
`python -m tests.upstreams --port 9900`. What a request gets is chosen by its header `x-behaviour`, or by its model when
that is named `behave:NAME`, out of `tests.upstreams.behaviours.BEHAVIOURS`. Without either it answers as OpenAI does.
"""

from tests.upstreams.bills import Bill
from tests.upstreams.server import Upstream
from tests.upstreams.wire import Recorded

__all__ = ["Bill", "Recorded", "Upstream"]
