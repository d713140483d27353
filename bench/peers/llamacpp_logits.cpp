// llama.cpp's logits of given tokens, for bench/agree_with_llamacpp.py, which compiles this against a llama.cpp build.
// llamacpp_logits MODEL.gguf TOKENS OUT: TOKENS has a sequence of ids a line; OUT gets f32 logits [tokens, vocab], line after line.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "llama.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (!model) return 1;
  llama_context_params p = llama_context_default_params();
  p.n_ctx = p.n_batch = p.n_ubatch = 1024;
  p.n_threads = p.n_threads_batch = 2;
  const int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
  std::ifstream in(argv[2]);
  FILE* out = std::fopen(argv[3], "wb");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::vector<llama_token> ids;
    for (llama_token t; words >> t;) ids.push_back(t);
    llama_context* context = llama_init_from_model(model, p);
    llama_batch batch = llama_batch_init(static_cast<int>(ids.size()), 0, 1);
    for (size_t i = 0; i < ids.size(); ++i) {
      batch.token[i] = ids[i], batch.pos[i] = static_cast<int>(i), batch.n_seq_id[i] = 1, batch.seq_id[i][0] = 0, batch.logits[i] = 1;
    }
    batch.n_tokens = static_cast<int>(ids.size());
    if (llama_decode(context, batch)) return 1;
    for (size_t i = 0; i < ids.size(); ++i) std::fwrite(llama_get_logits_ith(context, static_cast<int>(i)), 4, static_cast<size_t>(vocab), out);
    llama_batch_free(batch);
    llama_free(context);
  }
  return std::fclose(out);
}
