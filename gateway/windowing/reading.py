"""A body as messages, by the API whose shape it has."""

from gateway.windowing import conversation, responses
from gateway.windowing.conversation import Conversation
from gateway.windowing.spans import document
from gateway.windowing.types import Api


def read(body: bytes, api: Api) -> Conversation | None:
    """Return the request's conversation, or None where it is not one that we understand; raises as both readers do."""
    return responses.read(body) if api is Api.RESPONSES else conversation.read(body)


def api_of(body: bytes) -> Api:
    """Return whose shape a body has, where nothing else tells; raises as the readers do."""
    root = document(body.decode("utf-8", "surrogatepass"), {})
    return Api.RESPONSES if "input" in root.fields and "messages" not in root.fields else Api.CHAT
