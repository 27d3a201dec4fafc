"""HTTP/1.1 of our own, over real sockets on loopback."""
