"""A system under test without Python: it answers at once and never takes the GIL.

The example of the C-level interface, and the generator's own limit.
"""

from libc.stdint cimport int64_t

from loadgen._platform cimport now_ns
from loadgen._queries cimport Queries
from loadgen._tape cimport DONE


cdef class NativeNull:
    """Satisfies ``SystemUnderTest``; ``max_batch`` samples are taken at once."""

    cdef readonly str name
    cdef readonly int workers
    cdef readonly int64_t max_batch

    def __init__(self, int workers=1, int64_t max_batch=1):
        self.name, self.workers, self.max_batch = "native null", workers, max_batch

    def load(self, samples):
        """Nothing to get ready."""

    def unload(self):
        """Nothing to let go of."""

    def serve(self, Queries queries, int worker):
        """Claim and finish until the run is over. Its responses cannot be logged."""
        cdef int64_t first = 0, count
        if queries.keeps_responses:
            raise ValueError("the native null system has no responses to log")
        with nogil:
            while True:
                count = queries.claim(self.max_batch, 0, &first)
                if count == 0:
                    break
                queries.finish(first, count, DONE, now_ns())
