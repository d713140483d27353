// Text to tree to layers: a parser that keeps the place of everything that it reads for the messages, a check that sees the whole
// stack before anything is made, and a printer whose text reads as the same tree.
#include "models/blueprint.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "base/nearest.h"
#include "mixers/catalogue.h"

namespace headrace {
namespace {

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<Setting> header() {
    std::vector<Setting> all;
    for (;;) {
      skip();
      size_t end = at_;
      while (end < text_.size() && (letter(text_[end]) || digit(text_[end]))) ++end;
      if (end == at_ || end >= text_.size() || text_[end] != '=' || digit(text_[at_])) return all;
      all.push_back(setting());
    }
  }
  Node stack() {
    Node n = list(0);
    if (at_ < text_.size()) fail_at(at_, text_[at_] == ')' ? "a ) without its (" : unexpected("the end"));
    return n;
  }

 private:
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }
  bool next(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    return ++at_, skip(), true;
  }
  std::string unexpected(const char* wanted) const {
    return headrace::text("wanted ", wanted, ", found ", at_ < text_.size() ? "'" + quoted(text_.substr(at_, 1)) + "'" : "the end");
  }
  std::string_view word() {
    const size_t begin = at_;
    while (at_ < text_.size() && (letter(text_[at_]) || digit(text_[at_]))) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  Setting setting() {
    Setting s;
    skip();
    s.at = at_, s.name = word();
    if (s.name.empty()) fail_at(at_, unexpected("an option"));
    skip();
    if (!next('=')) fail_at(at_, unexpected(("= after " + quoted(s.name).substr(0, 40)).c_str()));
    s.value_at = at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const size_t first = s.value_at + (text_[s.value_at] == '-');                     // of a number: its first digit
      const bool exponent = at_ > first && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E') && digit(text_[first]);
      if (!letter(c) && !digit(c) && c != '.' && !(c == '-' && (at_ == s.value_at || exponent)) && !(c == '+' && exponent)) break;
      ++at_;
    }
    s.value = text_.substr(s.value_at, at_ - s.value_at);
    if (s.value.empty()) fail_at(at_, unexpected("a value"));
    return s;
  }
  std::vector<Setting> settings() {                          // after the (
    std::vector<Setting> all;
    if (next(')')) return all;
    do all.push_back(setting());
    while (next(','));
    if (!next(')')) fail_at(at_, unexpected(", or )"));
    return all;
  }

  Node list(int depth) {
    if (depth > most_depth) fail_at(at_, "parentheses are nested deeper than ", most_depth);
    skip();
    Node n{.kind = Node::Kind::list, .at = at_};
    do {
      skip();
      Node item = sum(depth);
      if (item.kind == Node::Kind::list) std::move(item.parts.begin(), item.parts.end(), std::back_inserter(n.parts));
      else n.parts.push_back(std::move(item));
    } while (next(','));
    return n;
  }
  Node sum(int depth) {
    Node first = group(depth);
    if (at_ >= text_.size() || text_[at_] != '+') return first;
    Node n{.kind = Node::Kind::sum, .at = first.at};
    add(n, std::move(first));
    while (next('+')) add(n, group(depth));
    return n;
  }
  static void add(Node& sum, Node part) {
    if (part.kind == Node::Kind::list) fail_at(part.at, "a layer is made of sublayers, not of layers: no , inside a +");
    if (part.kind == Node::Kind::repeat) fail_at(part.at, "a repeat is made of layers; put a , beside it, not a +");
    if (part.kind == Node::Kind::sum) std::move(part.parts.begin(), part.parts.end(), std::back_inserter(sum.parts));
    else sum.parts.push_back(std::move(part));
  }
  Node group(int depth) {
    Node first = one(depth);
    skip();
    if (at_ >= text_.size() || text_[at_] != '|') return first;
    Node n{.kind = Node::Kind::group, .at = first.at};
    auto put = [&](Node part) {
      if (part.kind != Node::Kind::mixer) fail_at(part.at, "wanted a mixer beside |");
      n.parts.push_back(std::move(part));
    };
    put(std::move(first));
    while (next('|')) put(one(depth));
    return n;
  }
  Node one(int depth) {
    skip();
    const size_t begin = at_;
    if (at_ < text_.size() && digit(text_[at_])) return repeat(depth);
    if (next('(')) {
      Node inner = list(depth + 1);
      if (!next(')')) fail_at(at_ < text_.size() ? at_ : begin, at_ < text_.size() ? unexpected(", + | or )") : "this ( is not closed");
      Node n = inner.parts.size() == 1 ? std::move(inner.parts[0]) : std::move(inner);
      n.at = begin;
      if (at_ < text_.size() && text_[at_] == '(') {
        if (n.kind != Node::Kind::group) fail_at(at_, "only mixers joined by | have options in common");
        next('(');
        n.settings = settings();
      }
      return n;
    }
    Node n{.kind = Node::Kind::mixer, .at = begin, .name = std::string(word())};
    if (n.name.empty()) fail_at(at_, unexpected("a mixer"));
    if (!find_mixer(n.name)) {
      std::vector<std::string> names;
      for (const MixerInfo& m : mixers()) names.emplace_back(m.doc->name);
      const std::string meant = nearest(n.name, names);
      fail_at(begin, "'", n.name.substr(0, 40), "' is no mixer; ", meant.empty() ? "known: " + mixer_names() : "did you mean " + meant + "?");
    }
    skip();
    if (next('(')) n.settings = settings();
    return n;
  }
  Node repeat(int depth) {
    Node n{.kind = Node::Kind::repeat, .at = at_};
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), n.count);
    if (error != std::errc() || n.count < 1 || n.count > most_layers) fail_at(at_, "a count is 1 to ", most_layers);
    at_ = static_cast<size_t>(end - text_.data());
    if (!next('*')) fail_at(at_, unexpected("* after a count"));
    Node inner = one(depth + 1);
    if (inner.kind == Node::Kind::list) n.parts = std::move(inner.parts);
    else n.parts.push_back(std::move(inner));
    return n;
  }

  std::string_view text_;
  size_t at_ = 0;
};

