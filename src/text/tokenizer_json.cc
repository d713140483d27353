// Hugging Face's tokenizer.json (library `tokenizers`). What the format can say and we cannot do is refused by name.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace headrace {
namespace {

using nlohmann::json;
using Parts = Tokenizer::Parts;

struct Reader {
  std::string file;
  Parts& p;
  int64_t ids_end = max_token_id;        // ids lie below

  template <class T>
  T get(const json& j, const char* key, T otherwise) const {
    auto it = j.find(key);
    if (it == j.end() || it->is_null()) return otherwise;
    if constexpr (std::is_same_v<T, bool>) {
      expect(it->is_boolean(), file, ": ", key, ": expected true or false");
    } else if constexpr (std::is_same_v<T, std::string>) {
      expect(it->is_string(), file, ": ", key, ": expected text");
    } else {
      expect(it->is_number(), file, ": ", key, ": expected a number");
    }
    return it->template get<T>();
  }
  std::string text_of(const json& j, const char* key) const {
    auto it = j.find(key);
    expect(it != j.end() && it->is_string(), file, ": ", key, ": expected text");
    return it->get<std::string>();
  }
  const json& part(const json& j, const char* key) const {
    static const json none;
    auto it = j.find(key);
    return it == j.end() ? none : *it;
  }
  int id_of(const json& j, std::string_view what) const {
    expect(j.is_number_integer() && j.get<int64_t>() >= 0 && j.get<int64_t>() < ids_end, file, ": id of ", what, ": wanted 0 to ",
           ids_end - 1, ", found ", j.is_number_integer() ? j.get<int64_t>() : -1);
    return j.get<int>();
  }

  // A list of steps under `key` when j is a Sequence, else j itself; nested Sequences too.
  template <class F>
  void steps(const json& j, const char* key, F f, int depth = 0) const {
    if (j.is_null()) return;
    expect(j.is_object() && depth < 16, file, ": expected an object with a type");
    if (get<std::string>(j, "type", "") == "Sequence") {
      const json& list = part(j, key);
      expect(list.is_array(), file, ": Sequence: ", key, ": expected a list");
      for (const json& step : list) steps(step, key, f, depth + 1);
    } else {
      f(j, text_of(j, "type"));
    }
  }

  std::optional<Regex> regex(const json& pattern) const {
    return pattern.contains("Regex") ? std::optional<Regex>(text_of(pattern, "Regex")) : std::nullopt;
  }

  void normalizer(const json& j) {
    steps(j, "normalizers", [&](const json& s, const std::string& type) {
      NormalizerStep step{.kind = NormalizerStep::form};
      if (type == "NFC") {
        step.unicode = Form::nfc;
      } else if (type == "NFD") {
        step.unicode = Form::nfd;
      } else if (type == "NFKC") {
        step.unicode = Form::nfkc;
      } else if (type == "NFKD") {
        step.unicode = Form::nfkd;
      } else if (type == "Lowercase") {
        step.kind = NormalizerStep::lowercase;
      } else if (type == "StripAccents") {
        step.kind = NormalizerStep::strip_accents;
      } else if (type == "Prepend") {
        step.kind = NormalizerStep::prepend;
        step.content = text_of(s, "prepend");
      } else if (type == "Strip") {
        step.kind = NormalizerStep::strip;
        step.left = get<bool>(s, "strip_left", true);
        step.right = get<bool>(s, "strip_right", true);
      } else if (type == "Replace") {
        step.kind = NormalizerStep::replace;
        step.regex = regex(part(s, "pattern"));
        if (!step.regex) step.pattern = text_of(part(s, "pattern"), "String");
        step.content = text_of(s, "content");
      } else if (type == "Precompiled") {
        step.kind = NormalizerStep::precompiled;
        step.map = CharMap(base64(text_of(s, "precompiled_charsmap")));
      } else {
        fail(file, ": normalizer ", type, " is not supported");
      }
      p.normalizer.push_back(std::move(step));
    });
  }

  std::string base64(const std::string& in) const {
    std::string out;
    uint32_t bits = 0;
    int held = 0;
    for (char c : in) {
      if (c == '=') break;
      int v = c >= 'A' && c <= 'Z'   ? c - 'A'
              : c >= 'a' && c <= 'z' ? c - 'a' + 26
              : c >= '0' && c <= '9' ? c - '0' + 52
              : c == '+'             ? 62
              : c == '/'             ? 63
                                     : -1;
      expect(v >= 0, file, ": precompiled_charsmap is not base64");
      bits = bits << 6 | static_cast<uint32_t>(v);
      if ((held += 6) >= 8) out += static_cast<char>(bits >> (held -= 8));
    }
    return out;
  }

