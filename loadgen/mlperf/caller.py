"""Work for the thread that started a test.

A model may live in thread-local state (a CUDA context, ``torch.no_grad``), so the user's
callbacks run where the official program runs them: on the thread that called StartTest.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Caller:
    """The calling thread, as a place where other threads have jobs done.

    ``interrupted``: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.interrupted = False
        # A job leaves only when it is done: Ctrl-C may strike as a queue hands one out. None ends.
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]] | None] = deque()
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._signals: socket.socket | None = None

    def call(self, job: Callable[[], Any]) -> Any:
        """Have ``job`` done by the calling thread: its result, or its exception raised here."""
        future: Future[Any] = Future()
        self._put((job, future))
        return future.result()

    def drive(self, run: Callable[[], Any]) -> Any:
        """Do jobs until ``run``, on a thread of its own, is over; its result or exception."""
        result: Future[Any] = Future()

        def on_thread() -> None:
            try:
                result.set_result(run())
            except BaseException as error:
                result.set_exception(error)
            finally:
                self._put(None)

        ends, restore = self._listen()
        try:
            threading.Thread(target=on_thread, name="loadgen", daemon=True).start()
            while self._step():
                pass
        finally:
            restore()
            for end in ends:
                end.close()
            self._signals = None
        return result.result()

    def _put(self, item: tuple[Callable[[], Any], Future[Any]] | None) -> None:
        self._jobs.append(item)
        self._news.put(None)

    def _step(self) -> bool:
        """Do what there is, or wait for more; whether there may be more."""
        try:
            while self._jobs:
                if (item := self._jobs[0]) is None:
                    return False
                self._do(*item)
                self._jobs.popleft()
            self._news.get()
        except KeyboardInterrupt:
            self.interrupted = True
        return True

    def _do(self, job: Callable[[], Any], future: Future[Any]) -> None:
        if future.done():  # interrupted before it could leave
            return
        try:
            future.set_result(job())
        except KeyboardInterrupt as error:
            self.interrupted = True
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(error)

    def is_interrupted(self) -> bool:
        """Whether Ctrl-C was pressed, even if the calling thread waits and has not noticed."""
        if self._signals is not None:
            with contextlib.suppress(BlockingIOError):
                self.interrupted |= signal.SIGINT in self._signals.recv(64)
        return self.interrupted

    def _listen(self) -> tuple[tuple[socket.socket, ...], Callable[[], object]]:
        """Have signals noted in a socket, unless somebody else does that already."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return (), lambda: None
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        before = signal.set_wakeup_fd(ends[1].fileno(), warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)
            return ends, lambda: None
        self._signals = ends[0]
        return ends, lambda: signal.set_wakeup_fd(-1)
