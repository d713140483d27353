// A thread pool with a fixed partition: the same n on the same number of threads gives the same pieces, so sums repeat.
// Workers spin for a while after a job, then sleep; a decode step's many small products find them awake.
#pragma once
#include <cstdint>
#include <type_traits>

namespace headrace {

int thread_count();
void set_thread_count(int n);        // 1..64; not from within a parallel region. The default is the number of cores that this process may use.

namespace detail {
using Piece = void (*)(void* context, int64_t begin, int64_t end, int worker);
void parallel(int64_t n, int64_t grain, Piece piece, void* context);
}  // namespace detail

// f(begin, end, worker) over [0, n), cut into at most thread_count() pieces of at least `grain`.
// A nested call, and one too small to cut, runs in the caller. The first exception of a piece is thrown here.
template <class F>
void parallel(int64_t n, int64_t grain, F&& f) {
  using Fn = std::remove_reference_t<F>;
  detail::parallel(n, grain, [](void* c, int64_t b, int64_t e, int w) { (*static_cast<Fn*>(c))(b, e, w); },
                   const_cast<void*>(static_cast<const void*>(&f)));
}

}  // namespace headrace
