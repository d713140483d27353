// Work that is spread: each job once, results where they belong, the first error thrown; over the ranks of mpirun where this build has MPI.
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "cli.h"

namespace headrace {
namespace {

TEST(Ranks, EveryJobIsDoneOnce) {
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    std::vector<int64_t> jobs{7, 3, 11, 2, 30}, done;
    spread(jobs, [](int64_t job) { return std::to_string(job * job); }, [&](int64_t job, const std::string& line) {
      EXPECT_EQ(line, std::to_string(job * job));
      done.push_back(job);
    });
    EXPECT_EQ(std::multiset(done.begin(), done.end()), std::multiset(jobs.begin(), jobs.end()));
    spread({}, [](int64_t) { return std::string(); }, [](int64_t, const std::string&) { FAIL(); });
  }
}
TEST(Ranks, TheFirstErrorIsThrownAndNoJobBegunAfterIt) {
  set_thread_count(1);
  std::vector<int64_t> jobs{1, 2, 3}, done;
  const auto work = [](int64_t job) -> std::string {
    expect(job != 2, "two");
    return "";
  };
  EXPECT_THROW(spread(jobs, work, [&](int64_t job, const std::string&) { done.push_back(job); }), Error);
  EXPECT_EQ(done, std::vector<int64_t>{1});
}

class RanksCli : public Cli {
 protected:
  const std::string probe =
      " probe even_pairs --threads 1 --blueprint 'd=8 gru' --set min=6 --set max=10 --seeds 6 --samples 32 --until 2 --results ";
  Ran shell(const std::string& command) const {
    const int status = std::system(("cd '" + folder_ + "' && " + command + " >stdout 2>stderr").c_str());
    return {WEXITSTATUS(status), read_text(at("stdout")), read_text(at("stderr"))};
  }
  std::set<std::string> keys(const std::string& file) const {      // each line's
    std::set<std::string> all;
    const std::string text = read_text(at(file));
    for (size_t from = 0, end; (end = text.find('\n', from)) != std::string::npos; from = end + 1)
      EXPECT_TRUE(all.insert(string(parse_json(text.substr(from, end - from), file), "key")).second) << "a cell ran twice";
    return all;
  }
};

#if HEADRACE_MPI
const std::string mpirun = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 3 ";
TEST_F(RanksCli, RanksDoEveryCellOnceWithTheResultsOfOneAlone) {
  const Ran together = shell(mpirun + "'" HEADRACE_BINARY "'" + probe + "a --steps 20 --json");
  ASSERT_EQ(together.code, 0) << together.err;
  const Value v = parse_json(together.out, "stdout");              // of one rank
  EXPECT_EQ(number(v, "cells"), 6);
  EXPECT_EQ(keys("a/even_pairs.jsonl").size(), 6u);
  EXPECT_EQ(to_json(*v.find("summaries")->get<Array>()->at(0).find("tests")),
            to_json(*json(probe.substr(1) + "b --steps 20 --json").find("summaries")->get<Array>()->at(0).find("tests")));
}
TEST_F(RanksCli, ARankThatDiesLeavesWhatWasDone) {
  const std::string second_at_most = "sh -c '[ $OMPI_COMM_WORLD_RANK = 2 ] && ulimit -t 1; exec \"$0\" \"$@\"' ";
  const Ran r = shell(mpirun + second_at_most + "'" HEADRACE_BINARY "'" + probe + "a --steps 4000");
  EXPECT_NE(r.code, 0);
  const size_t before = file_exists(at("a/even_pairs.jsonl")) ? keys("a/even_pairs.jsonl").size() : 0;
  EXPECT_LT(before, 6u);
  EXPECT_EQ(shell(mpirun + "'" HEADRACE_BINARY "'" + probe + "a --steps 4000").code, 0);
  EXPECT_EQ(keys("a/even_pairs.jsonl").size(), 6u);
}
TEST_F(RanksCli, AnErrorOfARankIsTold) {
  const Ran r = shell(mpirun + "'" HEADRACE_BINARY "'" + probe + "a --steps 20 --test max=3");
  EXPECT_NE(r.code, 0);
  EXPECT_NE(r.err.find("headrace: "), std::string::npos) << r.err;
}
#else
TEST_F(RanksCli, SeveralRanksWithoutMpiAreAnError) {
  const Ran r = shell("OMPI_COMM_WORLD_SIZE=2 '" HEADRACE_BINARY "'" + probe + "a --steps 1");
  refused(r, "`make mpi` builds with it");
}
#endif

}  // namespace
}  // namespace headrace
