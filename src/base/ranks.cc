// Rank 0 keeps the list. A thread of another rank asks it for a job with the result of its last one, and is told a number, or that there is
// none. One thread of rank 0 listens, with sleeps between, as MPI's own waiting would take a core; its other threads work.
#include "base/ranks.h"

#include <cstdlib>
#include <exception>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

#if HEADRACE_MPI
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <chrono>
#include <thread>
#endif

namespace headrace {
namespace {

// How many processes there are, as the launcher says it: Open MPI, MPICH and its kin, Slurm. A launcher that speaks PMIx alone says no number.
int launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const char* size = std::getenv(name)) return std::atoi(size);
  if (!std::getenv("PMIX_RANK")) return 1;
  const char* size = std::getenv("SLURM_STEP_NUM_TASKS");
  return size ? std::atoi(size) : 2;
}

// The list, as the threads of rank 0 see it.
class List {
 public:
  List(std::span<const int64_t> jobs, const std::function<void(int64_t, const std::string&)>& done) : jobs_(jobs), done_(done) {}
  int64_t next() {                                       // -1: none
    const std::lock_guard lock(mutex_);
    return error_ || at_ == jobs_.size() ? -1 : jobs_[at_++];
  }
  void take(int64_t job, const std::string& line) {
    const std::lock_guard lock(mutex_);
    if (!error_) done_(job, line);
  }
  void stop(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  void finish() const { if (error_) std::rethrow_exception(error_); }

 private:
  std::span<const int64_t> jobs_;
  const std::function<void(int64_t, const std::string&)>& done_;
  size_t at_ = 0;
  std::exception_ptr error_;
  std::mutex mutex_;
};
// One thread of rank 0.
void work_off(List& list, const std::function<std::string(int64_t)>& work) {
  try {
    for (int64_t job; (job = list.next()) >= 0;) list.take(job, work(job));
  } catch (...) {
    list.stop(std::current_exception());
  }
}
// On `threads` threads, or, for one, in this one, whose work then has all.
void together(int64_t threads, const std::function<void()>& f) {
  if (threads > 1) parallel(threads, 1, [&](int64_t, int64_t, int) { f(); });
  else f();
}

#if HEADRACE_MPI
struct Job { int rank = 0, ranks = 1, tag = 0; };        // tag: of the call to spread, so that one that begins early is heard late
Job& job() {
  static Job j = [] {
    Job k;
    if (launched() <= 1) return k;
    int given = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given);
    expect(given >= MPI_THREAD_SERIALIZED, "mpi: this library cannot be called from more than one thread");
    MPI_Comm_rank(MPI_COMM_WORLD, &k.rank), MPI_Comm_size(MPI_COMM_WORLD, &k.ranks);
    expect(k.ranks > 1, "mpi: started ", launched(), " times, but each process is alone: the launcher is another MPI's than the one built with");
    return k;
  }();
  return j;
}
void wait(MPI_Request& request) {
  for (int there = 0; MPI_Test(&request, &there, MPI_STATUS_IGNORE), !there;) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// A question: the job that is done (-1: none), then its line; or that of an error (-2), or that the rank has no more to ask (-3).
constexpr int64_t nothing = -1, failed = -2, over = -3;
void send(int64_t head, const std::string& line, int tag) {
  std::string all(reinterpret_cast<const char*>(&head), sizeof head);
  all += line;
  MPI_Request request;
  MPI_Isend(all.data(), static_cast<int>(all.size()), MPI_BYTE, 0, tag, MPI_COMM_WORLD, &request);
  wait(request);
}
void listen(List& list, int ranks, int tag) {
  for (int left = ranks - 1; left > 0;) {
    MPI_Status status;
    for (int there = 0; MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &there, &status), !there;)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    int size = 0;
    MPI_Get_count(&status, MPI_BYTE, &size);
    std::string all(static_cast<size_t>(size), '\0');
    MPI_Recv(all.data(), size, MPI_BYTE, status.MPI_SOURCE, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    int64_t head = 0;
    all.copy(reinterpret_cast<char*>(&head), sizeof head);
    all.erase(0, sizeof head);
    try {
      if (head == failed) throw Error(all);
      if (head >= 0) list.take(head, all);
    } catch (...) {
      list.stop(std::current_exception());
    }
    if (head == failed) continue;
    if (head == over) { --left; continue; }
    const int64_t next = list.next();
    MPI_Send(&next, sizeof next, MPI_BYTE, status.MPI_SOURCE, tag, MPI_COMM_WORLD);
  }
}
// A thread of another rank. Threads speak in turn: a question and its answer stay together.
void ask(const std::function<std::string(int64_t)>& work, std::mutex& turn, int tag) {
  int64_t done = nothing;
  std::string line;
  try {
    for (;;) {
      int64_t next = nothing;
      {
        const std::lock_guard lock(turn);
        MPI_Request request;
        MPI_Irecv(&next, sizeof next, MPI_BYTE, 0, tag, MPI_COMM_WORLD, &request);
        send(done, line, tag);
        wait(request);
      }
      if (next < 0) return;
      line = work(next), done = next;
    }
  } catch (const std::exception& e) {
    const std::lock_guard lock(turn);
    send(failed, e.what(), tag);
  }
}
#endif

}  // namespace

#if HEADRACE_MPI
int rank() { return job().rank; }
void end_ranks() { if (job().ranks > 1) MPI_Finalize(); }
#else
int rank() {
  expect(launched() <= 1, "started ", launched(), " times by mpirun, but built without MPI; `make mpi` builds with it");
  return 0;
}
void end_ranks() {}
#endif

void spread(std::span<const int64_t> jobs, const std::function<std::string(int64_t)>& work,
            const std::function<void(int64_t, const std::string&)>& done) {
  List list(jobs, done);
#if HEADRACE_MPI
  if (Job& j = job(); j.ranks > 1) {
    const int tag = j.tag++;
    if (j.rank > 0) {
      std::mutex turn;
      together(thread_count(), [&] { ask(work, turn, tag); });
      send(over, "", tag);
      return;
    }
    std::thread listener([&] { listen(list, j.ranks, tag); });
    together(thread_count(), [&] { work_off(list, work); });
    listener.join();
    return list.finish();
  }
#endif
  together(std::min<int64_t>(thread_count(), std::ssize(jobs)), [&] { work_off(list, work); });
  list.finish();
}

}  // namespace headrace
