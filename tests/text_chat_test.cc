// Templates of published models, and small ones of every construct, against what Jinja2 made of them (stored); hostile ones must end.
#include <gtest/gtest.h>


#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "processor_time.h"
#include "text/chat.h"
#include "text_assets.h"

namespace headrace {
namespace {

using json = nlohmann::ordered_json;
using testing::fixture;

std::string stored_template(const std::string& name) {
  if (name == "smollm2") return testing::smollm2().chat_template();
  return read_text(HEADRACE_ROOT "/tests/fixtures/text/chat/" + name + ".jinja");
}

std::string template_error(const std::string& source, const ChatOptions& options = {}) {
  return error_of([&] { ChatTemplate(source, "t").render({}, options); });
}

TEST(ChatTemplate, RendersPublishedTemplatesAsJinja2Does) {
  const json stored = json::parse(fixture("chat/cases.json.zst"));
  int rendered = 0, refused = 0;
  for (const json& c : stored["cases"]) {
    const std::string where = c["template"].get<std::string>() + ": " + c["conversation"].get<std::string>();
    std::vector<Message> messages;
    for (const json& m : stored["conversations"][c["conversation"].get<std::string>()])
      messages.push_back({.fields = m.dump()});
    const ChatOptions options{.bos = "<s>",
                              .eos = "</s>",
                              .add_generation_prompt = c["add_generation_prompt"].get<bool>(),
                              .tools = c["tools"].get<bool>() ? stored["tools"].dump() : "",
                              .variables = c["variables"].dump(),
                              .now = stored["now"].get<int64_t>()};
    const ChatTemplate chat(stored_template(c["template"]), c["template"]);
    if (c.contains("error")) {
      EXPECT_THROW(chat.render(messages, options), Error) << where << ": " << c["error"];
      ++refused;
    } else {
      EXPECT_EQ(chat.render(messages, options).text, c["expected"].get<std::string>()) << where;
      ++rendered;
    }
  }
  EXPECT_GT(rendered, 400);
  EXPECT_GT(refused, 50);
}

TEST(ChatTemplate, EveryConstructGivesWhatJinja2Gives) {
  const json stored = json::parse(fixture("chat/constructs.json.zst"));
  for (const json& c : stored["cases"]) {
    const std::string source = c["template"];
    const ChatOptions options{.variables = stored["data"].dump(), .now = stored["now"].get<int64_t>()};
    std::string got, error;
    try {
      got = ChatTemplate(source, "t").render({}, options).text;
    } catch (const Error& e) { error = e.what(); }
    if (c.contains("error")) {
      EXPECT_NE(error, "") << source << "\ngives " << got << "\njinja2: " << c["error"];
    } else {
      EXPECT_EQ(error, "") << source;
      EXPECT_EQ(got, c["expected"].get<std::string>()) << source;
    }
  }
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(template_error("a\n{% if x %}\n{{ 1 + }}\n{% endif %}"), "t:3: unexpected }}");
  EXPECT_EQ(template_error("a\n\n{{ raise_exception('roles must alternate') }}"), "t:3: roles must alternate");
  EXPECT_EQ(template_error("{# \n\n #}{{ x.y }}"), "t:3: 'x' is undefined");
  EXPECT_EQ(template_error("{% for m in messages %}\n{% endfor %}\n{{ 1 // 0 }}"), "t:3: division by zero");
  EXPECT_EQ(template_error("{{ messages }}", {.tools = "[1"}).substr(0, 6), "tools:");
}

TEST(ChatTemplate, TakesPlainMessagesAndFieldsThatOverrideThem) {
  const std::vector<Message> messages{{"user", "hi\xFF"}, {"assistant", "", R"({"content": ["a", 1], "name": "bot"})"}};
  EXPECT_EQ(ChatTemplate("{% for m in messages %}{{ m.role }} {{ m.content }} {{ m.name }};{% endfor %}")
                .render(messages)
                .text,
            "user hi\xEF\xBF\xBD ;assistant ['a', 1] bot;");
}

TEST(ChatTemplate, GenerationBlocksGiveTheRangesOfAnswers) {
  const std::vector<Message> messages{{"user", "q"}, {"assistant", "abc"}, {"user", "q"}, {"assistant", "d"}};
  const RenderedChat chat = ChatTemplate(
                                "{% for m in messages %}{% if m.role == 'user' %}<{{ m.content }}>{% else %}{% "
                                "generation %}{{ m.content }}.{% endgeneration %}{% endif %}{% endfor %}")
                                .render(messages);
  EXPECT_EQ(chat.text, "<q>abc.<q>d.");
  EXPECT_EQ(chat.answers, (std::vector<std::pair<size_t, size_t>>{{3, 7}, {10, 12}}));
}

TEST(ChatTemplate, HostileTemplatesEndSoonWithAnError) {
  const std::string nest(300, '('), minus(100000, '-'),
      twice = "{% set ns = namespace(x='a', l=[1]) %}{% for i in range(1000) %}";
  const std::string hostile[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{{ 'a' * 1000000000000 }}",
      "{{ [[1] * 100000] * 100000 | string }}",
      twice + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
      twice + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == "
      "[ns.l] or ns.l | tojson }}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{{ " + nest + " }}",
      "{{ " + minus + "1 }}",
      "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me }}",
      "{{ 'x' | indent(100000000) }}{{ '%999999999d' % 1 }}",
      "{{ 9999999999999999999 }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ 2 ** 64 }}",
      "{{ range(1000) | map('string') | map('upper') | map('zz') | list }}",
      "{% for i in range(1000) %}{{ 'abc'.center(1000000) }}{% endfor %}",
      "{{ 'a'.replace('', 'b' * 1000000) * 10000 }}",
  };
  for (const std::string& source : hostile) {
    const testing::ProcessorTime work;
    EXPECT_NE(template_error(source), "") << source.substr(0, 200);
    EXPECT_LT(work.seconds(), 5.0) << source.substr(0, 200);
  }
  EXPECT_EQ(template_error("{{ 'a' + 'b' * 100 }}"), "");
}

TEST(ChatTemplate, LongChatsAreLinear) {
  const std::vector<Message> messages(2000, {"user", std::string(10000, 'x')});
  const testing::ProcessorTime work;
  EXPECT_GT(ChatTemplate(stored_template("smollm2")).render(messages).text.size(), 20'000'000u);
  EXPECT_LT(work.seconds(), 2.0);
}

TEST(ChatTemplate, ModelsWithoutOneGetTheOneOfTheirTurnTokens) {
  Vocabulary v = testing::smollm2_vocabulary();
  v.chat_template.clear();
  const std::string chatml = chat_template_of(Tokenizer::from_vocabulary(v));
  EXPECT_EQ(ChatTemplate(chatml).render(std::vector<Message>{{"user", "hi"}}, {.add_generation_prompt = true}).text,
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(chat_template_of(Tokenizer::bytes()), "");
  const auto of = [](const char* token) {
    return chat_template_of(
        Tokenizer::from_rwkv_world(text("1 'a' 1\n2 '", token, "' ", std::string(token).size()), "v"));
  };
  const std::vector<Message> talk{{"system", "Be brief."}, {"user", " hi "}, {"assistant", "yo"}, {"user", "bye"}};
  const ChatOptions options{.bos = "<bos>", .add_generation_prompt = true};
  EXPECT_EQ(ChatTemplate(of("<start_of_turn>")).render(talk, options).text,
            "<bos><start_of_turn>user\nBe brief.\n\nhi<end_of_turn>\n<start_of_turn>model\nyo<end_of_turn>\n"
            "<start_of_turn>user\nbye<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(ChatTemplate(of("<|start_header_id|>")).render(std::span(talk).first(2), options).text,
            "<bos><|start_header_id|>system<|end_header_id|>\n\nBe "
            "brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

}  // namespace
}  // namespace headrace
