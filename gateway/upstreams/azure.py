"""Azure OpenAI's addresses: a deployment in the path, a version in the query (learn.microsoft.com, REST reference)."""

from urllib.parse import quote

from gateway.destinations import AzureSettings

# What a deployment serves; everything else is asked of the resource.
_OF_A_DEPLOYMENT = ("/chat/", "/completions", "/embeddings", "/images/", "/audio/")


def azure_path(path: str, model: str | None, settings: AzureSettings) -> str:
    """Return the path, with its query, under which Azure serves what OpenAI serves at `path` behind /v1."""
    where, _, query = path.partition("?")
    version = f"api-version={quote(settings.api_version)}"
    tail = f"?{query}&{version}" if query else f"?{version}"
    if model is not None and where.startswith(_OF_A_DEPLOYMENT):
        deployment = settings.deployments.get(model, model)
        return f"/openai/deployments/{quote(deployment, safe='')}{where}{tail}"
    return f"/openai{where}{tail}"
