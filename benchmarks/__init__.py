"""Benchmarks, one command each; figures are ratios of one run, since absolute ones move with the machine.

- `python -m benchmarks.http_clients`: which HTTP client carries a relay (docs/decisions/0001-http-client.md)
- `python -m benchmarks.bench_relay`: what the gateway adds to a small prompt, next to a bare relay
- `python -m benchmarks.bench_added`: what windowing adds at 8K, 32K and 128K tokens
- `python -m benchmarks.bench_peers_speed`: a small request through the gateway and through its peers
- `python -m benchmarks.bench_streams`: streams' delays, memory and throughput
"""
