// One verb a file; main.cc lists them.
#pragma once
#include "cli/command.h"

namespace headrace::cli {

void add_run(Command& root);
void add_logits(Command& root);
void add_tokenize(Command& root);
void add_bench(Command& root);
void add_quantize(Command& root);
void add_distill(Command& root);
void add_train(Command& root);
void add_tokenizer(Command& root);
void add_check(Command& root);
void add_state(Command& root);
void add_info(Command& root);
void add_mixers(Command& root);
void add_plan(Command& root);
void add_probe(Command& root);
void add_op(Command& root);
void add_explain(Command& root);
void add_doctor(Command& root);
void add_completion(Command& root);
void add_man(Command& root);

}  // namespace headrace::cli
