// The run: what train.h promises, in the order in which it happens.
#include "train/train.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/quota.h"
#include "io/safetensors.h"
#include "tensor/blocks.h"
#include "run/load.h"
#include "run/open_tokenizer.h"
#include "text/bpe_train.h"
#include "train/log.h"
#include "train/saved_run.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
void write_text(const std::string& path, const std::string& bytes) {
  write_atomic(path, [&](const Sink& sink) { sink(bytes.data(), bytes.size()); });
}

// A tokenizer and the files that make a folder open with it.
struct Vocabularies {
  Tokenizer tokenizer;
  std::vector<std::pair<std::string, std::string>> files;
  int32_t end = -1;                      // ends a document; below 0: none
};
Vocabularies open_vocabulary(const std::string& path, const std::string& assets) {
  const auto from_json = [](const std::string& json, const std::string& file, const std::string& config) {
    return Vocabularies{Tokenizer::from_tokenizer_json(json, file, config), {{"tokenizer.json", json}, {"tokenizer_config.json", config}}};
  };
  Vocabularies v = [&] {
    if (path == "bytes") return from_json(tokenizer_json({}), "tokenizer.json", tokenizer_config_json());
    expect(file_exists(path), path, ": no such file or folder; data.tokenizer wants bytes, or a file or folder that has one");
    if (is_folder(path)) {
      Vocabularies all{open_tokenizer(path, assets), {}};
      for (const char* name : tokenizer_files)
        if (file_exists(path + "/" + name)) all.files.emplace_back(name, read_text(path + "/" + name));
      expect(!all.files.empty(), path, ": its tokenizer is in no file that can be saved with the model");
      return all;
    }
    if (path.ends_with(".json")) {
      const std::string beside = fs::path(path).parent_path().string() + "/tokenizer_config.json";
      Vocabularies all = from_json(read_text(path), path, file_exists(beside) ? read_text(beside) : tokenizer_config_json());
      return all;
    }
    const char* name = path.ends_with(".model") ? "tokenizer.model" : path.ends_with(".txt") ? "rwkv_vocab_v20230424.txt" : nullptr;
    expect(name, path, ": data.tokenizer wants bytes, a folder, tokenizer.json, SentencePiece's .model or RWKV's .txt");
    return Vocabularies{open_tokenizer(path, assets), {{name, read_text(path)}}};
  }();
  if (v.tokenizer.eos()) v.end = *v.tokenizer.eos();
  else if (const auto found = v.tokenizer.find("<|endoftext|>")) v.end = *found;
  return v;
}

class Run {
 public:
  Run(const Recipe& recipe, const TrainOptions& options, const TrainHooks& hooks) : recipe_(recipe), options_(options), hooks_(hooks) {
    folder_ = !options.folder.empty() ? options.folder : !recipe.save.folder.empty() ? recipe.save.folder : fs::path(recipe.file).stem().string();
    checkpoint_ = recipe.model.checkpoint.empty() ? "" : model_folder();
    std::error_code none;
    expect(checkpoint_.empty() || !fs::equivalent(folder_, checkpoint_, none), folder_,
           ": is model.checkpoint itself, which the run would write over; --out FOLDER elsewhere");
    doing("reading the tokenizer");
    const std::string& given = recipe.data.tokenizer;
    const std::string own = checkpoint_.empty() ? "bytes" : checkpoint_;
    words_ = open_vocabulary(given.empty() ? own : given == "bytes" ? given : place(given), options.assets);
    doing("reading data");
    for (const DataFile& f : recipe.data.train) files_.push_back(read(f));
    for (const DataFile& f : recipe.data.valid) valid_files_.push_back(read(f));
    for (const Documents& d : files_) documents_ += d.count();
    stream_.emplace(std::move(files_), recipe.data, static_cast<uint64_t>(recipe.seed));
    valid_ = in_order(valid_files_, recipe.data, recipe.report.eval_tokens);
    for (const Packed& p : valid_)
      for (int32_t t : p.targets) valid_bytes_ += words_.tokenizer.is_special(t) ? 0 : static_cast<double>(words_.tokenizer.piece(t).size());
  }