struct GroupOptions {
  std::string fuse;
  void visit(auto& v) { v("fuse", fuse, "mean", "how outputs side by side become one", Choice{"mean", "gate", "sum"}); }
};
GroupOptions group_options(const Node& n) {
  GroupOptions o;
  OptionReader reader(n.settings, "a group");
  o.visit(reader);
  reader.finish();
  if (o.fuse == "gate" && n.parts.size() != 2) fail_at(n.at, "fuse=gate needs two mixers, found ", n.parts.size());
  return o;
}

// Layers and sublayers of a part, counted through its repeats.
struct Size { int64_t layers = 0, sublayers = 0; };
Size check(const Node& n, const Place& at) {
  switch (n.kind) {
    case Node::Kind::mixer:
      try {
        (void)find_mixer(n.name)->text(at, n.settings);
      } catch (const TextError&) {
        throw;
      } catch (const Error& e) {
        fail_at(n.at, e.what());
      }
      return {1, 1};
    case Node::Kind::group:
      (void)group_options(n);
      [[fallthrough]];
    case Node::Kind::sum: {
      Size all{1, 0};
      for (const Node& p : n.parts) all.sublayers += check(p, at).sublayers;
      return all;
    }
    case Node::Kind::list:
    case Node::Kind::repeat: break;
  }
  Size all;
  for (const Node& p : n.parts) {
    const Size s = check(p, at);
    all.layers += s.layers, all.sublayers += s.sublayers;
  }
  all.layers *= n.count, all.sublayers *= n.count;
  if (all.layers > most_layers) fail_at(n.at, "these are ", all.layers, " layers; at most ", most_layers);
  if (all.sublayers > most_sublayers) fail_at(n.at, "these are ", all.sublayers, " sublayers; at most ", most_sublayers);
  return all;
}

std::string print(const Node& n, const Place& at) {
  if (n.kind == Node::Kind::mixer) return find_mixer(n.name)->text(at, n.settings);
  std::string out;
  const char* between = n.kind == Node::Kind::group ? " | " : n.kind == Node::Kind::sum ? " + " : ", ";
  for (const Node& p : n.parts) out += (out.empty() ? "" : between) + print(p, at);
  if (n.kind == Node::Kind::group) return option_text("(" + out + ")", group_options(n));
  return n.kind == Node::Kind::repeat ? text(n.count, "*(", out, ")") : out;
}

