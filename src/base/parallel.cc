// The pool: a job is a new number, the epoch; each piece is claimed for it, by its worker or by the caller, who takes those whose
// worker has not come. So a worker without a core delays nobody, and the pieces are still the same ones.
#include "base/parallel.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/quota.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace headrace {
namespace {

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

struct Job {
  detail::Piece piece;
  void* context;
  int64_t n;
  int pieces;
};

int allowed_cores() {    // of those there are, the ones that this process may use
  cpu_set_t set;
  int n = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  if (const int quota = quota_cores(); quota > 0) n = std::min(n, quota);   // threads beyond it would only wait for each other
  return std::clamp(n, 1, 64);
}
int known_cores() {      // asked once: pieces, and so sums, must not change under way
  static const int cores = allowed_cores();
  return cores;
}

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), spins_(threads <= known_cores() ? 30000 : 0), slots_(static_cast<size_t>(threads)) {
    sigset_t all, before;                  // signals are the first thread's: it waits for them
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int started = 1;
    try {
      for (; started < threads; ++started) workers_.emplace_back([this, w = started] { work(w); });
    } catch (const std::system_error&) {}
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (started < threads) {
      end();
      fail("threads: only ", started, " of ", threads, " could be started; give --threads ", started);
    }
  }
  ~Pool() { end(); }
  int threads() const { return threads_; }

  void run(const Job& job) {
    job_ = job;
    uint32_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
    if (sleepers_.load(std::memory_order_seq_cst) > 0) epoch_.notify_all();
    piece(0);
    for (int w = 1; w < threads_; ++w) {
      if (claim(w, epoch)) {               // its thread has not come to it: another program may have the core
        piece(w);
        continue;
      }
      int spins = 0;
      while (slots_[w].done.load(std::memory_order_acquire) != epoch)
        if (++spins < spins_) pause_briefly(); else std::this_thread::yield();
    }
    if (error_) {
      std::exception_ptr e = std::move(error_);
      error_ = nullptr;
      std::rethrow_exception(e);
    }
  }

 private:
  void end() {
    stop_ = true;
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    for (auto& t : workers_) t.join();
  }
  void piece(int w) {
    if (w >= job_.pieces) return;
    try {
      int64_t begin = job_.n * w / job_.pieces, end = job_.n * (w + 1) / job_.pieces;
      if (begin < end) job_.piece(job_.context, begin, end, w);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
  void work(int w);
  // Who claims a piece of an epoch runs it. Every piece of an epoch is claimed before the next begins, so the claim stood at
  // the epoch before.
  bool claim(int w, uint32_t epoch) {
    uint32_t before = epoch - 1;
    return slots_[w].claimed.compare_exchange_strong(before, epoch, std::memory_order_acq_rel);
  }

  struct alignas(64) Slot { std::atomic<uint32_t> claimed{0}, done{0}; };
  int threads_;
  const int spins_;                      // before a thread sleeps, about 0.3 to 1 ms; none where threads wait for each other's core
  std::vector<std::thread> workers_;
  std::vector<Slot> slots_;
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  Job job_{};
  std::mutex mutex_;
  std::exception_ptr error_;
};

thread_local bool inside = false;

void Pool::work(int w) {
  inside = true;
  uint32_t seen = 0;
  for (;;) {
    int spins = 0;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      if (++spins < spins_) {
        pause_briefly();
      } else {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        if (epoch_.load(std::memory_order_seq_cst) == seen) epoch_.wait(seen, std::memory_order_acquire);
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
        spins = 0;
      }
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_) return;
    if (!claim(w, seen)) continue;
    piece(w);
    slots_[w].done.store(seen, std::memory_order_release);
  }
}

std::unique_ptr<Pool> pool;
std::atomic<int> wanted{0};
std::mutex pool_mutex;   // one region at a time; a second caller waits

}  // namespace

int thread_count() {
  const int n = wanted.load(std::memory_order_relaxed);
  return n > 0 ? n : known_cores();
}
void set_thread_count(int n) {
  expect(n >= 1 && n <= 64, "threads: ", n, " is not in 1..64");
  std::lock_guard lock(pool_mutex);
  wanted = n;
  pool.reset();
}

void detail::parallel(int64_t n, int64_t grain, Piece piece, void* context) {
  if (n <= 0) return;
  int64_t pieces = std::min<int64_t>(thread_count(), std::max<int64_t>(1, n / std::max<int64_t>(grain, 1)));
  if (pieces <= 1 || inside) return piece(context, 0, n, 0);
  std::lock_guard lock(pool_mutex);
  if (!pool) pool = std::make_unique<Pool>(thread_count());
  pieces = std::min<int64_t>(pieces, pool->threads());  // another caller may have set fewer while this one waited
  inside = true;
  struct Leave { ~Leave() { inside = false; } } leave;
  pool->run({piece, context, n, static_cast<int>(pieces)});
}

}  // namespace headrace
