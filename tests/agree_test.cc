// The law `agree`: what the CPU's kernels give = what the definitions give, fresh memory poisoned with NaN.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "instruction_sets.h"
#include "kernel_entries.h"
#include "op_cases.h"
#include "primitive_cases.h"

namespace headrace {
namespace {

const bool poisoned = (poison_new_memory(true), true);   // for every test of this program


class OpAgree : public testing::TestWithParam<OpCase> {};
TEST_P(OpAgree, CpuGivesWhatTheDefinitionGives) {
  const OpCase& c = GetParam();
  std::vector<Tensor> want = [&] {
    UseNaive naive;
    Random r(7);
    return c.run(r);
  }();
  // A small result is as exact as a large one where nothing is summed; a sum that cancels is as exact as its parts.
  const double most = c.kernel == "unary" || c.kernel == "binary" ? 1 : 1e30, least = c.kernel == "linear" ? 1 : 0;
  for (const char* set : instruction_sets()) {
    ForceDots forced(set);
    Random r(7);
    std::vector<Tensor> got = c.run(r);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_TRUE(close(got[i], want[i], c.tolerance, least, most)) << "output " << i << " with " << set;
  }
}
INSTANTIATE_TEST_SUITE_P(All, OpAgree, testing::ValuesIn(op_cases()), [](const auto& info) { return info.param.name; });

class PrimitiveAgree : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(PrimitiveAgree, CpuGivesWhatTheDefinitionGives) {
  const PrimitiveCase& c = GetParam();
  const std::vector<std::vector<int64_t>> batches{{1}, {67}, {0, 1, 5, 64, 0, 65, 3}, {1, 1, 1, 1}, {200}, {0}};
  for (const std::string set : instruction_sets()) {
    if (set == "amx") continue;          // of products only
    ForceDots forced(set.c_str());
    for (bool with_state : {false, true}) {
      if (with_state && !c.carries_state) continue;
      for (const auto& lengths : batches) {
        Ragged cpu(lengths), naive(lengths);
        Random r(11);
        Tensors w = c.fixed(r);
        for (int round = 0; round < (with_state ? 2 : 1); ++round) {   // the second time from the states of the first
          Tensors x = c.timed(r, cpu.tokens());
          Tensor got = c.run(x, w, cpu.slot(with_state)), want = [&] {
            UseNaive definitions;
            return c.run(x, w, naive.slot(with_state));
          }();
          const std::string where = text("lengths ", lengths, with_state ? " with" : " without", " state, round ", round, ", ", set);
          EXPECT_TRUE(close(got, want, c.tolerance)) << where;
          for (size_t s = 0; with_state && s < lengths.size(); ++s)
            EXPECT_TRUE(close_states(cpu.states[s], naive.states[s], c.tolerance)) << where << ", state " << s;
        }
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, PrimitiveAgree, testing::ValuesIn(primitive_cases()), case_name);

TEST(Agree, EveryKernelOfTheTableHasACase) {
  std::set<std::string> kernels{"append_keys", "append_gates", "pack", "synchronize", "peak", "instructions"};   // append_*: parts of attention
  for (const char* backward :   // slope_test.cc and the tests of the primitives
       {"unary_backward", "norm_backward", "softmax_backward", "entmax_backward", "attention_backward", "embedding_backward", "short_conv_backward",
        "diag_scan_backward", "cell_scan_backward", "linear_scan_backward", "memory_scan_backward", "normalise_backward", "modal_scan_backward",
        "cross_entropy_backward"})
    kernels.insert(backward);
  for (const OpCase& c : op_cases()) kernels.insert(c.kernel);
  for (const PrimitiveCase& c : primitive_cases()) kernels.insert(c.kernel);
  kernels.insert("log_linear");                            // LogLinearInPieces, by the scans that it is made of where there is no kernel
  kernels.erase("");
  std::set<std::string> entries;
  for (const auto& [name, there] : kernel_entries(naive_kernels())) entries.insert(name);
  EXPECT_EQ(entries.size(), kernel_count) << "a kernel was added: list it in kernel_entries.h";
  EXPECT_EQ(kernels, entries) << "list a case for each kernel in op_cases.cc or primitive_cases.cc";
}

TEST(Agree, AProductOfManyTokensIsTheProductOfEachAloneToTheBit) {
  for (DType t : {DType::f32, DType::bf16, DType::q4_0, DType::q8_0, DType::q4_k, DType::q6_k})
    for (const char* set : instruction_sets()) {
      ForceDots forced(set);
      Random r(3);
      Tensor w = packed(weight(r, t, 37, 512)), x = r.rows({19, 512});
      Tensor together = linear(x, w);
      for (int64_t i = 0; i < 19; ++i) EXPECT_TRUE(same_bits(linear(x.slice(0, i, 1), w), together.slice(0, i, 1))) << name(t) << " row " << i;
    }
}

// A library of products that is not made for two callers gives them one buffer, once in some thousand calls.
TEST(Agree, ProductsOfPlainMatricesInTwoThreadsAtOnce) {
  std::atomic<int> others = 0;
  auto work = [&](uint64_t seed) {
    Random r(seed);
    const Tensor a = r.rows({16, 8192}), b = r.rows({8192, 16}), first = matmul(a, b);    // not cut, so both are in the library
    for (int i = 0; i < 2000; ++i) others += !same_bits(matmul(a, b), first);
  };
  std::thread second(work, 1);
  work(2);
  second.join();
  EXPECT_EQ(others, 0);
}

// A product that reads its input in 8 bits has no bits for these: its scale must have them.
TEST(Agree, WhatIsNoNumberIsNotLostInAProduct) {
  for (DType t : {DType::f32, DType::bf16, DType::q4_0, DType::q4_1, DType::q8_0, DType::q4_k, DType::q6_k, DType::iq4_xs})
    for (const char* set : instruction_sets())
      for (const float none : {NAN, INFINITY, -INFINITY})
        for (int64_t rows : {1, 19}) {
          ForceDots forced(set);
          Random r(3);
          Tensor w = packed(weight(r, t, 37, 512)), x = r.rows({rows + 1, 512}).contiguous_copy();
          x.f32()[3] = none;
          const Tensor y = linear(x, w);
          for (int64_t i = 0; i < y.count(); ++i)
            ASSERT_EQ(std::isfinite(y.f32()[i]), i >= 37) << name(t) << " " << set << " " << none << " output " << i << " is " << y.f32()[i];
        }
}

TEST(Agree, FreshMemoryIsPoisoned) {
  ASSERT_TRUE(poisoned);
  EXPECT_TRUE(std::isnan(Tensor::empty({3}).f32()[2]));
}

}  // namespace
}  // namespace headrace
