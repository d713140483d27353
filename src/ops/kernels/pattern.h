// Which keys a query sees, beyond the window: the sparse patterns of attention. Everything is by position in the sequence.
#pragma once
#include <cstdint>
#include <vector>

namespace headrace {

struct Pattern {
  enum class Kind : uint8_t {
    window,              // all of the window
    strided,             // i = j mod block (Sparse Transformer, Child et al. 2019)
    fixed,               // block of j = block of i, or j among the last `extra` of its block
    merged,              // strided, or |i - j| < block
    chunks,              // the block of i and the `extra` before it
    pooled,              // key j stands for tokens [block j, block (j+1)) and is seen by those after them
    listed,              // the key blocks in the list of the query's block; the window does not count
    first,               // the window, and the first `extra` keys of the sequence (meta tokens)
    behind,              // the window without the last `block` keys
    sorted,              // tokens sorted into chunks of `block` (Reformer): the chunk of i and the one before, the first's is the last;
  };                     //   by `positions`, itself only where there is nothing else
  Kind kind = Kind::window;
  int64_t block = 0, extra = 0;
  // Keys that every query sees, whose own query sees all (Longformer): [all key rows], not 0; or empty.
  std::vector<uint8_t> global;
  // listed: the blocks of `query_block` queries of one sequence after another, `list_heads` lists each (head h reads list
  // h / (H / list_heads)): list l is blocks[begin[l] .. begin[l+1]), sorted.
  int64_t query_block = 0;
  int list_heads = 1;
  std::vector<int64_t> begin;
  std::vector<int32_t> blocks;
  std::vector<int32_t> positions;        // sorted: [all rows]
};

}  // namespace headrace
