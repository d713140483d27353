// The verbs as a tree of CLI11's parsers; help, completion and manual page are all read off it. The one file that pays for CLI11's header.
#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/nearest.h"

namespace headrace::cli {

struct Node {
  CLI::App* app;
  std::string about;
  std::vector<Example> examples;
  std::vector<int> verbs;
  std::map<const CLI::Option*, std::vector<std::string>> choices;
  std::map<const CLI::Option*, Command::Words> suggestions;
  Command::Action action;
};
struct Tree {
  CLI::App app;
  std::vector<Node> nodes;
};

namespace {

CLI::Option* documented(CLI::Option* o, const std::string& value) { return o->type_name(value)->capture_default_str(); }
std::string number(double v) { return v == std::floor(v) && std::abs(v) < 1e15 ? fmt::format("{:.0f}", v) : fmt::format("{:g}", v); }
std::string one_line(std::string s) {
  for (char& c : s)
    if (c == '\n') c = ' ';
  if (size_t at = s.find("subcommand"); at != std::string::npos) s.replace(at, 10, "verb");   // CLI11's word for it
  return s;
}

// What was meant by a word that the verb does not take: of its own options or verbs the one that is written most alike, if any is.
std::string meant_by(const std::string& given, const CLI::App& verb) {
  std::string name = given.substr(0, given.find('='));
  const auto options = verb.get_options();
  const bool has_model = std::any_of(options.begin(), options.end(), [](const CLI::Option* o) { return o->get_name(true) == "MODEL"; });
  if (has_model && (name == "-m" || name == "--model")) return "; MODEL needs no option";
  const bool option = name.starts_with('-');
  std::vector<std::string> known;
  if (option)
    for (const CLI::Option* o : options) known.insert(known.end(), o->get_lnames().begin(), o->get_lnames().end());
  else
    for (const CLI::App* v : verb.get_subcommands({})) known.push_back(v->get_name());
  name.erase(0, name.find_first_not_of('-'));
  const std::string best = nearest(name, known);
  return best.empty() ? "" : "; did you mean " + std::string(option ? "--" : "") + best + "?";
}

class HelpText : public CLI::Formatter {
 public:
  HelpText() { column_width(34); }
  std::string make_option_opts(const CLI::Option* o) const override {
    std::string s;
    if (o->get_type_size() != 0) {
      s += " " + o->get_type_name();
      if (!o->get_default_str().empty()) s += " [" + o->get_default_str() + "]";
      if (o->get_expected_max() > 1) s += " ...";
    }
    if (o->get_required()) s += " (needed)";
    return s;
  }
  std::string make_subcommand(const CLI::App* verb) const override {       // the summary; the rest is in its own --help
    std::string line = "  " + verb->get_name();
    line.resize(std::max<size_t>(line.size() + 1, 16), ' ');
    return line + verb->get_description().substr(0, verb->get_description().find('\n')) + "\n";
  }
};

}  // namespace

Command Command::verb(const std::string& name, const std::string& summary) {
  CLI::App* app = tree_->nodes[at_].app->add_subcommand(name, summary);
  tree_->nodes[at_].app->require_subcommand(at_ == 0 ? 0 : 1, 1);
  app->group("Verbs");
  app->formatter(std::make_shared<HelpText>());
  app->get_formatter()->label("Positionals", "Arguments");
  for (const char* label : {"SUBCOMMAND", "SUBCOMMANDS"}) app->get_formatter()->label(label, "VERB");
  app->footer("");                                 // CLI11 hands down the parent's
  const int at = static_cast<int>(tree_->nodes.size());
  tree_->nodes.push_back({.app = app});
  tree_->nodes[at_].verbs.push_back(at);
  return {tree_, at};
}
Command& Command::about(const std::string& text) {
  Node& n = tree_->nodes[at_];
  n.about = text;
  n.app->description(n.app->get_description() + "\n" + text + "\n");
  return *this;
}
Command& Command::example(const std::string& command, const std::string& what) {
  Node& n = tree_->nodes[at_];
  n.examples.push_back({command, what});
  std::string footer = "Examples:\n";
  for (const Example& e : n.examples) footer += "  " + e.command + "\n      " + e.what + "\n";
  footer.pop_back();
  n.app->footer(footer);
  return *this;
}
Command& Command::action(Action f) {
  tree_->nodes[at_].action = std::move(f);
  return *this;
}
Command& Command::option(const std::string& names, std::string& v, const std::string& value, const std::string& help) {
  documented(tree_->nodes[at_].app->add_option(names, v, help), value)->take_last();
  return *this;
}
Command& Command::option(const std::string& names, int64_t& v, const std::string& value, const std::string& help) {
  auto read = [&v](const std::string& s) { return std::from_chars(s.data(), s.data() + s.size(), v); };   // CLI11's own takes 010 for 8
  CLI::Option* o = tree_->nodes[at_].app->add_option(names, CLI::callback_t([read](const CLI::results_t& given) {
    return read(given.back()).ec == std::errc();
  }), help);
  o->type_name(value)->default_str(fmt::format("{}", v))->take_last()->check(CLI::Validator([](std::string& s) {
    int64_t n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error == std::errc::result_out_of_range) return "wanted a number of 64 bits, found " + s;
    return error == std::errc() && end == s.data() + s.size() ? std::string() : "wanted a whole number, found " + s;
  }, "", ""));
  return *this;
}
Command& Command::option(const std::string& names, double& v, const std::string& value, const std::string& help) {
  documented(tree_->nodes[at_].app->add_option(names, v, help), value)->default_str(fmt::format("{:g}", v))->take_last();
  return *this;
}
Command& Command::option(const std::string& names, std::vector<std::string>& v, const std::string& value, const std::string& help) {
  tree_->nodes[at_].app->add_option(names, v,
      help)->type_name(value)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args(false);
  return *this;
}
Command& Command::choice(const std::string& names, std::string& v, const std::vector<std::string>& allowed, const std::string& help) {
  std::string joined;
  for (const auto& c : allowed) joined += (joined.empty() ? "" : "|") + c;
  CLI::Option* o = documented(tree_->nodes[at_].app->add_option(names, v, help), joined);
  return choices(o->get_name(), allowed);
}
Command& Command::choices(const std::string& name, const std::vector<std::string>& allowed) {
  std::string joined;
  for (const auto& c : allowed) joined += (joined.empty() ? "" : "|") + c;
  CLI::Option* o = tree_->nodes[at_].app->get_option(name);
  o->transform(CLI::Validator([allowed, joined](std::string& s) {   // in any case of letters; what is kept is as listed
    const std::string lower = CLI::detail::to_lower(s);
    const auto found = std::find_if(allowed.begin(), allowed.end(), [&](const std::string& a) { return CLI::detail::to_lower(a) == lower; });
    if (found == allowed.end()) return "wanted " + joined + ", found " + s;
    s = *found;
    return std::string();
  }, "", ""));
  tree_->nodes[at_].choices[o] = allowed;
  return *this;
}
Command& Command::flag(const std::string& names, bool& v, const std::string& help) {
  tree_->nodes[at_].app->add_flag(names, v, help);
  return *this;
}
Command& Command::argument(const std::string& name, std::string& v, const std::string& help, bool required) {
  documented(tree_->nodes[at_].app->add_option(name, v, help), "")->required(required);
  return *this;
}
Command& Command::suggest(const std::string& name, Words words) {
  Node& n = tree_->nodes[at_];
  n.suggestions[n.app->get_option(name)] = std::move(words);
  return *this;
}
Command& Command::required(const std::string& name) {
  tree_->nodes[at_].app->get_option(name)->required();
  return *this;
}
Command& Command::range(const std::string& name, double least, double most) {
  tree_->nodes[at_].app->get_option(name)->check(CLI::Validator([least, most](std::string& s) {
    char* end = nullptr;
    const double v = std::strtod(s.c_str(), &end);
    return end != s.c_str() && v >= least && v <= most ? std::string() : fmt::format("wanted {} to {}, found {}", number(least), number(most), s);
  }, "", ""));
  return *this;
}
std::string Command::path() const {
  std::string path;
  for (const CLI::App* a = tree_->nodes[at_].app; a; a = a->get_parent()) path = a->get_name() + (path.empty() ? "" : " " + path);
  return path;
}
bool Command::given(const std::string& name) const { return tree_->nodes[at_].app->get_option(name)->count() > 0; }