  Behaviour behaviour(const std::string& name) const {
    if (name == "Removed") return Behaviour::removed;
    if (name == "Isolated") return Behaviour::isolated;
    if (name == "MergedWithPrevious") return Behaviour::merged_with_previous;
    if (name == "MergedWithNext") return Behaviour::merged_with_next;
    if (name == "Contiguous") return Behaviour::contiguous;
    fail(file, ": behavior ", name, " is not known");
  }

  void pretokenizer(const json& j) {
    auto& out = p.pretokenizer;
    steps(j, "pretokenizers", [&](const json& s, const std::string& type) {
      using Step = PretokenizerStep;
      if (type == "ByteLevel") {
        if (get<bool>(s, "add_prefix_space", true)) out.push_back({.kind = Step::space_in_front});
        if (get<bool>(s, "use_regex", true))
          out.push_back(
              {.kind = Step::regex,
               .pattern = Regex(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)")});
        out.push_back({.kind = Step::byte_letters});
        p.merge.by_bytes = true;
      } else if (type == "Split") {
        Step step{.kind = Step::regex,
                  .behaviour = behaviour(text_of(s, "behavior")),
                  .invert = get<bool>(s, "invert", false)};
        step.pattern = regex(part(s, "pattern"));
        if (!step.pattern) {
          step.kind = Step::literal;
          step.text = text_of(part(s, "pattern"), "String");
        }
        out.push_back(std::move(step));
      } else if (type == "Digits") {
        out.push_back(
            {.kind = Step::digits,
             .behaviour = get<bool>(s, "individual_digits", false) ? Behaviour::isolated : Behaviour::contiguous});
      } else if (type == "Punctuation") {
        out.push_back({.kind = Step::punctuation, .behaviour = behaviour(get<std::string>(s, "behavior", "Isolated"))});
      } else if (type == "Whitespace") {
        out.push_back({.kind = Step::regex,
                       .behaviour = Behaviour::removed,
                       .invert = true,
                       .pattern = Regex(R"([\w\x{200c}\x{200d}]+|[^\w\s\x{200c}\x{200d}]+)")});
      } else if (type == "WhitespaceSplit") {
        out.push_back({.kind = Step::whitespace, .behaviour = Behaviour::removed});
      } else if (type == "BertPreTokenizer") {
        out.push_back({.kind = Step::whitespace, .behaviour = Behaviour::removed});
        out.push_back({.kind = Step::punctuation});
      } else if (type == "Metaspace") {
        Step step{.kind = Step::metaspace, .text = get<std::string>(s, "replacement", std::string(visible_space))};
        const std::string scheme =
            get<std::string>(s, "prepend_scheme", get<bool>(s, "add_prefix_space", true) ? "always" : "never");
        expect(scheme == "always" || scheme == "first" || scheme == "never", file, ": prepend_scheme ", scheme);
        expect(!step.text.empty(), file, ": Metaspace without a replacement");
        step.prepend = scheme == "always" ? Step::always : scheme == "first" ? Step::first : Step::never;
        step.split = get<bool>(s, "split", true);
        out.push_back(std::move(step));
      } else {
        fail(file, ": pre_tokenizer ", type, " is not supported");
      }
    });
  }

  void model(const json& j, const json& added) {
    expect(j.is_object(), file, ": no model");
    std::string type = get<std::string>(j, "type", "");
    const json& vocab = part(j, "vocab");
    ids_end = std::min<int64_t>(max_token_id, static_cast<int64_t>(vocab.size() + added.size()) + spare_ids);
    if (type.empty()) type = vocab.is_array() ? "Unigram" : j.contains("merges") ? "BPE" : "WordLevel";
    const std::string unknown = type == "Unigram" ? "" : get<std::string>(j, "unk_token", "");
    if (type == "Unigram") {
      unigram(j, vocab);
      return;
    }
    expect(type == "BPE" || type == "WordLevel", file, ": model ", type, " is not supported");
    expect(vocab.is_object(), file, ": model.vocab: expected an object of token: id");
    p.vocab.reserve(vocab.size() + added.size(), vocab.size() * 12);
    std::string bytes;
    for (const auto& [token, id] : vocab.items()) {
      bytes.clear();
      p.vocab.set(id_of(id, token), p.merge.by_bytes && from_byte_letters(token, bytes) ? bytes : token);
    }
    if (type == "WordLevel") {
      p.model = Parts::word_level;
      p.unknown.id = p.vocab.find(unknown);
    } else {
      bpe(j, unknown);
    }
    if (int id = unknown.empty() ? -1 : p.vocab.find(unknown); id >= 0) p.unk = id;
  }

  void bpe(const json& j, const std::string& unknown) {
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
      expect(get<std::string>(j, affix, "").empty(), file, ": model.", affix, " is not supported");
    MergeBpe& m = p.merge;
    m.unknown.id = unknown.empty() ? -1 : p.vocab.find(unknown);
    m.unknown.fuse = get<bool>(j, "fuse_unk", false);
    m.unknown.byte_fallback = get<bool>(j, "byte_fallback", false);
    find_byte_tokens(p.vocab, m.unknown);
    m.ignore_merges = get<bool>(j, "ignore_merges", false);
    const json& merges = part(j, "merges");
    expect(merges.is_array(), file, ": model.merges: expected a list");
    m.merges.reserve(merges.size());
    int rank = 0;
    std::string joined;
    const auto side = [&](std::string_view token, size_t n) {
      std::string bytes;
      if (!m.by_bytes || !from_byte_letters(token, bytes)) bytes = token;
      const int id = p.vocab.find(bytes);
      expect(id >= 0, file, ": merge ", n, ": ", token, " is not in the vocabulary");
      joined += bytes;
      return id;
    };
    for (const json& merge : merges) {
      const size_t n = static_cast<size_t>(rank);
      joined.clear();
      int a = -1, b = -1;
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        a = side(merge[0].get_ref<const std::string&>(), n);
        b = side(merge[1].get_ref<const std::string&>(), n);
      } else {
        expect(merge.is_string(), file, ": merge ", n, ": expected two tokens");
        const std::string_view pair = merge.get_ref<const std::string&>();
        const size_t space = pair.find(' ');
        expect(space != pair.npos, file, ": merge ", n, ": expected two tokens");
        a = side(pair.substr(0, space), n);
        b = side(pair.substr(space + 1), n);
      }
      const int both = p.vocab.find(joined);
      expect(both >= 0, file, ": merge ", n, ": the joined token is not in the vocabulary");
      m.merges.set(a, b, {rank++, both});
    }
  }

  void unigram(const json& j, const json& vocab) {
    p.model = Parts::unigram_model;
    expect(vocab.is_array() && !vocab.empty(), file, ": model.vocab: expected a list of [token, score]");
    std::vector<Trie::Entry> entries;
    p.vocab.reserve(vocab.size(), vocab.size() * 12);
    for (const json& pair : vocab) {
      const int id = p.vocab.size();
      expect(pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_number(), file,
             ": model.vocab: entry ", id);
      p.vocab.set(id, pair[0].get_ref<const std::string&>());
      p.unigram.scores.push_back(pair[1].get<double>());
    }
    for (int id = 0; id < p.vocab.size(); ++id) entries.push_back({p.vocab[id], id});
    p.unigram.trie = Trie(std::move(entries));
    p.unigram.unknown.fuse = true;
    p.unigram.unknown.byte_fallback = get<bool>(j, "byte_fallback", false);
    find_byte_tokens(p.vocab, p.unigram.unknown);
    if (const json& id = part(j, "unk_id"); id.is_number()) {
      p.unk = p.unigram.unknown.id = id_of(id, "unk");
      expect(*p.unk < p.vocab.size(), file, ": unk_id ", *p.unk);
    }
  }

  void added_tokens(const json& list) {
    if (list.is_null()) return;
    expect(list.is_array(), file, ": added_tokens: expected a list");
    for (const json& t : list) {
      expect(t.is_object(), file, ": added_tokens: expected objects");
      const bool special = get<bool>(t, "special", false);
      std::string content = text_of(t, "content");
      const int id = id_of(part(t, "id"), content);
      p.add({.content = std::move(content),
             .id = id,
             .special = special,
             .single_word = get<bool>(t, "single_word", false),
             .lstrip = get<bool>(t, "lstrip", false),
             .rstrip = get<bool>(t, "rstrip", false),
             .normalized = get<bool>(t, "normalized", !special)});
    }
  }

  void post_processor(const json& j) {
    const auto list = [&](const json& ids, std::vector<int>& out) {
      expect(ids.is_array(), file, ": post_processor: expected a list of ids");
      for (const json& id : ids) out.push_back(id_of(id, "post_processor"));
    };
    steps(j, "processors", [&](const json& s, const std::string& type) {
      if (type == "ByteLevel") return;  // moves offsets only
      if (type == "BertProcessing" || type == "RobertaProcessing") {
        for (const char* end : {"cls", "sep"}) {
          const json& pair = part(s, end);
          expect(pair.is_array() && pair.size() == 2, file, ": post_processor: ", end);
          (end[0] == 'c' ? p.prefix : p.suffix).push_back(id_of(pair[1], end));
        }
        return;
      }
      expect(type == "TemplateProcessing", file, ": post_processor ", type, " is not supported");
      const json &single = part(s, "single"), &specials = part(s, "special_tokens");
      expect(single.is_array(), file, ": TemplateProcessing: single: expected a list");
      bool after = false;
      for (const json& piece : single) {
        if (piece.is_object() && piece.contains("Sequence")) {
          after = true;
          continue;
        }
        expect(piece.is_object() && piece.contains("SpecialToken") && piece["SpecialToken"].is_object(), file,
               ": TemplateProcessing: single");
        const std::string name = text_of(piece["SpecialToken"], "id");
        const json& token = specials.is_object() ? part(specials, name.c_str()) : specials;
        expect(token.is_object(), file, ": TemplateProcessing: special token ", name, " is not defined");
        list(part(token, "ids"), after ? p.suffix : p.prefix);
      }
    });
    for (int id : p.prefix) expect(id < p.vocab.size(), file, ": post_processor: id ", id);
    for (int id : p.suffix) expect(id < p.vocab.size(), file, ": post_processor: id ", id);
  }

  void decoder(const json& j) {
    if (j.is_null()) p.join_with_spaces = true;
    steps(j, "decoders", [&](const json& s, const std::string& type) {
      if (type == "ByteLevel" || type == "Fuse") return;  // tokens are kept as bytes, and joined in the end
      if (type == "ByteFallback") {
        p.byte_names = true;
      } else if (type == "Metaspace") {
        p.shown_as.emplace_back(get<std::string>(s, "replacement", std::string(visible_space)), " ");
        p.strip_first_space = get<std::string>(s, "prepend_scheme",
                                               get<bool>(s, "add_prefix_space", true) ? "always" : "never") != "never";
      } else if (type == "Replace") {
        p.shown_as.emplace_back(text_of(part(s, "pattern"), "String"), text_of(s, "content"));
      } else if (type == "Strip") {
        expect(
            get<std::string>(s, "content", " ") == " " && get<int>(s, "start", 0) <= 1 && get<int>(s, "stop", 0) == 0,
            file, ": decoder Strip: only one space at the start is supported");
        p.strip_first_space = get<int>(s, "start", 0) == 1;
      } else {
        fail(file, ": decoder ", type, " is not supported");
      }
    });
  }

  // tokenizer_config.json: names of the special tokens, the chat template.
  void config(const json& j) {
    const auto token = [&](const char* key, std::optional<int>& id) {
      const json& t = part(j, key);
      std::string name = t.is_string() ? t.get<std::string>() : t.is_object() ? get<std::string>(t, "content", "") : "";
      if (int found = name.empty() ? -1 : p.vocab.find(name); found >= 0) id = found;
    };
    token("bos_token", p.bos);
    token("eos_token", p.eos);
    token("unk_token", p.unk);
    token("pad_token", p.pad);
    const json& t = part(j, "chat_template");
    if (t.is_string()) p.chat_template = t.get<std::string>();
    if (t.is_array())  // several, by name
      for (const json& named : t)
        if (named.is_object() && (p.chat_template.empty() || get<std::string>(named, "name", "") == "default"))
          p.chat_template = get<std::string>(named, "template", "");
  }
};

json parse(std::string_view text, const std::string& file) {
  // A hostile file could nest deep enough to exhaust the stack of whoever frees the tree.
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    if (depth > 64) fail("nested deeper than 64");
    return true;
  };
  try {
    return json::parse(text, shallow);
  } catch (const json::exception& e) { fail(file, ": ", quoted(e.what())); } catch (const Error& e) {
    fail(file, ": ", e.what());
  }
}

}  // namespace

