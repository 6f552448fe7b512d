// What the core needs of the operating system: a clock, a precise sleep, a monitor and an atomic
// word. Everything here runs without the GIL and never throws.
#pragma once

#include <time.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace tailbound {

constexpr int64_t kSecond = 1000000000;
// Later than any time of a run.
constexpr int64_t kNever = int64_t(1) << 62;

inline int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * kSecond + t.tv_nsec;
}

// The kernel rounds a sleeping thread's wake-up by 50 us unless the thread asks for less.
inline void ask_for_precise_timer() {
#ifdef __linux__
  static thread_local bool asked = false;
  if (!asked) {
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    asked = true;
  }
#endif
}

inline void sleep_until(int64_t due_ns) {
  ask_for_precise_timer();
#ifdef __linux__
  timespec t{time_t(due_ns / kSecond), long(due_ns % kSecond)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
#else
  int64_t left = due_ns - now_ns();
  if (left <= 0) return;
  timespec t{time_t(left / kSecond), long(left % kSecond)};
  nanosleep(&t, nullptr);
#endif
}

// Whether ``word`` was ``*expected`` and now is ``value``; if not, ``*expected`` is what it is.
inline bool replace_if(int64_t* word, int64_t* expected, int64_t value) {
  return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

struct Monitor {
  void lock() { mutex.lock(); }
  void unlock() { mutex.unlock(); }
  void notify_all() { changed.notify_all(); }
  // Call with the lock held; it is held again on return.
  void wait_ns(int64_t ns) {
    std::unique_lock<std::mutex> held(mutex, std::adopt_lock);
    changed.wait_for(held, std::chrono::nanoseconds(ns));
    held.release();
  }

 private:
  std::mutex mutex;
  std::condition_variable changed;
};

}  // namespace tailbound
