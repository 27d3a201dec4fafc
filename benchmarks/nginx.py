"""nginx before gateways; towards them it is set as in deploy/nginx/nginx.conf, which needs Docker's name server."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import Server, free_port, stop, wait_until

_CONFIG = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream gateways {{ {servers} keepalive 64; keepalive_timeout 2s; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
  }} }}
}}
"""


def installed() -> bool:
    """Whether nginx is here."""
    return shutil.which("nginx") is not None


@contextlib.contextmanager
def nginx(folder: Path, ports: Sequence[int]) -> Iterator[int]:
    """Run nginx before the gateways on these ports; yields its own port. Ends the program where there is none."""
    program = shutil.which("nginx")
    if program is None:
        raise SystemExit("nginx is not installed (apt-get install nginx-light)")
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{own} max_fails=0;" for own in ports)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, servers=servers, port=port))
    process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        wait_until(Server(f"http://127.0.0.1:{port}", process, config), "/healthz", 20)
        yield port
    finally:
        stop(process)
