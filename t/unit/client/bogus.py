#!/usr/bin/env python3
"""A server that shakes hands like Redis and then misbehaves.

bogus.py MODE FILE: FILE gets the port.
"""

import os
import socket
import struct
import sys
import time

mode, path = sys.argv[1:]

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(16)

with open(path + ".new", "w") as f:
    f.write(str(server.getsockname()[1]))
os.rename(path + ".new", path)

held = []


def serve(c):
    if mode == "mute":
        held.append(c)
        return

    c.recv(65536)
    hello = b"$0\r\n\r\n:1\r\n:0\r\n"

    if mode == "early":
        # one reply more than there were questions
        c.sendall(hello + b"+early\r\n")
        time.sleep(0.05)
        return

    c.sendall(hello)
    c.recv(65536)

    if mode == "garbage":
        c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    elif mode == "half":
        c.sendall(b"$1\r\nx\r\n$100\r\nhalf of")
    elif mode == "huge":
        c.sendall(b"*2000000000\r\n$2000000000\r\n")
        time.sleep(0.1)
    elif mode == "reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack("ii", 1, 0))
    elif mode == "silent":
        held.append(c)
        return
    elif mode == "drip":
        try:
            c.sendall(b"$100\r\n")
            for i in range(100):
                c.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    c.close()


while True:
    serve(server.accept()[0])