  Trained operator()() {
    const int64_t tokens = recipe_.data.batch * recipe_.data.length;
    expect(check_memory(static_cast<size_t>(tokens) * 16), recipe_.file, ": a batch of ", tokens, " tokens is more than the memory holds");
    const Outlook seen = look_ahead();
    const bool fits = check_memory(seen.bytes);
    doing("making the model");
    trainer_.emplace(learner(fits ? options_.device : Device::meta), recipe_);
    check_decoder();
    if (!options_.plan) hold_folder();
    if (fits) resume();
    Opening o{.folder = folder_, .outlook = seen, .documents = documents_, .tokens = stream_->tokens(), .tokens_a_step = tokens_a_step()};
    o.from_step = trainer_->steps();
    const double left = static_cast<double>(recipe_.train.steps - o.from_step);
    o.epochs = left * static_cast<double>(o.tokens_a_step) / static_cast<double>(o.tokens);
    o.seconds = left > 0 && fits ? left * seconds_of_a_step() : 0;
    if (hooks_.opened) hooks_.opened(o);
    Trained result{.folder = folder_};
    if (options_.plan) return result;
    if (trainer_->steps() == 0) fs::remove(folder_ + "/" + initial_state_file);   // of another run, whose model this one is not
    log_.emplace(folder_ + "/log.jsonl", o.from_step);
    if (recipe_.report.tensorboard) events_.emplace(folder_);
    run(result);
    return result;
  }

 private:
  void doing(const char* what) const {
    if (hooks_.doing) hooks_.doing(what);
  }
  std::string place(const std::string& path) const {             // relative to the recipe
    if (path.empty() || path[0] == '/') return path;
    return (fs::path(recipe_.file).parent_path() / path).string();
  }
  std::string model_folder() const {
    const std::string given = place(recipe_.model.checkpoint), shipped = options_.assets + "/" + recipe_.model.checkpoint;
    const bool ships = !file_exists(given) && !options_.assets.empty() && is_folder(shipped);
    expect(ships || is_folder(given), recipe_.file, ": model.checkpoint: ", given, file_exists(given) ? " is no folder" : ": no such folder",
           "; wanted one with config.json and safetensors, or the name of a model that ships");
    return ships ? shipped : given;
  }
  Documents read(const DataFile& f) const { return read_documents(place(f.path), f, recipe_.data, words_.tokenizer, words_.end); }
  int64_t tokens_a_step() const {
    const int64_t lanes = recipe_.data.carry ? recipe_.data.batch : 1, all = recipe_.data.batch * recipe_.data.length;
    return all / lanes * lanes * recipe_.train.accumulate;
  }

  Learner learner(Device device) const {
    const ModelPart& m = recipe_.model;
    const auto seed = static_cast<uint64_t>(recipe_.seed);
    Learner l = checkpoint_.empty() ? new_learner(m.blueprint, words_.tokenizer.size(), seed, device) : learner_of(checkpoint_, device);
    if (m.tune == "lora") adapt(l, m.rank, m.alpha, m.targets, seed);
    if (m.tune == "state") tune_state(l);
    return l;
  }
  void check_decoder() const {
    const Decoder d = trainer_->learner().bind().decoder;
    const int tokens = words_.tokenizer.size();
    expect(tokens <= d.vocab, recipe_.file, ": the tokenizer has ", tokens, " tokens, the model's vocabulary ", d.vocab);
    expect(d.sees_later.empty(), recipe_.file, ": ", d.sees_later, " sees later tokens, the next one among them, which it is to learn");
  }
  Outlook look_ahead() const {
    doing("looking ahead");
    begin_memory_plan();
    return outlook(learner(Device::meta), recipe_);
  }
  // A plan only says what would be needed; false: there is not so much.
  bool check_memory(size_t bytes) const {
    const size_t has = options_.device == Device::cpu ? available_memory() : 0;
    const bool fits = has == 0 || bytes <= has;
    expect(fits || options_.plan, recipe_.file, ": a step needs about ", bytes >> 20, " MiB, and ", has >> 20, " MiB are available; less data.batch "
           "or data.length, train.accumulate in their place, or train.recompute = true need less");
    return fits;
  }
  double seconds_of_a_step() {                                   // backward is two passes more
    const std::vector<int64_t> place = stream_->position();
    const Packed p = stream_->next();
    stream_->seek(place);
    trainer_->score({&p, 1});
    const double begin = now();
    trainer_->score({&p, 1});
    return 3 * (now() - begin) * static_cast<double>(recipe_.train.accumulate);
  }