void expand(const Node& n, std::vector<const Node*>& layers) {
  if (n.kind != Node::Kind::list && n.kind != Node::Kind::repeat) return layers.push_back(&n);
  for (int64_t i = 0; i < n.count; ++i)
    for (const Node& p : n.parts) expand(p, layers);
}
void for_each_mixer(const Node& n, const auto& f) {
  if (n.kind == Node::Kind::mixer) return f(n);
  for (const Node& p : n.parts) for_each_mixer(p, f);
}
std::string header_text(Header h) {
  OptionPrinter p;
  h.rest(p);
  std::replace(p.out.begin(), p.out.end(), ',', ' ');
  for (size_t i; (i = p.out.find("  ")) != std::string::npos;) p.out.erase(i, 1);
  return text("d=", h.width, " vocab=", h.vocab, p.out.empty() ? "" : " ", p.out, "  ");
}

// Sublayers of one stack: what each mixer must know of the others.
struct Builder {
  const Header& h;
  std::map<std::string, int> of, nth;    // mixers by name: all, and those bound so far
  int layer = 0, layers = 1, mixer = 0;

  Norm norm(const Scope& s) const {
    if (h.norm == "simple_rms") return Norm::simple(h.eps);
    if (h.norm == "layer") return Norm::layer(s, h.width, h.eps);
    return Norm::rms(s, h.width, h.eps, h.offset);
  }
  // Each mixer has a place of its own in the state, so that two in one layer do not share their slots.
  Sublayer bind(const Node& n, const Scope& s) {
    const Place at{.width = h.width, .meta = h.meta, .layer = layer, .layers = layers, .nth = nth[n.name]++, .of = of[n.name]};
    return [f = find_mixer(n.name)->bind(s / n.name, at, n.settings), place = mixer++](const Tensor& x, Pass p) { return f(x, p.at(place)); };
  }
  Sublayer group(const Node& n, const Scope& s) {
    const std::string fuse = group_options(n).fuse;
    std::vector<Sublayer> branches;
    std::vector<Norm> norms;
    for (size_t i = 0; i < n.parts.size(); ++i) {
      branches.push_back(bind(n.parts[i], s / static_cast<int64_t>(i)));
      if (fuse != "sum") norms.push_back(Norm::rms(s / static_cast<int64_t>(i) / "out_norm", h.width, h.eps));
    }
    return [=](const Tensor& x, Pass p) {
      auto branch = [&](size_t i) {
        Tensor y = branches[i](x, p);
        return norms.empty() ? y : norms[i](y);
      };
      Tensor y = branch(0);
      if (fuse == "gate") return binary(Binary::sigmoid_multiply, y, branch(1));
      for (size_t i = 1; i < branches.size(); ++i) y = y + branch(i);
      return fuse == "mean" ? 1.f / static_cast<float>(branches.size()) * y : y;
    };
  }
  Layer sublayer(const Node& n, const Scope& s) {
    Norm pre = norm(s / "norm");
    Sublayer f = n.kind == Node::Kind::group ? group(n, s) : bind(n, s);
    Norm post = h.post ? norm(s / "post_norm") : Norm{};
    if (h.carry == 0) return residual(print(n, {.width = h.width}), std::move(pre), std::move(f), std::move(post));
    return {print(n, {.width = h.width}), [=, carry = h.carry](const Tensor& x, Pass p) {
              const Tensor in = pre(x), y = f(in, p);
              return carry * in + p.dropped(post ? post(y) : y);
            }};
  }
  Layer operator()(const Node& n, const Scope& s) {
    if (n.kind != Node::Kind::sum) return sublayer(n, s / 0);
    Layer all = sublayer(n.parts[0], s / 0);
    for (size_t i = 1; i < n.parts.size(); ++i) all = std::move(all) + sublayer(n.parts[i], s / static_cast<int64_t>(i));
    return all;
  }
};

}  // namespace

BlueprintError::BlueprintError(std::string_view blueprint, size_t place, const std::string& message)
    : Error(headrace::text("blueprint: character ", place + 1, ": ", message)), at(place), text(blueprint) {}

std::string BlueprintError::pointed() const {
  const size_t place = std::min(at, text.size());
  const size_t begin = place == 0 ? 0 : text.rfind('\n', place - 1) + 1;       // npos + 1 is 0
  size_t from = place - begin > 60 ? place - 60 : begin, to = std::min(text.find('\n', place), text.size());
  if (to - from > 120) to = from + 120;
  std::string line = quoted(std::string_view(text).substr(from, to - from));
  return line + "\n" + std::string(place - from, ' ') + "^";
}

