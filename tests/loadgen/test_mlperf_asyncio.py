"""Programs on asyncio: the callback hands over to an event loop, which answers."""

import asyncio
import threading
import time

import pytest

from loadgen import Ending, mlperf

SCENARIOS = tuple(mlperf.TestScenario.__members__)


@pytest.fixture
def event_loop_thread():
    """An event loop that runs on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def served(program, samples):
    """As a client of a served model does: each sample is a request of its own."""

    async def one(sample):
        await asyncio.sleep(0.001)
        program.respond([sample])

    await asyncio.gather(*map(one, samples))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_loop_on_another_thread_answers(scenario, fast, harness, missed, event_loop_thread):
    program = harness(fast=fast)
    program.answer = lambda samples: asyncio.run_coroutine_threadsafe(
        served(program, samples), event_loop_thread
    )
    (outcome,) = program.run(scenario, server_target_qps=500)
    assert outcome.log.ending is Ending.COMPLETE
    assert not missed(outcome) - {"early_stopping", "min_duration"}
    assert outcome.log.latency_ns.min() >= 900_000


def test_a_program_that_is_asynchronous_itself_starts_a_test_beside_its_loop(harness):
    """The loop is the main thread's; StartTest runs on a thread of its executor."""
    program, sizes = harness(), []

    async def main():
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue()
        program.answer = lambda samples: loop.call_soon_threadsafe(waiting.put_nowait, samples)

        async def batches():
            while True:
                samples = list(await waiting.get())
                await asyncio.sleep(0.002)
                while not waiting.empty():
                    samples += waiting.get_nowait()
                sizes.append(len(samples))
                program.respond(samples)

        server = asyncio.create_task(batches())
        try:
            return await asyncio.to_thread(program.run, "Server", server_target_qps=3000)
        finally:
            server.cancel()

    (outcome,) = asyncio.run(main())
    assert outcome.log.ending is Ending.COMPLETE
    assert sum(sizes) == len(outcome.log.latency_ns)
    assert max(sizes) > 1


def test_an_error_that_the_loop_swallows_is_a_lost_answer(harness, event_loop_thread):
    program = harness()

    async def fail(samples):
        raise ConnectionError("the server went away")

    def answer(samples):
        serve = fail(samples) if len(program.issued) == 5 else served(program, samples)
        asyncio.run_coroutine_threadsafe(serve, event_loop_thread)

    program.answer = answer
    began = time.monotonic()
    (outcome,) = program.run("Server", sut_timeout_ms=300, server_target_qps=500)
    assert time.monotonic() - began < 10
    assert outcome.log.ending is Ending.SUT_TIMEOUT
    assert outcome.log.lost.tolist() == [4]
    assert not outcome.verdict.valid