  std::string state_file() const { return folder_ + "/training.safetensors"; }
  // Before anything of it is read. What no run left there is nobody's to write over.
  void hold_folder() {
    make_folder(folder_);
    held_.emplace(folder_);
    if (!options_.restart && !file_exists(state_file())) {
      std::vector<std::string> a_models(std::begin(tokenizer_files), std::end(tokenizer_files));
      a_models.insert(a_models.end(), {"model.safetensors", "model.safetensors.index.json"});
      for (const std::string& name : a_models)
        expect(!file_exists(folder_ + "/" + name), folder_, ": has a ", name, ", and no run that could be gone on with; --out FOLDER elsewhere, or "
               "--restart to write over it");
    }
    check_writable(state_file());
    for (const auto& e : fs::directory_iterator(folder_))            // what a kill left half written
      for (const char* name : {"training.safetensors.tmp-", "model.safetensors.tmp-", "log.jsonl.tmp-", "config.json.tmp-", "loss.svg.tmp-",
                               "initial.state.tmp-"})
        if (e.path().filename().string().starts_with(name)) fs::remove(e.path());
  }
  void resume() {
    if (options_.restart || !file_exists(state_file())) return;
    const std::string path = state_file();
    const SafetensorsFile file(path);
    const std::vector<std::string> other = other_recipe(file, path, recipe_);
    if (options_.plan && !other.empty()) return;                 // of a run that would be another
    std::string list;
    for (const std::string& d : other) list += (list.empty() ? "" : "; ") + d;
    expect(other.empty(), folder_, ": was trained by another recipe: ", list, "; --restart begins anew, --out FOLDER elsewhere");
    const Spent spent = restore_run(file, path, *trainer_, *stream_);
    done_ = spent.tokens, seconds_before_ = spent.seconds;
    if (!options_.plan && trainer_->steps() == recipe_.train.steps) save_model();  // a kill may have come between the two
  }

  void save() {
    trainer_->check_finite();
    save_run(state_file(), *trainer_, *stream_, recipe_, {done_, seconds()});
    saved_ = trainer_->steps();
    save_model();
  }
  void save_model() const {
    const Learner& l = trainer_->learner();
    Object config = *l.config.get<Object>();
    config["torch_dtype"] = recipe_.save.dtype == "f32" ? "float32" : recipe_.save.dtype == "bf16" ? "bfloat16" : "float16";
    if (!config.contains("eos_token_id") && words_.end >= 0) config["eos_token_id"] = int64_t{words_.end};
    if (!config.contains("vocab_size")) config["vocab_size"] = int64_t{l.bind().decoder.vocab};
    std::vector<NamedTensor> tensors;
    const DType dtype = dtype_from_name(recipe_.save.dtype);
    for (auto& [name, t] : l.model_tensors(trainer_->averaged())) {
      Tensor x = copy_to(t, Device::cpu);
      if (dtype != DType::f32 && x.rank() > 1) {
        Tensor y = Tensor::empty(x.shape(), dtype);
        const int64_t cols = x.dim(-1);
        for (int64_t r = 0; r < x.count() / std::max<int64_t>(cols, 1); ++r)
          quantise_row(dtype, x.f32() + r * cols, y.data<std::byte>() + bytes_of(dtype, r * cols), cols);
        x = y;
      }
      tensors.emplace_back(name, x);
    }
    write_safetensors(folder_ + "/model.safetensors", tensors, {{"format", "pt"}});
    write_text(folder_ + "/config.json", to_json(config, 2) + "\n");
    fs::remove(folder_ + "/model.safetensors.index.json");          // another run's would be read in this one's place
    for (const char* name : tokenizer_files) {                      // and so would these
      const std::string path = folder_ + "/" + name;
      const auto own = std::find_if(words_.files.begin(), words_.files.end(), [&](const auto& f) { return f.first == name && !f.second.empty(); });
      if (own == words_.files.end()) fs::remove(path);
      else if (!file_exists(path) || read_text(path) != own->second) write_text(path, own->second);
    }
    if (!l.initial_state().layers.empty()) save_initial_state();
  }
  void save_initial_state() const {
    const Loaded model = open_model(folder_, {.assets = options_.assets, .initial_state = false});
    State s = trainer_->learner().initial_state();
    if (!trainer_->learner().initial.empty()) {                    // averages, where they are what is saved
      const std::vector<Tensor> values = trainer_->averaged();
      for (const Learner::InitialSlot& i : trainer_->learner().initial) s.layers[static_cast<size_t>(i.layer)].at(i.name).value = values[i.parameter];
    }
    std::map<std::string, std::string> notes;
    if (recipe_.model.tune == "state") notes[tuned_in_note] = open_model(checkpoint_, {.device = Device::meta, .assets = options_.assets}).hash();
    save_state(folder_ + "/" + initial_state_file, s, identity(model), {}, notes);
  }
  void draw() const {
    const std::string svg = curve_svg(fs::path(folder_).filename().string() + ": loss in nats a token", log_->series({"loss", "valid_loss"}));
    write_text(folder_ + "/loss.svg", svg);
  }
  double seconds() const { return seconds_before_ + (begin_ > 0 ? now() - begin_ : 0); }

