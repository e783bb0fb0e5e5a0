"""A backend's echo server: echo.py NAME PORT ADDRESS…

TCP and UDP on PORT of each address; every line or datagram comes back with NAME in front.
UDP needs a socket an address, so that answers carry the address the client dialled.
"""

import asyncio
import sys


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name):
        self.name = name

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(self.name + b" " + data, peer)


async def serve(name, port, addresses):
    async def lines(reader, writer):
        try:
            while line := await reader.readline():
                writer.write(name + b" " + line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    for address in addresses:
        await asyncio.start_server(lines, address, port, backlog=1024)
        await loop.create_datagram_endpoint(lambda: Datagrams(name), (address, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1].encode(), int(sys.argv[2]), sys.argv[3:]))
