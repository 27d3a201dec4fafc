"""The SDKs, each once for every API that it speaks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sdk:
    """One way to reach the API."""

    name: str
    api: str  # "chat" or "responses"
    lock: str  # the environment: a file in locks/, "node", or "" for our own
    script: str  # "" where there is nothing but the program in the document
    snippet: str = ""  # the heading of its program in docs/sdks.md

    @property
    def label(self) -> str:
        """What the table calls it."""
        return f"{self.name}, {self.api}"


SDKS = (
    Sdk("openai (Python)", "chat", "", "openai_sdk", "Python"),
    Sdk("openai (Python)", "responses", "", "openai_sdk"),
    Sdk("openai (Node)", "chat", "node", "openai_node", "Node"),
    Sdk("openai (Node)", "responses", "node", "openai_node"),
    Sdk("langchain-openai", "chat", "langchain", "langchain_sdk", "LangChain"),
    Sdk("langchain-openai", "responses", "langchain", "langchain_sdk"),
    Sdk("LlamaIndex", "chat", "llamaindex", "llamaindex_sdk", "LlamaIndex"),
    Sdk("LlamaIndex", "responses", "llamaindex", "llamaindex_sdk"),
    Sdk("Vercel AI SDK", "chat", "node", "vercel"),
    Sdk("Vercel AI SDK", "responses", "node", "vercel", "Vercel AI SDK"),
    Sdk("OpenAI Agents SDK", "chat", "agents", "agents_sdk"),
    Sdk("OpenAI Agents SDK", "responses", "agents", "agents_sdk", "OpenAI Agents SDK"),
    Sdk("curl", "chat", "", "", "curl"),
)
