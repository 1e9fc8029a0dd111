"""Serves a fount without an end, and how much it has made; prints the URI."""

import asyncio

import marotte
from marotte.tubes import iteratorFount


class Endless(marotte.Referenceable):
    made = 0

    def numbers(self):
        while True:
            self.made += 1
            yield self.made

    def remote_flow(self):
        return iteratorFount(self.numbers())

    def remote_made(self):
        return self.made


async def main():
    tub = marotte.Tub()
    tub.listen("ws://127.0.0.1:0")
    print(tub.registerReference(Endless()), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
