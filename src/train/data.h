// Documents as tokens, and batches of them: sequences of any lengths packed one after the other, so nothing is padded and no
// document sees another. Their order is drawn by a counter-based generator, so a place in the data is a few integers, and going on from
// it gives the same batches to the token.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "train/recipe.h"

namespace headrace {

// A file's documents, one after the other: document d is tokens[begins[d], begins[d+1]), begin and end tokens included.
struct Documents {
  std::string path;
  double weight = 0;                     // of a mixture; 0: its number of tokens
  std::vector<int32_t> tokens;
  std::vector<int64_t> begins{0};
  int64_t bytes = 0;                     // of the text; 0: not known
  int64_t count() const { return std::ssize(begins) - 1; }
};
// .txt (documents end with a line `separator`), .jsonl (a field of each line), .safetensors with `input_ids` (integers, [N] or one document
// a row) and perhaps `offsets` [D+1]; each may end in .zst. `end`: added after each document, below 0: nothing. Throws Error that names the
// file and the line.
Documents read_documents(const std::string& path, const DataFile& file, const DataPart& options, const Tokenizer& tokenizer, int32_t end);
// From memory, unpacked; `path` says by its ending what they are, and is named in errors.
Documents documents_of(std::string_view bytes, const std::string& path, const DataFile& file, const DataPart& options, const Tokenizer& tokenizer,
                       int32_t end);

// What one forward and backward pass reads.
struct Packed {
  std::vector<int32_t> ids, targets;     // [N]; the target of a token is the one after it, below 0: none
  std::vector<int64_t> lengths;          // of sequences
  std::vector<int32_t> continues;        // of each sequence: the lane whose state it goes on from, or -1
  std::vector<int32_t> lanes;            // of each sequence: the lane whose state it leaves behind, or -1
  int64_t tokens() const { return std::ssize(ids); }
};

// Endless batches of several files in the proportion of their weights. Without `carry` a document longer than `length` is cut at
// places that differ by epoch, and pieces are shuffled; with it each of `batch` lanes reads documents on to their ends.
class Stream {
 public:
  Stream(std::vector<Documents> files, const DataPart& options, uint64_t seed);
  Packed next();                         // batch * length tokens
  std::vector<int64_t> position() const;
  void seek(std::span<const int64_t> position);          // throws Error for one that is not of this data
  int64_t tokens() const;                // predictions in one epoch of all files
  double epochs() const;                 // read so far

 private:
  struct Piece { int64_t begin, length; };               // of predictions: token begin + i is asked for the one after it
  struct Where { int64_t epoch = 0, piece = 0, offset = 0, taken = 0; };
  struct Order { int64_t epoch = -1; std::vector<Piece> pieces; };
  const std::vector<Piece>& order(size_t file, int64_t epoch);
  std::vector<Piece> shuffled(size_t file, int64_t epoch) const;
  void take(size_t lane, int64_t tokens, Packed& out);
  std::vector<Documents> files_;
  DataPart options_;
  uint64_t seed_;
  size_t lanes_;
  int64_t longest_;                                      // piece
  std::vector<std::vector<Where>> at_;                   // by lane and file
  std::vector<int32_t> reading_;                         // by lane: the file it is in the middle of; -1: none
  std::vector<std::vector<Order>> orders_;               // by file: the epochs that lanes are in
};

// The first `tokens` predictions of the files in order, for the loss on them; 0: all. Sequences of at most `length`, in batches.
std::vector<Packed> in_order(const std::vector<Documents>& files, const DataPart& options, int64_t tokens);

}  // namespace headrace
