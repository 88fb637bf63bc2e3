"""One TCP transfer: transfer.py receive PORT, or transfer.py send ADDRESS PORT BYTES. The sender prints its progress."""
import hashlib
import os
import socket
import sys
import time

BLOCK = os.urandom(65536)


def receive(port):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::", port))
    listener.listen(1)
    print("listening", flush=True)
    peer, _ = listener.accept()
    digest = hashlib.sha256()
    while data := peer.recv(262144):
        digest.update(data)
    peer.sendall(digest.digest())
    peer.close()


def send(address, port, total):
    stream = socket.create_connection((address, port), timeout=60)
    digest, sent, told = hashlib.sha256(), 0, 0.0
    while sent < total:
        part = BLOCK[:min(len(BLOCK), total - sent)]
        stream.sendall(part)
        digest.update(part)
        sent += len(part)
        if time.monotonic() - told > 0.1 or sent == total:
            told = time.monotonic()
            print(sent, flush=True)
    stream.shutdown(socket.SHUT_WR)
    answer = b""
    while data := stream.recv(64):
        answer += data
    if answer != digest.digest():
        sys.exit("the receiver got something else")
    print("verified", flush=True)


if sys.argv[1] == "receive":
    receive(int(sys.argv[2]))
else:
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
