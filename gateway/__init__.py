"""context-gateway: an OpenAI-compatible proxy that forwards only the context a question needs.

The map. A request goes from route to pipeline to wire:

    api/openai.py     the API's routes; routes.py: what a path is
    exchange.py       the client's side of one request: body, reply, whether the client is still there
    pipeline.py       the stages in order, on one page:
      spending.py       1  identify: key -> team (teams/); may it use this route, this model?
      request.py        2  read the head of a body; the one permitted edit (asking for a stream's usage)
      windowing/        3  decide.py: windowed at all? pool.py: to a process off the event loop, which runs window.py
      spending.py       4  admit: the worst case reserved on all limits (budgets/), or a refusal
      headers.py        5  forward, retry, fall back (upstreams/, over http1/); which headers pass
      delivery.py       6  relay the reply; sse.py, answers.py: events, encoding.py: compressed replies
      endings.py        7  ended requests wait for a good moment, together; trace.py: what is known becomes one frozen
                           record.py; recording.py: to logs.py (written by lines.py, a thread), metrics.py (by
                           tallies.py), traffic.py (how upstreams do) and receipts.py (the latest, in the store)
      journey.py           ids and times for traces, where these are exported: tracing.py (a thread), otlp.py (spans)
      spending.py          and settled: charged, and written to the ledger, off the client's path
    usage.py pricing.py savings.py prefixes.py output_limits.py    tokens and money: reported, priced, saved
    errors.py         the gateway's own errors, in OpenAI's shape

    stores.py         which store keeps the shared state (store/): SQLite or Redis
    app.py            the composition root; serving.py: what one reading of the configuration makes
    accounts.py       what belongs to callers' means; lifecycle.py: what signals do
    api/ops.py        health, readiness, metrics; reporting/: reports
    api/admin.py      the operators' API: teams and keys; api/operators.py: who gets in; api/apart.py: elsewhere
                      api/usage.py api/requests.py api/budgets.py api/forecast.py: what the store says
                      api/upstreams.py api/session.py api/reloading.py: what this process says; console/: for browsers
    server.py         uvicorn, and the supervisor of several workers
                      metrics_folder.py shared_counts.py: where these count
    cli.py            the command line: admin_cli.py: teams and keys, report_cli.py, trimming.py: `trim`; terminal.py
    diagnosis/        `doctor` and `check`: what is wrong, and is an upstream the same through the gateway?
    effective/        `measure`: how far a model's context is effective, directly and through the gateway
    config.py         settings; destinations.py: where requests and traces are sent; policies.py: what is decided for a
                      team; yaml_source.py: YAML with its lines; addresses.py: URLs, which may hold passwords, and files

Windowing runs in child processes (windowing/worker.py) and is built on `retrieval`, which knows nothing of the web:

    windowing/window.py    body -> conversation -> question, protected parts, documents -> ranking -> spliced body

What goes wrong in windowing never reaches the caller: the original is forwarded and the record says why.
"""