VerbInfo Command::describe() const {
  const Node& n = tree_->nodes[at_];
  std::string summary = n.app->get_description();
  VerbInfo v{.name = n.app->get_name(), .summary = summary.substr(0, summary.find('\n')), .about = n.about, .examples = n.examples};
  for (const CLI::Option* o : n.app->get_options()) {
    OptionInfo i{.help = o->get_description(), .required = o->get_required()};
    if (o->get_type_size() != 0) i.value = o->get_type_name(), i.otherwise = o->get_default_str();
    if (auto c = n.choices.find(o); c != n.choices.end()) i.choices = c->second;
    if (auto c = n.suggestions.find(o); c != n.suggestions.end()) i.suggestions = c->second();
    if (o->get_positional()) {
      i.value = o->get_name(true);
      v.arguments.push_back(i);
      continue;
    }
    for (const auto& s : o->get_snames()) i.names.push_back("-" + s);
    for (const auto& s : o->get_lnames()) i.names.push_back("--" + s);
    v.options.push_back(i);
  }
  for (int child : n.verbs) v.verbs.push_back(Command(tree_, child).describe());
  return v;
}

Program::Program(const std::string& name, const std::string& summary, const std::string& version) : tree(std::make_unique<Tree>()),
    root(tree.get(), 0) {
  CLI::App& app = root.tree_->app;
  app.name(name);
  app.description(summary);
  app.formatter(std::make_shared<HelpText>());
  app.get_formatter()->label("SUBCOMMAND", "VERB");
  app.get_formatter()->label("SUBCOMMANDS", "VERB");
  app.set_version_flag("--version", name + " " + version, "print the version and leave");
  app.set_help_flag("-h,--help", "print this text and leave");
  root.tree_->nodes.push_back({.app = &app});
}

