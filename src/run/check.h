// Proves on a model and a machine that how a sequence is run does not change what comes out: alone or in a ragged batch,
// whole or in chunks or token by token, forked, saved and loaded, rolled back, or continued from a kept prefix.
//
// Bit for bit where the design promises it: the same steps on the same state (batched, forked, saved, rolled back). Forms
// of different association (whole, chunks, steps; batches on CUDA) agree within a tolerance: the norm of the difference over
// the norm; products of weights in blocks do not round their input for that (UseExactInputs of ops/kernels.h).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "run/state_file.h"

namespace headrace {

struct CheckOptions {
  int64_t tokens = 150;                            // crosses pages of 64 and usual windows of tiny models
  std::vector<int64_t> chunks{1, 3, 16, 64, 100};
  uint64_t seed = 1;
  std::string folder = "/tmp";                     // for the state that is saved
  std::function<void(int done, int all)> progress;
};
struct Checked {
  std::string law, detail;
  bool exact;                                      // promised bit for bit
  double tolerance, worst;                         // 0 tolerance where exact; worst relative difference found
  bool ok;
};
std::vector<Checked> check_model(const Decoder& model, const ModelIdentity& identity, const CheckOptions& options = {});

}  // namespace headrace