  Scored score() {
    const Trainer::Score s = trainer_->score(valid_);
    expect(std::isfinite(s.loss), "step ", trainer_->steps(), ": the loss on data.valid is ", s.loss);
    Scored out{trainer_->steps(), s.loss};
    if (valid_bytes_ > 0) out.bits_per_byte = s.loss * static_cast<double>(s.tokens) / std::numbers::ln2 / valid_bytes_;
    note({{"step", static_cast<double>(out.step)}, {"valid_loss", out.loss}, {"bits_per_byte", out.bits_per_byte}});
    if (hooks_.scored) hooks_.scored(out);
    return out;
  }
  void note(const std::map<std::string, double>& values) {
    log_->add(values);
    if (!events_) return;
    for (const auto& [key, v] : values)
      if (key != "step") events_->scalar(key, v, static_cast<int64_t>(values.at("step")));
  }

  void run(Trained& result) {
    begin_ = now();
    double sum = 0, since = now();
    int64_t count = 0, tokens = 0;
    const int64_t first = trainer_->steps(), steps = recipe_.train.steps;
    saved_ = first > 0 ? first : -1;
    try {
      while (trainer_->steps() < steps) {
        std::vector<Packed> batches;
        for (int64_t i = 0; i < recipe_.train.accumulate; ++i) batches.push_back(stream_->next());
        const Lesson lesson = trainer_->step(batches);
        for (const Packed& p : batches) done_ += p.tokens(), tokens += p.tokens();
        sum += lesson.loss, ++count, result.loss = lesson.loss;
        const double rate = static_cast<double>(tokens) / std::max(1e-9, now() - since);
        const double each = (now() - begin_) / static_cast<double>(trainer_->steps() - first);
        if (hooks_.stepped)
          hooks_.stepped({lesson, steps, done_, rate, each * static_cast<double>(steps - trainer_->steps()), seconds()});
        if (lesson.step % recipe_.report.every == 0 || lesson.step == steps) {
          note({{"step", static_cast<double>(lesson.step)}, {"loss", sum / static_cast<double>(count)}, {"norm", lesson.norm}, {"rate", lesson.rate},
                {"tokens", static_cast<double>(done_)}, {"seconds", seconds()}, {"tokens_per_second", rate}});
          sum = 0, count = 0, tokens = 0, since = now();
        }
        const bool over = lesson.step == steps, stop = !over && hooks_.stop && hooks_.stop();
        if (!valid_.empty() && (over || (recipe_.report.eval_every > 0 && lesson.step % recipe_.report.eval_every == 0))) result.last = score();
        if (over || stop || (recipe_.save.every > 0 && lesson.step % recipe_.save.every == 0)) save(), draw();
        if (stop) break;
      }
    } catch (const Error& e) {
      if (saved_ < 0) fail(e.what(), "; nothing was saved before");
      fail(e.what(), "; ", folder_, " has the run as it was after step ", saved_);
    }
    result.steps = trainer_->steps(), result.complete = trainer_->steps() >= steps;
  }

  Recipe recipe_;
  TrainOptions options_;
  const TrainHooks& hooks_;
  std::string folder_, checkpoint_;
  Vocabularies words_{Tokenizer::bytes(), {}};
  std::vector<Documents> files_, valid_files_;
  int64_t documents_ = 0, done_ = 0, saved_ = -1;
  double valid_bytes_ = 0, begin_ = 0, seconds_before_ = 0;
  std::optional<Stream> stream_;
  std::vector<Packed> valid_;
  std::optional<Trainer> trainer_;
  std::optional<HeldFolder> held_;
  std::optional<RunLog> log_;
  std::optional<EventFile> events_;
};

}  // namespace

Trained train(const Recipe& recipe, const TrainOptions& options, const TrainHooks& hooks) { return Run(recipe, options, hooks)(); }

}  // namespace headrace
