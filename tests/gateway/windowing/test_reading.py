import json
from typing import Any

import pytest

from gateway.windowing.reading import api_of, read
from gateway.windowing.types import Api

CHAT = {"messages": [{"role": "user", "content": "x"}]}
RESPONSES = {"input": "x"}


@pytest.mark.parametrize("api, body", [(Api.CHAT, CHAT), (Api.RESPONSES, RESPONSES)])
def test_each_api_has_its_reader_and_no_other_reads_its_bodies(api: Api, body: Any) -> None:
    for reader in Api:
        found = read(json.dumps(body).encode(), reader)
        assert (found.api if found else None) == (api if reader is api else None)


@pytest.mark.parametrize(
    "body, api",
    [
        (CHAT, Api.CHAT),
        (RESPONSES, Api.RESPONSES),
        ({**RESPONSES, **CHAT}, Api.CHAT),
        ({"prompt": "x"}, Api.CHAT),
        ([RESPONSES], Api.CHAT),
    ],
)
def test_whose_shape_a_body_has(body: Any, api: Api) -> None:
    assert api_of(json.dumps(body).encode()) is api
