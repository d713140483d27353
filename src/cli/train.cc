// headrace train: a training run from a recipe (train/train.h), its prospects, a live line, and what it left.
#include <fmt/core.h>

#include <cmath>

#include "base/error.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/verbs.h"
#include "ops/kernels.h"
#include "train/train.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string recipe, folder;
  std::vector<std::string> sets;
  bool restart = false, plan = false, keys = false;
};

std::string time_text(double s) {
  if (s < 90) return fmt::format("{:.0f} s", s);
  if (s < 5400) return fmt::format("{:.0f} min {:02.0f} s", std::floor(s / 60), std::fmod(s, 60));
  return fmt::format("{:.0f} h {:02.0f} min", std::floor(s / 3600), std::floor(std::fmod(s, 3600) / 60));
}
std::string share_text(double x) { return x > 0.9995 || x == 0 ? fmt::format("{:.0f} %", 100 * x) : fmt::format("{:.2g} %", 100 * x); }

// The line that moves on a terminal; elsewhere a line every few seconds. All on stderr.
class View {
 public:
  explicit View(bool quiet) : quiet_(quiet), terminal_(on_terminal(stderr)) {}
  ~View() { clear(); }
  void opened(const Opening& o, Device device) {
    steps_ = o.outlook.flops;
    if (quiet_) return;
    fmt::print(stderr, "{}: {} parameters; {} of them and {} of {} layers receive gradient\n", o.folder,
               count_text(static_cast<double>(o.outlook.parameters)), share_text(o.outlook.share_reached),
               o.outlook.layers_reached, o.outlook.layers);
    fmt::print(stderr, "data: {} tokens in {} documents; a step reads {}, {:.3g} epochs are left\n", count_text(static_cast<double>(o.tokens)),
               o.documents, o.tokens_a_step, o.epochs);
    fmt::print(stderr, "memory: about {}; time left: about {}{}\n", bytes_text(static_cast<double>(o.outlook.bytes)), time_text(o.seconds),
               o.from_step > 0 ? fmt::format(", going on after step {}", o.from_step) : "");
    if (terminal_)
      if (const Kernels& k = kernels(device); k.peak) peak_ = k.peak().f32_flops;
  }
  void stepped(const Moment& m) {
    const double at = clock_.seconds();
    if (quiet_ || (at - drawn_ < (terminal_ ? 0.1 : 5) && m.lesson.step < m.steps)) return;
    drawn_ = at, shown_ = true;
    const double step_seconds = (m.seconds - seconds_) / static_cast<double>(std::max<int64_t>(1, m.lesson.step - step_));
    const std::string peak = peak_ > 0 && step_ > 0 ? fmt::format("  {:.0f} % of peak", 100 * steps_ / step_seconds / peak_) : "";
    seconds_ = m.seconds, step_ = m.lesson.step;
    const std::string line = fmt::format("step {} of {}  loss {:.4f}  rate {:.2g}  norm {:.3g}  {:.0f} tokens/s{}  {} left", m.lesson.step, m.steps,
                                         m.lesson.loss, m.lesson.rate, m.lesson.norm, m.tokens_per_second, peak, time_text(m.seconds_left));
    if (terminal_) fmt::print(stderr, "\r{}\033[K", line);
    else fmt::print(stderr, "{}\n", line);
  }
  void say(const std::string& line) {
    clear();
    if (!quiet_) fmt::print(stderr, "{}\n", line);
  }

 private:
  void clear() {
    if (terminal_ && shown_) fmt::print(stderr, "\n");
    shown_ = false;
  }
  bool quiet_, terminal_, shown_ = false;
  double drawn_ = -10, peak_ = 0, steps_ = 0, seconds_ = 0;
  int64_t step_ = 0;
  Clock clock_;
};

int act(const Options& o, const Command& c) {
  if (o.keys) {
    fmt::print("{}", recipe_help());
    return 0;
  }
  if (o.recipe.empty()) return usage(c, "RECIPE is missing");
  const Device device = o.common.apply();
  const Recipe recipe = read_recipe(o.recipe, o.sets);
  catch_interrupts(), catch_endings();
  View view(o.common.json);
  TrainHooks hooks;
  Opening opening;
  hooks.opened = [&](const Opening& w) { opening = w, view.opened(w, device); };
  hooks.stepped = [&](const Moment& m) { view.stepped(m); };
  hooks.scored = [&](const Scored& s) {
    const std::string bits = s.bits_per_byte > 0 ? fmt::format(", {:.4f} bits per byte", s.bits_per_byte) : "";
    view.say(fmt::format("step {}: loss {:.4f} on data.valid{}", s.step, s.loss, bits));
  };
  hooks.stop = [] { return interrupted(); };
  const Trained t = train(recipe, {.folder = o.folder, .assets = assets_folder(), .restart = o.restart, .plan = o.plan, .device = device}, hooks);
  if (o.common.json) {
    Object j{{"folder", t.folder}, {"steps", t.steps}, {"complete", t.complete}, {"loss", t.loss},
             {"parameters", opening.outlook.parameters}, {"learned", opening.outlook.learned}, {"share_reached", opening.outlook.share_reached},
             {"layers", opening.outlook.layers}, {"layers_reached", opening.outlook.layers_reached},
             {"bytes", static_cast<int64_t>(opening.outlook.bytes)}, {"flops", opening.outlook.flops}, {"seconds", opening.seconds}};
    if (t.last.step > 0) j["valid_loss"] = t.last.loss, j["bits_per_byte"] = t.last.bits_per_byte;
    print_json(j);
  } else if (!o.plan) {
    view.say(t.complete ? fmt::format("{}: {} steps; headrace run {}", t.folder, t.steps, t.folder)
                        : fmt::format("{}: stopped and saved after step {}; the same command goes on", t.folder, t.steps));
  }
  return ending() ? 128 + ending() : !o.plan && !t.complete ? 130 : 0;     // as a shell says of Ctrl-C
}

}  // namespace

void add_train(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("train", "train a blueprint, or fine-tune a checkpoint, from a recipe");
  c.about("A recipe is a TOML file (docs/train.md; --keys lists what it may say). The run's folder opens in the other verbs at once. The same "
          "command goes on where a run was stopped, by whatever, and ends with the same weights.");
  c.argument("RECIPE", o->recipe, "a .toml file", false);
  c.option("--set", o->sets, "KEY=VALUE", "instead of what the recipe says; may be given often");
  c.option("--out", o->folder, "FOLDER", "of the run, instead of the recipe's");
  c.flag("--restart", o->restart, "begin anew where the folder has a run");
  c.flag("--plan", o->plan, "say parameters, memory and time, and train nothing");
  c.flag("--keys", o->keys, "list the keys of a recipe with their defaults");
  o->common.add(c);
  c.example("headrace train recipes/story.toml", "a model of stories in ten minutes")
      .example("headrace train recipes/story.toml --set train.steps=100 --set optimizer.rate=3e-3", "with other values");
  c.action([o, c] { return act(*o, c); });
}

}  // namespace headrace::cli
