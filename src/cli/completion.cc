// Completion scripts for bash, zsh and fish, from the tree of verbs.
#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"

namespace headrace::cli {
namespace {

// For single quotes in a shell; zsh's specifications also take : [ ] as their own.
std::string shell_quoted(const std::string& s, bool zsh = false) {
  std::string out;
  for (char c : s) {
    if (c == '\'') out += "'\\''";
    else if (zsh && (c == ':' || c == '[' || c == ']')) out += std::string("\\") + c;
    else out += c;
  }
  return out;
}
std::string fish_quoted(const std::string& s) {
  std::string out;
  for (char c : s) out += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out;
}
std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string s;
  for (const auto& w : words) s += (s.empty() ? "" : between) + w;
  return s;
}
bool is_file(const OptionInfo& o) { return o.value == "FILE" || o.value == "OUT" || o.value == "OTHER"; }
bool takes_file(const OptionInfo& argument) {
  for (const char* value : {"MODEL", "WHAT", "IN", "INPUT", "OUTPUT"})
    if (argument.value == value) return true;
  return is_file(argument);
}
// What an argument must be, or may be.
std::vector<std::string> words_of(const OptionInfo& argument) {
  if (!argument.choices.empty()) return argument.choices;
  return argument.value == "MODEL" ? shipped_models() : argument.suggestions;
}
std::vector<std::string> words_of(const VerbInfo& v) {
  std::vector<std::string> all;
  for (const auto& child : v.verbs) all.push_back(child.name);
  for (const auto& o : v.options) all.insert(all.end(), o.names.begin(), o.names.end());
  for (const auto& a : v.arguments)
    for (const auto& w : words_of(a)) all.push_back(w);
  return all;
}

// One case a verb path: what may follow a given option, else words and files, one a line, for a name may have spaces in it.
void bash(const VerbInfo& v, const std::string& path, std::string& out) {
  out += fmt::format("    '{}')\n      case \"$before\" in\n", path);
  for (const auto& o : v.options) {
    if (o.value.empty()) continue;
    const std::string reply = !o.choices.empty() ? fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", shell_quoted(joined(o.choices, "\n")))
                              : is_file(o)       ? "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$word\"))"
                                                 : "COMPREPLY=()";
    out += fmt::format("        {}) {}; return ;;\n", joined(o.names, "|"), reply);
  }
  const bool files = std::ranges::any_of(v.arguments, takes_file);
  out += fmt::format("      esac\n      {}COMPREPLY=($(compgen -W '{}' -- \"$word\"){}) ;;\n", files ? "compopt -o filenames 2>/dev/null; " : "",
                     shell_quoted(joined(words_of(v), "\n")), files ? "\n        $(compgen -f -- \"$word\")" : "");
  for (const auto& child : v.verbs) bash(child, path.empty() ? child.name : path + " " + child.name, out);
}
std::string bash_script(const VerbInfo& root) {
  std::string cases, parents;
  bash(root, "", cases);
  for (const auto& v : root.verbs)
    if (!v.verbs.empty()) {
      std::vector<std::string> names;
      for (const auto& c : v.verbs) names.push_back(c.name);
      parents += fmt::format("  if [ \"$verb\" = '{0}' ]; then case \"${{COMP_WORDS[2]}}\" in {1}) [ \"$COMP_CWORD\" -gt 2 ] && verb=\"{0} "
                             "${{COMP_WORDS[2]}}\" ;; esac; fi\n",
                             v.name, joined(names, "|"));
    }
  return fmt::format(
      "# bash completion for {0}: source <({0} completion bash)\n_{0}() {{\n  local IFS=$'\\n' word=\"${{COMP_WORDS[COMP_CWORD]}}\" "
      "before=\"${{COMP_WORDS[COMP_CWORD-1]}}\" verb=''\n"
      "  COMPREPLY=()\n  [ \"$COMP_CWORD\" -gt 1 ] && verb=\"${{COMP_WORDS[1]}}\"\n{1}  case \"$verb\" in\n{2}  esac\n}}\n"
      "complete -o bashdefault -F _{0} {0}\n",
      root.name, parents, cases);
}

std::string zsh_specs(const VerbInfo& v) {
  std::string out;
  for (const auto& o : v.options) {
    std::string action;
    if (!o.value.empty()) action = fmt::format(":{}:{}", shell_quoted(o.value, true), !o.choices.empty() ? "(" + joined(o.choices) + ")" : is_file(o)
        ? "_files" : "");
    for (const auto& n : o.names) out += fmt::format(" \\\n        '*{}[{}]{}'", n, shell_quoted(o.help, true), action);
  }
  for (const auto& a : v.arguments) {
    const std::string words = joined(words_of(a));
    const std::string action = words.empty() ? (takes_file(a) ? "_files" : "")
                               : takes_file(a) ? "{ _files; compadd " + words + " }" : "(" + words + ")";
    out += fmt::format(" \\\n        ':{}:{}'", shell_quoted(a.value, true), action);
  }
  return out;
}
void zsh(const VerbInfo& v, const std::string& function, std::string& out) {
  for (const auto& child : v.verbs) zsh(child, function + "_" + child.name, out);
  out += fmt::format("{}() {{\n", function);
  if (v.verbs.empty()) {
    out += fmt::format("  _arguments -s{}\n}}\n", zsh_specs(v));
    return;
  }
  out += "  local -a verbs; local line state\n  verbs=(\n";
  for (const auto& child : v.verbs) out += fmt::format("    '{}:{}'\n", child.name, shell_quoted(child.summary, true));
  out += fmt::format("  )\n  _arguments -C{} \\\n        '1: :->verb' '*::argument:->argument'\n", zsh_specs({.options = v.options}));
  out += "  case $state in\n    verb) _describe verb verbs ;;\n    argument)\n      case $line[1] in\n";
  for (const auto& child : v.verbs) out += fmt::format("        {0}) {1}_{0} ;;\n", child.name, function);
  out += "      esac ;;\n  esac\n}\n";
}
std::string zsh_script(const VerbInfo& root) {
  std::string out = fmt::format("#compdef {0}\n# zsh completion: {0} completion zsh > a file _{0} in a folder of $fpath\n", root.name);
  zsh(root, "_" + root.name, out);
  return out + fmt::format("if [ \"$funcstack[1]\" = _{0} ]; then _{0} \"$@\"; else compdef _{0} {0}; fi\n", root.name);
}

void fish(const std::string& program, const VerbInfo& v, const std::string& condition, std::string& out) {
  const std::string begin = fmt::format("complete -c {} -n '{}'", program, fish_quoted(condition));
  for (const auto& child : v.verbs) out += fmt::format("{} -f -a {} -d '{}'\n", begin, child.name, fish_quoted(child.summary));
  for (const auto& o : v.options) {
    out += begin;
    for (const auto& n : o.names) out += n.starts_with("--") ? " -l " + n.substr(2) : " -s " + n.substr(1);
    if (!o.value.empty()) out += !o.choices.empty() ? fmt::format(" -x -a '{}'", joined(o.choices)) : is_file(o) ? " -r" : " -x";
    out += fmt::format(" -d '{}'\n", fish_quoted(o.help));
  }
  for (const auto& a : v.arguments)
    if (const std::string words = joined(words_of(a)); !words.empty())
      out += fmt::format("{}{} -a '{}'\n", begin, takes_file(a) ? "" : " -f", words);
}
std::string fish_script(const VerbInfo& root) {
  std::string out = fmt::format("# fish completion: {0} completion fish > ~/.config/fish/completions/{0}.fish\n", root.name);
  fish(root.name, root, "__fish_use_subcommand", out);
  for (const auto& v : root.verbs) {
    std::vector<std::string> children;
    for (const auto& c : v.verbs) children.push_back(c.name);
    const std::string here = "__fish_seen_subcommand_from " + v.name;
    fish(root.name, v, children.empty() ? here : here + "; and not __fish_seen_subcommand_from " + joined(children), out);
    for (const auto& c : v.verbs) fish(root.name, c, here + "; and __fish_seen_subcommand_from " + c.name, out);
  }
  return out;
}

}  // namespace

void add_completion(Command& root) {
  auto shell = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  Command c = root.verb("completion", "print a completion script for a shell");
  c.argument("SHELL", *shell, "bash, zsh or fish").choices("SHELL", {"bash", "zsh", "fish"});
  c.flag("--json", *json, "print one JSON object");
  c.example("source <(headrace completion bash)", "completes verbs, options and models in this shell");
  c.action([shell, json, root] {
    const VerbInfo tree = root.describe();
    const std::string script = *shell == "bash" ? bash_script(tree) : *shell == "zsh" ? zsh_script(tree) : fish_script(tree);
    if (*json) print_json(Object{{"shell", *shell}, {"script", script}});
    else fmt::print("{}", script);
    return 0;
  });
}

}  // namespace headrace::cli
