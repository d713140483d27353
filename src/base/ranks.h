// Independent pieces of work over the threads of this process and, where mpirun started several of them, over all of theirs, on one machine
// or more. A build without MPI (CMake: HEADRACE_MPI) has one rank. MPI is called only by processes that mpirun started.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace headrace {

// 0 where there is one alone. Starts MPI at the first call; throws Error where mpirun started several and this build has no MPI.
int rank();
// Every job once, each on one thread of whichever rank asks next; where there is one rank and one job, it has all threads. work(job) gives a
// line, which done(job, line) takes on rank 0, one at a time. Returns on rank 0 when all are done, on the others when there are no more; every
// rank makes the same calls, and rank 0 says which jobs. The first error of any rank is thrown on rank 0.
void spread(std::span<const int64_t> jobs, const std::function<std::string(int64_t)>& work,
            const std::function<void(int64_t, const std::string&)>& done);
// To be called before a rank ends well; one that ends otherwise takes the others with it.
void end_ranks();

}  // namespace headrace
