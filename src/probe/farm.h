// Many cells: a grid of blueprints, parameters, rates and seeds; results as JSON lines, which are appended whole, so that a run that was
// killed goes on where it was; and what they say together.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "probe/runner.h"

namespace headrace {

struct Grid {
  Cell base;
  std::vector<std::string> blueprints;
  std::vector<std::pair<std::string, std::vector<std::string>>> axes;    // "pairs": {"4", "8"}
  std::vector<uint64_t> seeds{0};
};
// What is wrong with an axis itself, whatever the blueprints and the task.
struct GridError : Error {
  using Error::Error;
};
// An axis is a parameter of the task; `rate`, `steps`, `batch`, `until`; `{name}` in the blueprint; or a key of its header, as d. Values of
// those that are options of a cell are held to their ranges; throws GridError.
std::vector<Cell> cells_of(const Grid& grid);

// Results in the cells' order; those that the file has already are read. Cells run side by side, one on each thread, of all ranks that
// mpirun started (base/ranks.h); rank 0 alone reads, writes and tells, the others have no results. told(done, of, line): as cells end.
std::vector<Object> run_cells(const std::vector<Cell>& cells, const std::string& file,
                              const std::function<void(int64_t done, int64_t of, const std::string& line)>& told);

// One blueprint at one place of the grid, over seeds, at the rate that is best in the median of the first test.
struct Summary {
  std::string blueprint, place;          // as it was given; all of the grid in one line
  std::vector<std::string> grid;         // "pairs=8", in the axes' order, without the rate
  double rate = 0, seconds = 0;          // seconds: of the processor, mean of a cell
  int64_t cells = 0, diverged = 0;       // of all rates; one that diverged is among the seeds as the worst
  int64_t seeds = 0, rates = 0, weights = 0, state = 0;    // state: bytes after one sequence of the training data
  double near = -1;                      // mean share of attention's weights within three tokens; below 0: there is no attention
  struct Test {
    std::string set;
    double mean = 0, half = 0, median = 0, best = -INFINITY, whole = 0, loss = 0;
                                         // half: of the 95 % interval of the mean (Student); loss: of those that have one; NAN: none has
    std::vector<Scores::Bucket> by_position;                                   // means over the cells
  };
  std::vector<Test> tests;
};
std::vector<Summary> summarise(const std::vector<Object>& results);
std::string to_csv(const std::vector<Object>& results);      // a row for each cell and test; diverged: at which step, empty where it did not

// A curve for each blueprint with bars of its interval: over the tests where there are several, else over the grid's first axis.
std::string to_svg(const std::vector<Summary>& summaries, const std::string& title);

}  // namespace headrace
