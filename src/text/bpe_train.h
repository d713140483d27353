// Makes byte-level BPE tokenizers: learns merges from texts (Sennrich et al. 2016, 1508.07909), and writes tokenizer.json as Hugging
// Face's `tokenizers` and our reader open it. Ids: the 256 bytes by their values, <|endoftext|>, then joins in the order they were learned.
// A text begins with <|endoftext|>, which also ends a document.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace {

inline constexpr int end_of_text_id = 256;
using Merges = std::vector<std::pair<int, int>>;   // ids that are joined; the n-th makes id 257 + n

// Texts are cut into words as GPT-2 cuts them; a join crosses no word. `vocab` tokens in all, at least 257; fewer where no pair is met
// twice any more. Of pairs met equally often the one of the lowest ids is first, so that the same texts give the same merges.
Merges train_bpe(std::span<const std::string_view> texts, int vocab, const std::function<void(int done)>& progress = {});
std::string tokenizer_json(const Merges& merges);   // none: a tokenizer of bytes
std::string tokenizer_config_json();                // tokenizer_config.json: which token begins and ends a text

}  // namespace headrace
