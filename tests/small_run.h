// A text and a recipe that trains on it in under a second.
#pragma once
#include <string>

namespace headrace {

inline std::string small_text() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the cat sat on the mat and saw " + std::to_string(i * i) + " birds\n<|endoftext|>\n";
  return text;
}
// Saved and reported every so many steps; scored: on the same text, at the end.
inline std::string small_recipe(int steps, int every, bool scored) {
  const std::string often = "every = " + std::to_string(every) + "\n";
  return std::string("[model]\nblueprint = \"d=32  attn(heads=2) + swiglu, mamba\"\n[data]\ntrain = [\"text.txt\"]\n") +
         (scored ? "valid = [\"text.txt\"]\n" : "") + "length = 32\nbatch = 4\n[train]\nsteps = " + std::to_string(steps) +
         "\ndropout = 0.1\nema = 0.9\n[optimizer]\nrate = 0.01\n[save]\n" + often + "[report]\n" + often + (scored ? "eval_every = 0\n" : "");
}

}  // namespace headrace
