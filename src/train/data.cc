// Shuffled pieces of documents (Fisher and Yates, drawn by Philox from the seed, the file and the epoch) and how lanes read them.
#include "train/data.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace headrace {

Stream::Stream(std::vector<Documents> files, const DataPart& options, uint64_t seed)
    : files_(std::move(files)), options_(options), seed_(seed), lanes_(options.carry ? static_cast<size_t>(options.batch) : 1),
      longest_(options.length), reading_(lanes_, -1), orders_(files_.size()) {
  for (Documents& d : files_) {
    const int64_t n = std::ssize(d.tokens) - d.count();
    expect(n > 0, d.path, ": no document of two tokens or more");
    if (d.weight == 0) d.weight = static_cast<double>(n);
  }
  if (options.carry) longest_ = std::max<int64_t>(options.length, tokens() / (4 * options.batch));
  at_.assign(lanes_, std::vector<Where>(files_.size()));
  for (size_t lane = 0; lane < lanes_; ++lane)
    for (Where& w : at_[lane]) w.piece = static_cast<int64_t>(lane);
}

int64_t Stream::tokens() const {
  int64_t n = 0;
  for (const Documents& d : files_) n += std::ssize(d.tokens) - d.count();
  return n;
}
double Stream::epochs() const {
  double taken = 0;
  for (const auto& lane : at_)
    for (const Where& w : lane) taken += static_cast<double>(w.taken);
  return taken / static_cast<double>(tokens());
}

std::vector<Stream::Piece> Stream::shuffled(size_t file, int64_t epoch) const {
  const Documents& d = files_[file];
  const Philox random{.seed = seed_, .stream = (uint64_t{file} << 40 | static_cast<uint64_t>(epoch)) + 1};
  uint64_t draws = 0;
  const auto below = [&](uint64_t n) {                   // two numbers of 32 bits; their bias is n / 2^64
    const uint64_t bits = uint64_t{random.bits(draws)} << 32 | random.bits(draws + 1);
    draws += 2;
    return static_cast<uint64_t>(static_cast<unsigned __int128>(bits) * n >> 64);
  };
  std::vector<Piece> all;
  for (int64_t i = 0; i < d.count(); ++i) {
    int64_t begin = d.begins[static_cast<size_t>(i)], left = d.begins[static_cast<size_t>(i) + 1] - begin - 1;
    int64_t n = std::min(left, longest_);
    if (left > longest_ && epoch > 0) n = 1 + static_cast<int64_t>(below(static_cast<uint64_t>(longest_)));
    for (; left > 0; begin += n, left -= n, n = std::min(left, longest_)) all.push_back({begin, std::min(n, left)});
  }
  for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[below(i)]);
  return all;
}

const std::vector<Stream::Piece>& Stream::order(size_t file, int64_t epoch) {
  std::vector<Order>& kept = orders_[file];
  for (const Order& o : kept)
    if (o.epoch == epoch) return o.pieces;
  int64_t first = epoch;                                 // epochs before that of every lane are over
  for (const auto& lane : at_) first = std::min(first, lane[file].epoch);
  std::erase_if(kept, [&](const Order& o) { return o.epoch < first; });
  kept.push_back({epoch, shuffled(file, epoch)});
  return kept.back().pieces;
}

void Stream::take(size_t lane, int64_t tokens, Packed& out) {
  while (tokens > 0) {
    std::vector<Where>& places = at_[lane];
    size_t file = 0;
    if (reading_[lane] >= 0) {
      file = static_cast<size_t>(reading_[lane]);
    } else {                                             // the one that has had least of its share
      const auto had = [&](size_t f) { return static_cast<double>(places[f].taken) / files_[f].weight; };
      for (size_t f = 1; f < files_.size(); ++f)
        if (had(f) < had(file)) file = f;
    }
    Where& w = places[file];
    for (int64_t n; w.piece >= (n = std::ssize(order(file, w.epoch)));) {
      expect(n > static_cast<int64_t>(lane), files_[file].path, ": data.carry with data.batch = ", lanes_, " wants as many documents, found ", n);
      ++w.epoch, w.piece = static_cast<int64_t>(lane);
    }
    const Piece& p = order(file, w.epoch)[static_cast<size_t>(w.piece)];
    const int64_t n = std::min(tokens, p.length - w.offset), begin = p.begin + w.offset;
    const auto from = files_[file].tokens.begin() + begin;
    out.ids.insert(out.ids.end(), from, from + n);
    out.targets.insert(out.targets.end(), from + 1, from + n + 1);
    out.lengths.push_back(n);
    const bool ends = w.offset + n == p.length;
    out.continues.push_back(options_.carry && w.offset > 0 ? static_cast<int32_t>(lane) : -1);
    out.lanes.push_back(options_.carry && !ends ? static_cast<int32_t>(lane) : -1);
    w.offset += n, w.taken += n, tokens -= n;
    reading_[lane] = ends ? -1 : static_cast<int32_t>(file);
    if (ends) w.offset = 0, w.piece += static_cast<int64_t>(lanes_);
  }
}