Blueprint parse_blueprint(std::string_view text) {
  try {
    if (text.size() > size_t{1} << 16) fail_at(size_t{1} << 16, "longer than 65536 characters");
    Parser parser(text);
    Blueprint b;
    const std::vector<Setting> keys = parser.header();
    OptionReader reader(keys, "a blueprint");
    b.header.visit(reader);
    reader.finish();
    for (const Setting& k : keys)
      if (k.name == "offset" && b.header.offset != 0 && b.header.norm == "simple_rms")
        fail_at(k.at, "norm=simple_rms has no weights to add offset to");
    b.stack = parser.stack();
    check(b.stack, {.width = b.header.width});
    return b;
  } catch (const TextError& e) {
    throw BlueprintError(text, e.at, e.what());
  }
}

std::string print(const Blueprint& b) { return header_text(b.header) + print(b.stack, {.width = b.header.width}); }

Model build_blueprint(const Blueprint& b, const std::shared_ptr<Source>& source) {
  source->parameters.clear(), source->used.clear();
  const Header& h = b.header;
  std::vector<const Node*> layers;
  expand(b.stack, layers);
  Builder build{.h = h, .layers = static_cast<int>(layers.size())};
  std::string sees_later;
  int longest = h.positions;                           // 0: any
  for (const Node* n : layers)
    for_each_mixer(*n, [&](const Node& m) {
      ++build.of[m.name];
      const MixerInfo& info = *find_mixer(m.name);
      if (sees_later.empty() && !info.causal({.width = h.width}, m.settings)) sees_later = m.name;
      if (const int most = info.most_tokens({.width = h.width}, m.settings); most > 0 && (longest == 0 || most < longest)) longest = most;
    });

  const Scope root(source);
  Model m;
  m.family = "blueprint", m.config = Object{{"blueprint", print(b)}}, m.context = longest, m.post_norms = h.post;
  Decoder& d = m.decoder;
  d.vocab = h.vocab, d.width = h.width, d.embed_scale = h.scale, d.logit_cap = h.cap, d.sees_later = sees_later;
  d.embed = (root / "embed").matrix("weight", {h.vocab, h.width}, h.embed_norm ? Init::uniform(-1e-4, 1e-4) : Init::normal(0.02));
  if (h.positions > 0) d.positions = (root / "positions").matrix("weight", {h.positions, h.width});
  d.sinusoidal = h.sinusoidal;
  if (h.meta > 0) d.meta = root("meta_tokens", {h.meta, h.width});
  if (h.embed_norm) d.embed_norm = build.norm(root / "embed_norm");
  for (const Node* n : layers) d.layers.push_back(build(*n, root / "layers" / build.layer)), ++build.layer;
  d.norm = build.norm(root / "norm");
  d.head.weight = h.tied ? d.embed : (root / "head").matrix("weight", {h.vocab, h.width});
  return m;
}

std::vector<BoundMixer> bound_mixers(const Blueprint& b) {
  std::vector<BoundMixer> all;
  std::vector<const Node*> layers;
  expand(b.stack, layers);
  for (size_t l = 0; l < layers.size(); ++l) {
    const auto sublayer = [&](const Node& n, size_t i) {
      const std::string path = text("layers.", l, ".", i, ".");
      if (n.kind == Node::Kind::mixer) all.push_back({path + n.name, &n});
      for (size_t k = 0; k < n.parts.size(); ++k) all.push_back({text(path, k, ".", n.parts[k].name), &n.parts[k]});
    };
    const Node& n = *layers[l];
    if (n.kind != Node::Kind::sum) sublayer(n, 0);
    for (size_t i = 0; n.kind == Node::Kind::sum && i < n.parts.size(); ++i) sublayer(n.parts[i], i);
  }
  return all;
}

std::string blueprint(const Model& m) {
  if (m.config.find("blueprint")) return *m.config.find("blueprint")->get<std::string>();
  const Decoder& d = m.decoder;
  const Header h{.width = d.width, .vocab = d.vocab,
                 .norm = d.norm.plain ? "simple_rms" : d.norm.kind == NormKind::layer ? "layer" : "rms", .eps = d.norm.eps, .offset = d.norm.offset,
                 .scale = d.embed_scale, .cap = d.logit_cap, .carry = 0, .post = m.post_norms,
                 .tied = d.head.weight.storage() == d.embed.storage(),
                 .embed_norm = static_cast<bool>(d.embed_norm), .positions = d.positions ? static_cast<int>(d.positions.dim(0)) : 0,
                 .meta = static_cast<int>(d.meta_tokens()), .sinusoidal = d.sinusoidal};
  return header_text(h) + d.layers_text();
}

}  // namespace headrace
