from libc.stdint cimport int64_t


cdef extern from "_platform.h" namespace "tailbound" nogil:
    const int64_t NEVER "tailbound::kNever"
    int64_t now_ns() noexcept
    void sleep_until(int64_t due_ns) noexcept
    bint replace_if(int64_t* word, int64_t* expected, int64_t value) noexcept

    cppclass Monitor:
        void lock() noexcept
        void unlock() noexcept
        void notify_all() noexcept
        void wait_ns(int64_t ns) noexcept
