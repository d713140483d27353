// A tokenizer as the vocabulary that GGUF stores: the other way round from from_vocabulary. What GGUF's four kinds cannot say
// is refused by name.
#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_parts.h"

namespace headrace {
namespace {

using Parts = Tokenizer::Parts;
enum Type : int32_t { normal = 1, unknown_type = 2, control = 3, user_defined = 4, unused = 5, byte_type = 6 };

std::string letters(std::string_view bytes) {
  std::string out;
  for (char c : bytes) append_byte_letter(out, static_cast<uint8_t>(c));
  return out;
}
// As Python's repr() spells bytes, without quotes around them.
std::string escaped(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    const auto b = static_cast<uint8_t>(c);
    if (c == '\\') out += "\\\\";
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c == '\r') out += "\\r";
    else if (b >= 32 && b < 127) out += c;
    else out += text("\\x", "0123456789abcdef"[b >> 4], "0123456789abcdef"[b & 15]);
  }
  return out;
}

// The patterns a pre-tokenizer splits by, if it does nothing else.
std::optional<std::vector<std::string>> patterns_of(const Pretokenizer& steps) {
  std::vector<std::string> all;
  for (const PretokenizerStep& s : steps) {
    if (s.kind == PretokenizerStep::byte_letters) continue;
    const bool digits = s.kind == PretokenizerStep::digits && s.individual;
    if (!digits && (s.kind != PretokenizerStep::regex || s.behaviour != Behaviour::isolated || s.invert)) return {};
    all.push_back(digits ? "\\p{N}" : s.pattern->pattern());
  }
  return all;
}

struct Merge {
  int left, right;
  MergeTable::Merge made;
};
std::vector<Merge> merges_by_rank(const MergeTable& table) {
  std::vector<Merge> all;
  table.each([&](int left, int right, MergeTable::Merge m) { all.push_back({left, right, m}); });
  std::sort(all.begin(), all.end(), [](const Merge& a, const Merge& b) { return a.made.rank < b.made.rank; });
  return all;
}

void byte_level(const Parts& p, Vocabulary& v) {
  v.model = "gpt2";
  bool nfc = false;
  for (const NormalizerStep& s : p.normalizer) {
    expect(s.kind == NormalizerStep::form && s.unicode == Form::nfc, "tokenizer: its normaliser has no form in GGUF");
    nfc = true;
  }
  const auto patterns = patterns_of(p.pretokenizer);
  const std::string none = "tokenizer: its pre-tokenizer has no name in GGUF";
  expect(patterns.has_value(), none);
  // without merges, cuts are no matter
  v.pre = patterns->empty() && p.merge.merges.size() == 0 ? "gpt-2" : pretokenizer_name(*patterns, p.merge.ignore_merges, nfc);
  expect(!v.pre.empty(), none);
  for (int id = 0; id < p.vocab.size(); ++id) v.tokens.push_back(letters(p.vocab[id]));
  for (const Merge& m : merges_by_rank(p.merge.merges)) v.merges.push_back(letters(p.vocab[m.left]) + " " + letters(p.vocab[m.right]));
}

void sentencepiece(const Parts& p, Vocabulary& v, const Unknown& unknown) {
  const int n = p.vocab.size();
  for (int id = 0; id < n; ++id) v.tokens.emplace_back(p.vocab[id]);
  v.scores.assign(static_cast<size_t>(n), 0.f);
  if (p.model == Parts::score_bpe) v.scores = p.score.scores;
  if (p.model == Parts::unigram_model) std::transform(p.unigram.scores.begin(), p.unigram.scores.end(), v.scores.begin(),
      [](double s) { return s == s ? static_cast<float>(s) : 0.f; });
  if (p.model == Parts::merge_bpe) {               // the pair of lowest rank is that of highest score
    std::vector<bool> seen(static_cast<size_t>(n));
    for (const Merge& m : merges_by_rank(p.merge.merges))
      if (!seen[m.made.id]) seen[m.made.id] = true, v.scores[m.made.id] = -static_cast<float>(m.made.rank);
  }
  v.model = p.model == Parts::unigram_model ? "t5" : "llama";
  for (int id : unknown.bytes)
    if (id >= 0 && unknown.byte_fallback) v.types[id] = byte_type;
  if (unknown.id >= 0) v.types[unknown.id] = unknown_type, v.unk = unknown.id;
  v.add_space_prefix = false;
  for (const NormalizerStep& s : p.normalizer) {
    if (s.kind == NormalizerStep::prepend || (s.kind == NormalizerStep::sentencepiece && s.space_in_front)) v.add_space_prefix = true;
    if (s.kind == NormalizerStep::sentencepiece) v.remove_extra_whitespaces = s.collapse;
    const bool ours = s.kind == NormalizerStep::prepend || s.kind == NormalizerStep::sentencepiece
        || (s.kind == NormalizerStep::replace && s.content == visible_space && s.pattern == " ");
    expect(ours && s.map.empty(), "tokenizer: its normaliser has no form in GGUF");
  }
  for (const PretokenizerStep& s : p.pretokenizer)
    if (s.kind == PretokenizerStep::metaspace) v.add_space_prefix = s.prepend != PretokenizerStep::never;
}

}  // namespace

Vocabulary Tokenizer::vocabulary() const {
  const Parts& p = *parts_;
  Vocabulary v;
  v.types.assign(static_cast<size_t>(p.vocab.size()), normal);
  if (p.model == Parts::longest_match) {
    v.model = "rwkv";
    for (int id = 0; id < p.vocab.size(); ++id) v.tokens.push_back(escaped(p.vocab[id]));
  } else if (p.model == Parts::merge_bpe && p.merge.by_bytes) {
    byte_level(p, v);
  } else {
    expect(p.model != Parts::word_level, "tokenizer: a vocabulary of whole words has no form in GGUF");
    sentencepiece(p, v, p.model == Parts::merge_bpe ? p.merge.unknown : p.model == Parts::score_bpe ? p.score.unknown : p.unigram.unknown);
  }
  for (const AddedToken& t : p.added.tokens) {
    v.tokens[static_cast<size_t>(t.id)] = t.content;
    if (v.types[static_cast<size_t>(t.id)] != unknown_type) v.types[static_cast<size_t>(t.id)] = t.special ? control : user_defined;
  }
  for (size_t id = 0; id < v.types.size(); ++id) {
    if (id < p.special.size() && p.special[id] && v.types[id] == normal) v.types[id] = control;
    if (v.tokens[id].empty() && v.types[id] == normal) v.types[id] = unused, v.tokens[id] = text("[UNUSED", id, "]");
  }
  // RWKV's end of text has no bytes
  if (p.model == Parts::longest_match && !p.special.empty() && p.special[0]) v.tokens[0] = "<s>", v.types[0] = control;
  v.bos = p.bos, v.eos = p.eos, v.pad = p.pad;
  if (!v.unk) v.unk = p.unk;
  for (int id : p.end_of_turn)
    if (id != p.eos && !v.eot && id < p.vocab.size()) v.eot = id;
  v.add_bos = p.bos && std::find(p.prefix.begin(), p.prefix.end(), *p.bos) != p.prefix.end();
  v.add_eos = p.eos && std::find(p.suffix.begin(), p.suffix.end(), *p.eos) != p.suffix.end();
  v.chat_template = p.chat_template;
  return v;
}

}  // namespace headrace
