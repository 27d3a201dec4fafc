import pytest

from gateway.destinations import AzureSettings
from gateway.upstreams.azure import azure_path

SETTINGS = AzureSettings(api_version="2024-10-21", deployments={"gpt-4o": "team a/4o"})


@pytest.mark.parametrize(
    "path, model, expected",
    [
        ("/chat/completions", "gpt-4o", "/openai/deployments/team%20a%2F4o/chat/completions?api-version=2024-10-21"),
        ("/embeddings?a=b", "ada", "/openai/deployments/ada/embeddings?a=b&api-version=2024-10-21"),
        ("/models", None, "/openai/models?api-version=2024-10-21"),
        ("/files/f1", "gpt-4o", "/openai/files/f1?api-version=2024-10-21"),
        ("/chat/completions", None, "/openai/chat/completions?api-version=2024-10-21"),
    ],
)
def test_a_deployment_serves_what_names_a_model(path: str, model: str | None, expected: str) -> None:
    assert azure_path(path, model, SETTINGS) == expected
