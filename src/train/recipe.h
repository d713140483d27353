// A recipe: everything that a training run depends on, as a TOML file says it. Each part lists its keys once, in visit(v), with
// their defaults, ranges and a line of help: the same list reads a recipe, writes it back, and prints the help.
//
//   seed = 1
//   [model]
//   blueprint = "d=256  6*(attn(heads=4) + swiglu)"
//   [data]
//   train = ["stories.txt.zst"]
//   [train]
//   steps = 1000
//
// Unknown keys, wrong types and values out of range are one Error that names the file, the line, the key, what was wanted and found.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/options.h"
#include "nn/value.h"

namespace headrace {

struct ModelPart {
  std::string blueprint, checkpoint, tune;
  int64_t rank;
  double alpha;
  std::vector<std::string> targets;
  void visit(auto& v) {
    v("blueprint", blueprint, "", "a new model; vocab= may be left out, it is the tokenizer's");
    v("checkpoint", checkpoint, "", "or one that there is: a folder, or the name of one that ships");
    v("tune", tune, "full", "what is trained: full, all of it; lora, small products beside matrices; state, the state that sequences begin with",
      Choice{"full", "lora", "state"});
    v("rank", rank, 16, "of lora's products", Range{1, 1 << 16});
    v("alpha", alpha, 32.0, "lora's products are added times alpha / rank", Range{0, 1e6});
    v("targets", targets, "parts of names of the matrices that lora adapts; none: all but embeddings and heads");
  }
};

struct DataFile {
  std::string path, field;
  double weight = 0;                     // 0: its number of tokens
};
struct DataPart {
  std::vector<DataFile> train, valid;
  std::string tokenizer, separator, field;
  int64_t length, batch;
  bool carry;
  void visit(auto& v) {
    v.files("train", train, "files: .txt, .jsonl, token .safetensors, each may end in .zst; or tables {path, weight, field}");
    v.files("valid", valid, "files that are not learned, for the loss on them");
    v("tokenizer", tokenizer, "", "bytes, or a file or folder that has one; none: the checkpoint's, else bytes");
    v("separator", separator, "<|endoftext|>", "a line that ends a document in text files; none: a file is one document");
    v("field", field, "text", "of JSON lines");
    v("length", length, 256, "the longest sequence", Range{1, 1 << 24});
    v("batch", batch, 8, "sequences of that length that a batch has room for", Range{1, 1 << 20});
    v("carry", carry, false, "sequences go on where the batch before ended, with their state (truncated backpropagation through time)");
  }
};

struct OptimizerPart {
  std::string kind;
  double rate, beta1, beta2, eps, decay, momentum;
  std::map<std::string, std::map<std::string, double>> groups;
  void visit(auto& v) {
    v("kind", kind, "adamw", "adamw, or muon for matrices between layers and adamw for the rest", Choice{"adamw", "muon"});
    v("rate", rate, 1e-3, "the highest learning rate", Range{0, 1e3});
    v("beta1", beta1, 0.9, "", Range{0, 0.999999});
    v("beta2", beta2, 0.95, "", Range{0, 0.999999});
    v("eps", eps, 1e-8, "", Range{0, 1});
    v("decay", decay, 0.1, "weight decay, of what the architecture's paper decays", Range{0, 1e3});
    v("momentum", momentum, 0.95, "of muon", Range{0, 0.999999});
    v.groups("groups", groups, "rate and decay of parameters that architectures set apart: [optimizer.groups.state_space]");
  }
};

struct SchedulePart {
  std::string kind;
  double warmup, final, fall;
  void visit(auto& v) {
    v("kind", kind, "cosine", "after the warm-up: cosine, linear, wsd (level, then falling), constant",
      Choice{"cosine", "linear", "wsd", "constant"});
    v("warmup", warmup, 0.02, "share of all steps that the rate rises in", Range{0, 1});
    v("final", final, 0.1, "share of the rate at the end", Range{0, 1});
    v("fall", fall, 0.2, "share of all steps that wsd falls in", Range{0, 1});
  }
};

struct TrainPart {
  int64_t steps, accumulate;
  std::string precision;
  double clip, smoothing, z_loss, balance, dropout, ema;
  bool recompute;
  void visit(auto& v) {
    v("steps", steps, 1000, "of the optimizer", Range{1, 1e12});
    v("accumulate", accumulate, 1, "batches in a step", Range{1, 1 << 20});
    v("precision", precision, "f32", "of what matrix products read: f32, or bf16. Sums, weights, states and the optimizer are f32",
      Choice{"f32", "bf16"});
    v("clip", clip, 1.0, "the largest norm of all gradients together; 0: any", Range{0, 1e12});
    v("smoothing", smoothing, 0.0, "of labels", Range{0, 0.999});
    v("z_loss", z_loss, 0.0, "times the square of the logits' log-sum", Range{0, 1});
    v("balance", balance, 0.01, "times the loss that keeps experts in use", Range{0, 1e3});
    v("dropout", dropout, 0.0, "of sublayers' outputs and the embedding", Range{0, 0.999});
    v("ema", ema, 0.0, "decay of the moving average of parameters, which is what is saved; 0: none", Range{0, 0.999999});
    v("recompute", recompute, false, "layers are computed again in backward: less memory, a third more time");
  }
};

struct SavePart {
  std::string folder, dtype;
  int64_t every;
  void visit(auto& v) {
    v("folder", folder, "", "of the run: the model, its training state, log and curve; none: named as the recipe is");
    v("every", every, 500, "steps; 0: at the end only", Range{0, 1e12});
    v("dtype", dtype, "f32", "of the model that is saved; training goes on in f32", Choice{"f32", "bf16", "f16"});
  }
};

struct ReportPart {
  int64_t every, eval_every, eval_tokens;
  bool tensorboard;
  void visit(auto& v) {
    v("every", every, 10, "steps between lines of the log", Range{1, 1e9});
    v("eval_every", eval_every, 250, "steps between losses on data.valid; 0: at the end only", Range{0, 1e12});
    v("eval_tokens", eval_tokens, 65536, "of data.valid; 0: all of it", Range{0, 1e15});
    v("tensorboard", tensorboard, false, "write TensorBoard's event files too");
  }
};

struct Recipe {
  std::string file;                      // for errors; data's paths are relative to its folder
  int64_t seed;
  ModelPart model;
  DataPart data;
  OptimizerPart optimizer;
  SchedulePart schedule;
  TrainPart train;
  SavePart save;
  ReportPart report;
  void visit(auto& v) {
    v("seed", seed, 1, "of parameters, the order of data, and dropout", Range{0, 1e15});
    v.part("model", model), v.part("data", data), v.part("train", train), v.part("optimizer", optimizer), v.part("schedule", schedule);
    v.part("save", save), v.part("report", report);
  }
};

// sets: "optimizer.rate=1e-3", taken after the file.
Recipe read_recipe(const std::string& path, const std::vector<std::string>& sets = {});
Recipe parse_recipe(std::string_view toml, const std::string& file, const std::vector<std::string>& sets = {});
Value to_value(const Recipe& r);         // all keys
std::string recipe_help();               // a line a key
// Keys that differ, for a run that is gone on with: those that may not.
std::vector<std::string> differences(const Value& before, const Value& now);

}  // namespace headrace
