# context-gateway with its embedding model and vocabularies inside: nothing is fetched at the start.
#   docker build -t context-gateway .
#   docker run --read-only --tmpfs /tmp -v gateway:/data -p 127.0.0.1:8080:8080 context-gateway

FROM python:3.11-slim AS build
# torch's CPU build; the one on PyPI brings CUDA libraries of several GB.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml requirements.lock ./
# What takes long first: it only changes with the lock file.
RUN python3 -m venv /opt/venv \
    && grep '^torch==' requirements.lock > torch.txt \
    && /opt/venv/bin/pip install --no-deps --index-url "$TORCH_INDEX" --requirement torch.txt
# The lock file has what development needs too, so it says which versions and pyproject.toml says of what.
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > runtime.txt \
    && /opt/venv/bin/pip install --constraint requirements.lock --requirement runtime.txt
COPY README.md LICENSE ./
COPY gateway gateway
COPY retrieval retrieval
# Packages' own tests, C++ headers and pip are no use to a server.
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation . \
    && /opt/venv/bin/pip uninstall --yes pip \
    && find /opt/venv/lib -type d \( -name tests -o -path '*/torch/test' -o -path '*/torch/include' \) -prune -exec rm -r {} + \
    && find /opt/venv/lib -path '*/torch/bin/*' ! -name torch_shm_manager -type f -delete

FROM python:3.11-slim
# Whatever is written goes to /data (state) and /tmp; the rest of the file system may be read-only.
RUN install -d -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
COPY deploy/image/gateway.yaml /etc/context-gateway/gateway.yaml
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp USER=gateway XDG_STATE_HOME=/data \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1
# The build fails where the model or a vocabulary is missing, not the start.
RUN ["python", "-c", "from retrieval import embedding, tokens; embedding.load_embedder(); tokens.counter_for('gpt-4o').count('x'); tokens.counter_for('gpt-4').count('x')"]
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
CMD ["context-gateway", "serve", "--config", "/etc/context-gateway/gateway.yaml", "--host", "0.0.0.0"]