Packed Stream::next() {
  Packed out;
  const int64_t all = options_.batch * options_.length;
  for (size_t lane = 0; lane < lanes_; ++lane) take(lane, all / static_cast<int64_t>(lanes_), out);
  return out;
}

std::vector<int64_t> Stream::position() const {
  std::vector<int64_t> p{static_cast<int64_t>(lanes_), std::ssize(files_)};
  for (const Documents& d : files_) p.push_back(std::ssize(d.tokens));
  for (size_t lane = 0; lane < lanes_; ++lane) {
    p.push_back(reading_[lane]);
    for (const Where& w : at_[lane]) p.insert(p.end(), {w.epoch, w.piece, w.offset, w.taken});
  }
  return p;
}
void Stream::seek(std::span<const int64_t> p) {
  const std::vector<int64_t> own = position();
  const size_t fixed = 2 + files_.size();
  expect(p.size() == own.size() && std::equal(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(fixed), p.begin()),
         "the training data is not that of the saved place: other files, or other numbers of tokens");
  constexpr int64_t most = int64_t{1} << 50;             // of what a run comes to
  size_t i = fixed;
  for (size_t lane = 0; lane < lanes_; ++lane) {
    const int64_t reading = p[i++];
    expect(reading >= -1 && reading < std::ssize(files_), "lane ", lane, " is in file ", reading, " of ", files_.size());
    reading_[lane] = static_cast<int32_t>(reading);
    for (Where& w : at_[lane]) {
      w = {p[i], p[i + 1], p[i + 2], p[i + 3]}, i += 4;
      expect(std::min({w.epoch, w.piece, w.offset, w.taken}) >= 0 && std::max({w.epoch, w.piece, w.offset, w.taken}) < most, "lane ", lane,
             ": no place in the data: epoch ", w.epoch, ", piece ", w.piece, ", token ", w.offset, ", after ", w.taken);
    }
  }
  for (size_t lane = 0; lane < lanes_; ++lane)           // once all are known: the pieces of epochs that no lane is in are let go
    for (size_t f = 0; f < files_.size(); ++f) {
      const Where& w = at_[lane][f];
      if (w.offset == 0) continue;
      const std::vector<Piece>& pieces = order(f, w.epoch);
      expect(w.piece < std::ssize(pieces) && w.offset < pieces[static_cast<size_t>(w.piece)].length, "lane ", lane, " is at token ", w.offset,
             " of piece ", w.piece, " of epoch ", w.epoch, ", which is none of its ", pieces.size());
    }
}

std::vector<Packed> in_order(const std::vector<Documents>& files, const DataPart& options, int64_t tokens) {
  int64_t left = tokens > 0 ? tokens : INT64_MAX;
  const int64_t room = options.batch * options.length;
  std::vector<Packed> all;
  for (const Documents& d : files)
    for (int64_t i = 0; i < d.count() && left > 0; ++i)
      for (int64_t begin = d.begins[static_cast<size_t>(i)], end = d.begins[static_cast<size_t>(i) + 1] - 1; begin < end && left > 0;) {
        const int64_t n = std::min({end - begin, options.length, left});
        if (all.empty() || all.back().tokens() + n > room) all.emplace_back();
        Packed& p = all.back();
        const auto from = d.tokens.begin() + begin;
        p.ids.insert(p.ids.end(), from, from + n);
        p.targets.insert(p.targets.end(), from + 1, from + n + 1);
        p.lengths.push_back(n), p.continues.push_back(-1), p.lanes.push_back(-1);
        begin += n, left -= n;
      }
  return all;
}

}  // namespace headrace
