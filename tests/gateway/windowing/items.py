"""Items of a request to the Responses API."""

from typing import Any

REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB" * 40}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
Item = dict[str, Any]


def user(content: Any) -> Item:
    return {"role": "user", "content": content}


def said(text: str, **fields: Any) -> Item:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **fields}


def call(identifier: str, arguments: str = "{}", **fields: Any) -> Item:
    return {"type": "function_call", "call_id": identifier, "name": "read", "arguments": arguments, **fields}


def output(identifier: str, held: Any, **fields: Any) -> Item:
    return {"type": "function_call_output", "call_id": identifier, "output": held, **fields}
