"""context-gateway: an OpenAI-compatible proxy that forwards only the context a question needs.

The map. A request goes from route to pipeline to wire:

    api/openai.py     the API's routes; api/ops.py: health, readiness, metrics
    exchange.py       the client's side of one request: body, reply, whether the client is still there
    pipeline.py       the stages in order, on one page:
      teams/            1  keys.py: authenticate, key -> team
      chat.py           2  read the head of a chat body; the one permitted edit (asking for a stream's usage)
      windowing/        3  decide.py: windowed at all? pool.py: to a process off the event loop, which runs window.py
      upstream.py       4  forward over HTTP (the only aiohttp user); headers.py says which headers pass
      delivery.py       5  relay the reply; sse.py: events, encoding.py: compressed replies
      trace.py          6  what is known so far becomes one frozen record.py, given to logs.py and metrics.py
    usage.py pricing.py savings.py prefixes.py    tokens and money: reported, priced, saved net of lost cache discounts
    errors.py         the gateway's own errors, in OpenAI's shape

    app.py            the composition root; server.py: uvicorn; cli.py: the command line; trimming.py: `trim`
    config.py         settings; yaml_source.py: YAML with its lines

Windowing runs in child processes (windowing/worker.py) and is built on `retrieval`, which knows nothing of the web:

    windowing/window.py    body -> conversation -> question, protected parts, documents -> ranking -> spliced body

What goes wrong in windowing never reaches the caller: the original is forwarded and the record says why.
"""
