"""Flows and the streams of Python and Twisted: async iteration, readers and writers, producers and consumers."""

import asyncio

import pytest
import tubes_kit
from marotte.failure import Failure
from marotte.tubes import (
    collect,
    framing,
    itemsOf,
    iteratorFount,
    readerFount,
    receiver,
    series,
    writerDrain,
)
from marotte.tubes.protocol import ConsumerFount, consumerDrain

T = tubes_kit.load("marotte.tubes")


async def test_items_are_made_when_they_are_asked_for():
    made = []

    def source():
        for n in range(100):
            made.append(n)
            yield n

    async with itemsOf(iteratorFount(source()).flowTo(series(tubes_kit.passing(T)))) as items:
        assert len(made) <= 2
        assert [await anext(items) for _ in range(10)] == list(range(10))
        assert len(made) <= 12
    assert made[-1] < 13
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_items_of_a_flow_that_fails():
    fount = T.Fount()
    items = itemsOf(fount.flowTo(series(tubes_kit.passing(T))))
    fount.drain.receive(1)
    fount.drain.flowStopped(Failure(ZeroDivisionError("no")))
    assert await anext(items) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(items)
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_one_who_stops_waiting_leaves_the_item_to_the_next():
    fount = T.Fount()
    items = itemsOf(fount.flowTo(series(tubes_kit.passing(T))))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(items), 0.02)
    assert fount.paused == 1
    fount.drain.receive("late")
    assert await anext(items) == "late"


async def test_there_and_back_over_a_socket():
    async def shout(reader, writer):
        upper = receiver()(lambda line: (line.upper(),))
        tubes = series(framing.bytesToLines(), upper, framing.linesToBytes())
        drain = writerDrain(writer)
        readerFount(reader).flowTo(tubes).flowTo(drain)
        await drain.waitDone()
        done.set_result(writer.is_closing())

    done = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"to be\r\nor not\r\n" * 1000)
    writer.write_eof()
    assert await reader.read() == b"TO BE\r\nOR NOT\r\n" * 1000
    assert await done
    writer.close()
    server.close()


async def test_a_reader_is_read_only_as_fast_as_it_is_wanted():
    reader = asyncio.StreamReader(limit=1 << 20)
    for _ in range(20):
        reader.feed_data(b"x" * 1000)
    async with itemsOf(readerFount(reader, 1000)) as items:
        assert len(await anext(items)) == 1000
        await asyncio.sleep(0.01)
        assert len(reader._buffer) >= 17_000


class Consumer:
    """One of Twisted's, that has enough after three writes."""

    def __init__(self):
        self.written, self.producer = [], None

    def registerProducer(self, producer, streaming):
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def write(self, data):
        self.written.append(data)
        if len(self.written) == 3:
            self.producer.pauseProducing()


def test_a_consumer_as_a_drain():
    consumer = Consumer()
    iteratorFount([b"%d" % n for n in range(10)]).flowTo(consumerDrain(consumer))
    assert consumer.written == [b"0", b"1", b"2"]
    consumer.producer.resumeProducing()
    assert len(consumer.written) == 10 and consumer.producer is None


class Producer:
    """Counts what it is told; a pull producer writes once when it is resumed."""

    def __init__(self, consumer, pull):
        self.consumer, self.pull, self.said, self.sent = consumer, pull, [], 0

    def pauseProducing(self):
        self.said.append("pause")

    def resumeProducing(self):
        self.said.append("resume")
        if self.pull and self.sent < 5:
            self.sent += 1
            self.consumer.write(b"%d" % self.sent)
            if self.sent == 5:
                self.consumer.unregisterProducer()
                self.consumer.finish()

    def stopProducing(self):
        self.said.append("stop")


def test_a_push_producer_as_a_fount():
    consumer = ConsumerFount()
    producer = Producer(consumer, pull=False)
    consumer.registerProducer(producer, True)
    drain = T.Drain()
    consumer.fount.flowTo(drain)
    consumer.write(b"one")
    pause = drain.fount.pauseFlow()
    assert producer.said == ["pause"]
    pause.unpause()
    drain.fount.stopFlow()
    assert (producer.said, drain.received) == (["pause", "resume", "stop"], [b"one"])
    assert [reason.type for reason in drain.stopped] == [T.itube.StopFlowCalled]


async def test_a_pull_producer_as_a_fount():
    consumer = ConsumerFount()
    end = consumer.fount.pauseFlow()
    consumer.registerProducer(Producer(consumer, pull=True), False)
    items = collect(consumer.fount)
    end.unpause()
    assert await items == [b"1", b"2", b"3", b"4", b"5"]