Tokenizer Tokenizer::from_tokenizer_json(std::string_view text, std::string_view file_name,
                                         std::string_view config_json) {
  auto p = std::make_shared<Parts>();
  Reader reader{std::string(file_name), *p};
  json j = parse(text, reader.file);
  expect(j.is_object(), reader.file, ": expected an object");
  try {
    reader.normalizer(reader.part(j, "normalizer"));
    reader.pretokenizer(reader.part(j, "pre_tokenizer"));
    const json& added = reader.part(j, "added_tokens");
    reader.model(reader.part(j, "model"), added);
    reader.added_tokens(added);
    reader.post_processor(reader.part(j, "post_processor"));
    reader.decoder(reader.part(j, "decoder"));
    if (!p->prefix.empty()) p->bos = p->prefix.front();
    if (!p->suffix.empty()) p->eos = p->suffix.back();
    if (!config_json.empty()) {
      json config = parse(config_json, "tokenizer_config.json");
      expect(config.is_object(), "tokenizer_config.json: expected an object");
      reader.config(config);
    }
    for (const char* name : {"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>"}) {
      int id = p->vocab.find(name);
      if (!p->eos && id >= 0 && p->special[id]) p->eos = id;
    }
    p->finish();
  } catch (const json::exception& e) { fail(reader.file, ": ", quoted(e.what())); } catch (const Error& e) {
    fail(quoted(e.what()));
  }
  return Tokenizer(p);
}

}  // namespace headrace
