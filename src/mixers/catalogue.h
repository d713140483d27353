// The mixers and channel mixers that a blueprint can name: one row each. A new one is a file and a line in catalogue.cc;
// being listed is being tested (tests/mixers_test.cc).
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mixers/mixer.h"

namespace headrace {

struct MixerInfo {
  const MixerDoc* doc;
  std::vector<OptionHelp> (*options)(const Place& at);
  // Both throw TextError at an option that is wrong, Error where options do not fit each other.
  std::string (*text)(const Place& at, std::span<const Setting> given);     // canonical: options that differ from the defaults
  Sublayer (*bind)(const Scope& s, const Place& at, std::span<const Setting> given);
  bool (*causal)(const Place& at, std::span<const Setting> given);          // false: later tokens are seen, no state is carried
  int (*most_tokens)(const Place& at, std::span<const Setting> given);      // the longest sequence that it takes; 0: any
};
std::span<const MixerInfo> mixers();
const MixerInfo* find_mixer(std::string_view name);   // null: unknown
std::string mixer_names();               // "attn, mamba, ...", for errors and help

template <class M>
typename M::Options mixer_options(const Place& at, std::span<const Setting> given) {
  typename M::Options o{};
  if constexpr (requires { o.place(at); }) o.place(at);
  else o.width = at.width;
  OptionReader reader(given, M::doc.name);
  o.visit(reader);
  reader.finish();
  if constexpr (requires { o.check(); }) o.check();
  return o;
}
template <class M>
constexpr MixerInfo mixer() {
  return {.doc = &M::doc,
          .options = [](const Place& at) {
            auto o = mixer_options<M>(at, {});
            OptionLister list;
            o.visit(list);
            return list.all;
          },
          .text = [](const Place& at, std::span<const Setting> given) { return blueprint_text<M>(mixer_options<M>(at, given)); },
          .bind = [](const Scope& s, const Place& at, std::span<const Setting> given) { return sublayer(M::bind(s, mixer_options<M>(at, given))); },
          .causal = [](const Place& at, std::span<const Setting> given) {
            if constexpr (requires(const typename M::Options& o) { o.is_causal(); }) return mixer_options<M>(at, given).is_causal();
            else return true;
          },
          .most_tokens = [](const Place& at, std::span<const Setting> given) {
            if constexpr (requires(const typename M::Options& o) { o.most_tokens(); }) return mixer_options<M>(at, given).most_tokens();
            else return 0;
          }};
}

}  // namespace headrace