Program::~Program() = default;

int Program::run(int argc, char** argv) {
  CLI::App& app = root.tree_->app;
  auto chosen = [&] {
    int at = 0;
    for (bool deeper = true; deeper;) {
      deeper = false;
      for (int child : root.tree_->nodes[at].verbs)
        if (root.tree_->nodes[child].app->parsed()) {
          at = child, deeper = true;
          break;
        }
    }
    return at;
  };
  auto path_of = [&](int at) { return Command(root.tree_, at).path(); };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());          // of the verb that was asked
    return 0;
  } catch (const CLI::CallForVersion& e) {
    fmt::print("{}\n", e.what());
    return 0;
  } catch (const CLI::ParseError& e) {
    const CLI::App& verb = *root.tree_->nodes[chosen()].app;
    std::string meant;
    const auto unknown = verb.remaining();
    const bool wants_verb = !root.tree_->nodes[chosen()].verbs.empty();
    if (!unknown.empty() && (wants_verb || dynamic_cast<const CLI::ExtrasError*>(&e))) meant = meant_by(unknown[0], verb);
    const bool no_verb = wants_verb && !unknown.empty() && !unknown[0].starts_with('-');
    fmt::print(stderr, "{}: {}{} (see {} --help)\n", path_of(chosen()), no_verb ? fmt::format("'{}' is no verb", unknown[0]) : one_line(e.what()),
               meant, path_of(chosen()));
    return 2;
  }
  const int at = chosen();
  if (!root.tree_->nodes[at].action) {
    fmt::print(stderr, "{}", app.help());
    return 2;
  }
  return root.tree_->nodes[at].action();
}

}  // namespace headrace::cli
