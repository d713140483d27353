// Chat templates: messages and options as Jinja values, the template run under a budget of steps and bytes, since it comes from a file.
#include "text/chat.h"

#include "base/error.h"
#include "text/jinja_render.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace headrace {

using namespace jinja;

struct ChatTemplate::Parsed {
  std::string name;
  Body body;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string name) {
  auto parsed = std::make_shared<Parsed>();
  parsed->name = std::move(name);
  try {
    parsed->body = parse(replace_broken(source));
  } catch (const Error& e) { fail(parsed->name, ":", quoted(e.what())); }
  parsed_ = std::move(parsed);
}

RenderedChat ChatTemplate::render(std::span<const Message> messages, const ChatOptions& options) const {
  size_t given = options.tools.size() + options.variables.size();
  for (const Message& m : messages) given += m.role.size() + m.content.size() + m.fields.size();
  const int64_t more = given > (size_t{8} << 20) ? static_cast<int64_t>(given) * 32 : 0;
  Run run{.budget = {.steps = options.max_steps + more, .bytes = options.max_bytes + more}, .now = options.now};
  Budget& budget = run.budget;
  const auto text_of = [&](std::string_view s) { return make_text(replace_broken(s), budget); };
  Values list;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& m = messages[i];
    Dict message;
    message.set(text_of("role"), text_of(m.role), budget);
    message.set(text_of("content"), text_of(m.content), budget);
    if (!m.fields.empty()) {
      const Value fields = from_json(replace_broken(m.fields), text("message ", i), budget);
      expect(fields.dict(), "message ", i, ": fields: expected a JSON object");
      for (const auto& [key, value] : fields.dict()->entries) message.set(key, value, budget);
    }
    list.push_back(make_dict(std::move(message), budget));
  }
  Dict& variables = run.variables;
  variables.set(text_of("messages"), make_list(std::move(list), budget), budget);
  variables.set(text_of("tools"),
                options.tools.empty() ? None{} : from_json(replace_broken(options.tools), "tools", budget), budget);
  variables.set(text_of("documents"), None{}, budget);
  variables.set(text_of("add_generation_prompt"), options.add_generation_prompt, budget);
  variables.set(text_of("bos_token"), text_of(options.bos), budget);
  variables.set(text_of("eos_token"), text_of(options.eos), budget);
  if (!options.variables.empty()) {
    const Value more_variables = from_json(replace_broken(options.variables), "template variables", budget);
    expect(more_variables.dict(), "template variables: expected a JSON object");
    for (const auto& [key, value] : more_variables.dict()->entries) variables.set(key, value, budget);
  }
  try {
    Rendered out = jinja::render(parsed_->body, std::move(run));
    return {std::move(out.text), std::move(out.generated)};
  } catch (const Error& e) { fail(parsed_->name, ":", quoted(e.what())); }
}

std::string chat_template_of(const Tokenizer& tokenizer) {
  if (!tokenizer.chat_template().empty()) return tokenizer.chat_template();
  if (tokenizer.find("<|im_start|>"))
    return "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  if (tokenizer.find("<start_of_turn>"))  // Gemma has no system turn: what the system says opens the first user turn
    return "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
           "{% set ns.system = m.content + '\\n\\n' %}{% else %}"
           "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + ns.system + (m.content | "
           "trim) + "
           "'<end_of_turn>\\n' }}{% set ns.system = '' %}{% endif %}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";
  if (tokenizer.find("<|start_header_id|>"))
    return "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + "
           "(m.content | trim) + '<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
  return "";
}

}  // namespace headrace
