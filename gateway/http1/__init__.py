"""HTTP/1.1 in both directions (RFC 9110, 9112): every byte passes through here, so it is no slower than it must be.

Towards upstreams:

    connection.py   one connection, one request at a time; bytes are parsed by llhttp
    reply.py        a reply as it arrives, with back-pressure
    dialing.py      TCP, TLS, tunnels through a proxy
    pool.py         an origin's kept-alive connections, and the clock that ends those that fell silent
    errors.py       what can go wrong on the way
    alive.py        TCP's signs of life, in both directions

From clients, under uvicorn:

    inbound.py      one connection: requests one after the other; who is slow, silent or too large is refused
    cycle.py        one request and its reply, as ASGI's receive and send
    refusing.py     what is said to a client whose request never became one

Of the rest of the gateway it knows nothing.
"""
