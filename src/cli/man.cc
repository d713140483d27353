// The manual page, from the tree of verbs.
#include <fmt/core.h>

#include "cli/common.h"
#include "cli/verbs.h"

namespace headrace::cli {
namespace {

// Text for roff: backslashes and minus signs escaped, no line that begins with a control character.
std::string roff(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else if (c == '/' || c == '|') out += std::string(1, c) + "\\:";   // a long word may break here
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += std::string("\\&") + c;
    else out += c;
  }
  return out;
}
void options(const std::vector<OptionInfo>& all, std::string& out) {
  for (const auto& o : all) {
    std::string names;
    for (const auto& n : o.names) names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(n));
    if (o.names.empty()) names = fmt::format("\\fI{}\\fR", roff(o.value));
    else if (!o.value.empty()) names += fmt::format(" \\fI{}\\fR", roff(o.value));
    out += fmt::format(".TP\n{}\n{}{}{}\n", names, roff(o.help), o.otherwise.empty() ? "" : fmt::format(" (default {})", roff(o.otherwise)),
        o.required ? "; must be given" : "");
  }
}
void verb(const VerbInfo& v, const std::string& path, std::string& out) {
  out += fmt::format(".SS \"{}\"\n{}.\n", roff(path), roff(v.summary));
  if (!v.about.empty()) out += fmt::format(".PP\n{}\n", roff(v.about));
  options(v.arguments, out);
  options(v.options, out);
  for (const auto& e : v.examples) out += fmt::format(".PP\nExample: {}\n.PP\n.nf\n.RS\n{}\n.RE\n.fi\n", roff(e.what), roff(e.command));
  for (const auto& child : v.verbs) verb(child, path + " " + child.name, out);
}

std::string page(const VerbInfo& root) {
  std::string out = fmt::format(".TH {} 1 \"\" \"{} {}\" \"User Commands\"\n.ad l\n.SH NAME\n{} \\- {}\n", "HEADRACE", root.name, HEADRACE_VERSION,
      root.name, roff(root.summary));
  out += fmt::format(".SH SYNOPSIS\n.B {}\n\\fIVERB\\fR [\\fIMODEL\\fR] [\\fIoptions\\fR]\n.SH DESCRIPTION\n"
                     "MODEL is a folder (Hugging Face layout), a .gguf, a .pth or .safetensors of RWKV, or the name of a model that ships; "
                     "{} stands in where a verb lets it be left out.\n"
                     ".SH OPTIONS\n", root.name, default_model);
  options(root.options, out);
  out += ".SH VERBS\n";
  for (const auto& v : root.verbs) verb(v, v.name, out);
  out += ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nfailed; one line on standard error says what and where\n.TP\n2\nusage\n"
         ".SH ENVIRONMENT\n.TP\nHEADRACE_ASSETS\nthe folder of the models that ship\n.TP\nHEADRACE_INSTRUCTIONS\n"
         "avx2, avx512 or amx: the instructions of the CPU's kernels, where the best of the machine are not wanted\n"
         ".TP\nNO_COLOR\nno colour on a terminal\n"
         ".TP\nXDG_STATE_HOME\nwhere the history of the chat is kept (headrace/history)\n";
  return out;
}

}  // namespace

void add_man(Command& root) {
  Command c = root.verb("man", "print the manual page");
  auto json = std::make_shared<bool>(false);
  c.flag("--json", *json, "print one JSON object");
  c.example("headrace man | man -l -", "reads it");
  c.action([json, root] {
    const std::string roff = page(root.describe());
    if (*json) print_json(Object{{"page", roff}});
    else fmt::print("{}", roff);
    return 0;
  });
}

}  // namespace headrace::cli
