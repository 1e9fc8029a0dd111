"""Two network namespaces, 10.9.0.1 and 10.9.0.2, and the link between them, which can be slow, lossy or cut. To be run
by ``unshare -rn``. Prints the process ids by which `nsenter` finds the two, or what the problem is; each line that is read says what the link is
like from then on, such as ``{"delay": 0.05, "loss": 0.1}``, and is answered by how many frames were lost so far. Ends with its standard input.

(The kernel's own `netem` does the same, but is not in every kernel; nor is a firewall.)"""

import asyncio
import json
import random
import socket
import subprocess
import sys

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR = 263, 23, 15


def ip(*words, namespace=None):
    within = ["nsenter", "-t", str(namespace), "-n"] if namespace else []
    subprocess.run([*within, "ip", *words], check=True)


def end_of_cable(number):
    """A namespace with an interface, the other end of which is here: the process that keeps it, and a socket for
    that end's frames."""
    keeper = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    keeper.stdout.readline()  # the namespace is there
    name, pid = f"end{number}", keeper.pid
    # No frame is longer than a real link's: what is lost is to be one packet.
    short = ("gso_max_segs", "1")
    ip("link", "add", name, *short, "type", "veth", "peer", "eth0", *short, "netns", str(pid))
    ip("addr", "add", f"10.9.0.{number}/24", "dev", "eth0", namespace=pid)
    for device in ("lo", "eth0"):
        ip("link", "set", device, "up", namespace=pid)
    ip("link", "set", name, "up")
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    frames.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    # Checksums are left to the hardware, which there is none of: this tells the receiver.
    frames.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    frames.bind((name, 0))
    frames.setblocking(False)
    return keeper, frames


class Link:
    def __init__(self):
        self.delay = self.loss = self.lost = 0

    def carry(self, one, other):
        frame = one.recv(1 << 17)
        if random.random() < self.loss:
            self.lost += 1
        else:
            asyncio.get_running_loop().call_later(self.delay, self.deliver, other, frame)

    def deliver(self, other, frame):
        try:
            other.send(frame)
        except OSError:
            pass  # lost, as may happen


async def main():
    try:
        (one, left), (two, right) = end_of_cable(1), end_of_cable(2)
    except (OSError, subprocess.CalledProcessError) as problem:
        print(json.dumps({"problem": str(problem)}), flush=True)
        return
    link = Link()
    loop = asyncio.get_running_loop()
    loop.add_reader(left, link.carry, left, right)
    loop.add_reader(right, link.carry, right, left)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ends": [one.pid, two.pid]}), flush=True)
    while line := await reader.readline():
        vars(link).update(json.loads(line))
        print(json.dumps({"lost": link.lost}), flush=True)
    one.kill()
    two.kill()


asyncio.run(main())
