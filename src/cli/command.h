// The tree of verbs and their options, declared once: parsing, --help, completion scripts and the manual page are all
// made from it. CLI11 stays behind command.cc.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::cli {

struct Tree;

// What completion and the manual need to know of a verb.
struct OptionInfo {
  std::vector<std::string> names;        // "-n", "--tokens"; empty for an argument
  std::string value;                     // "N", "FILE", "MODEL"; empty for a flag
  std::string otherwise;                 // the default, as text
  std::string help;
  std::vector<std::string> choices;      // it must be one of them
  std::vector<std::string> suggestions;  // it may be one of them
  bool required = false;
};
struct Example {
  std::string command, what;
};
struct VerbInfo {
  std::string name, summary, about;
  std::vector<OptionInfo> arguments, options;
  std::vector<Example> examples;
  std::vector<VerbInfo> verbs;
};

class Command {
 public:
  using Action = std::function<int()>;   // gives the exit code
  using Words = std::function<std::vector<std::string>()>;   // asked where they are shown, not at each start

  Command verb(const std::string& name, const std::string& summary);
  Command& about(const std::string& text);                                   // a paragraph below the summary
  Command& example(const std::string& command, const std::string& what);
  Command& action(Action f);
  // names: "-n,--tokens"; value: what stands in --help for the value. The variable's value is the default.
  Command& option(const std::string& names, std::string& v, const std::string& value, const std::string& help);
  Command& option(const std::string& names, int64_t& v, const std::string& value, const std::string& help);   // decimal
  Command& option(const std::string& names, double& v, const std::string& value, const std::string& help);
  Command& option(const std::string& names, std::vector<std::string>& v, const std::string& value, const std::string& help);
  Command& choice(const std::string& names, std::string& v, const std::vector<std::string>& choices, const std::string& help);
  Command& flag(const std::string& names, bool& v, const std::string& help);
  Command& argument(const std::string& name, std::string& v, const std::string& help, bool required = true);
  Command& choices(const std::string& name, const std::vector<std::string>& choices);   // of an argument
  Command& suggest(const std::string& name, Words words);                    // for completion: what an argument may be
  Command& required(const std::string& name);                                // an option that must be given
  Command& range(const std::string& name, double least, double most);

  VerbInfo describe() const;
  std::string path() const;                                                  // "headrace state save"
  bool given(const std::string& name) const;                                 // after parsing

 private:
  friend struct Program;
  Command(Tree* tree, int at) : tree_(tree), at_(at) {}
  Tree* tree_;                           // the program's
  int at_;
};

struct Program {
  Program(const std::string& name, const std::string& summary, const std::string& version);
  ~Program();
  std::unique_ptr<Tree> tree;
  Command root;
  int run(int argc, char** argv);        // parses and acts: 0 done, 1 failed, 2 usage
};

}  // namespace headrace::cli
