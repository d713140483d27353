#!/usr/bin/env python3
"""What jinja2 renders chat templates to, in the environment of transformers' apply_chat_template.

    python tests/oracle/make_chat_fixtures.py

Writes tests/fixtures/text/chat/cases.json.zst (the templates stored there and SmolLM2's, over conversations
with and without tools) and constructs.json.zst (small templates, one construct each). Needs transformers 5.23, jinja2 3.1.6
and the zstd program.
"""
import datetime, glob, json, os, subprocess
import transformers.utils.chat_template_utils as utils

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "fixtures", "text", "chat")
NOW = 1700000000


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


utils.datetime = FixedTime

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Get the <current> weather & \"more\" – ü",
     "parameters": {"type": "object", "properties": {
         "city": {"type": "string", "description": "The city", "enum": ["Paris", "Rome"]},
         "days": {"type": "integer", "default": 3, "description": "n"},
         "opts": {"type": "object", "properties": {"unit": {"type": "string", "description": "u"}}, "required": ["unit"]},
         "list": {"type": "array", "items": {"type": "string"}}}, "required": ["city"]},
     "return": {"type": "string", "description": "x"}}},
    {"type": "function", "function": {"name": "noargs", "description": "No arguments", "parameters": {"type": "object", "properties": {}}}}]


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, id="abcdefghi"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name, content, id="abcdefghi"):
    return message("tool", content, name=name, tool_call_id=id)


PIRATE = message("system", "You are  a pirate. ")
CONVERSATIONS = {
    "one": [message("user", "Hello")],
    "system": [PIRATE, message("user", " Hi there \n"), message("assistant", "Yo.\n"), message("user", "ünïcödé 🙂 <b>&'\"")],
    "long": [message(r, t) for r, t in zip(["user", "assistant"] * 2 + ["user"], "abcde")],
    "thinking": [message("user", "a"), message("assistant", "<think>\nhm\n</think>\n\nb"), message("user", "c"),
                 message("assistant", "x", reasoning_content="because"), message("user", "d")],
    "wrong roles": [PIRATE, message("assistant", "x"), message("assistant", "y")],
    "parts": [message("user", [{"type": "text", "text": "what"}, {"type": "text", "text": " is this"}])],
    "tool": [PIRATE, message("user", "weather?"),
             message("assistant", "", tool_calls=[call("get_weather", {"city": "Paris", "days": 2, "f": 1.5, "n": None, "b": True})]),
             tool("get_weather", "sunny"), message("assistant", "It is sunny."), message("user", "thanks")],
    "two tools": [message("user", "weather?"),
                  message("assistant", "ok", tool_calls=[call("get_weather", "{\"city\": \"Paris\"}"), call("noargs", {}, "abcdefghj")]),
                  tool("get_weather", "{\"t\": 3}"), tool("noargs", "r", "abcdefghj")],
    "no content": [message("user", "weather?"), message("assistant", None, tool_calls=[call("get_weather", {"city": "Paris"})]),
                   tool("get_weather", "sunny")],
}
SETTINGS = [(False, {}), (True, {"enable_thinking": False}),
            (True, {"enable_thinking": True, "thinking": True, "tools_in_user_message": True, "reasoning_effort": "high"})]


def rendered(template, **variables):
    try:
        return {"expected": utils._cached_compile_jinja_template(template).render(**variables)}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}


def cases(templates):
    out = []
    for name, template in templates:
        for title, messages in CONVERSATIONS.items():
            for tools in (None, TOOLS):
                for add, variables in SETTINGS:
                    out.append({"template": name, "conversation": title, "tools": tools is not None, "add_generation_prompt": add,
                                "variables": variables,
                                **rendered(template, messages=messages, tools=tools, documents=None, add_generation_prompt=add,
                                           bos_token="<s>", eos_token="</s>", **variables)})
    return {"now": NOW, "conversations": CONVERSATIONS, "tools": TOOLS, "cases": out}


DATA = {
    "n": 7, "x": 2.5, "s": "Hello, World", "u": "Ünï 🙂 ß", "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "none_": None, "t": True,
    "text": "  one\ttwo\n three  ", "d": {"b": 1, "a": [1, 2], "items": 5}, "empty": [], "quote": "it's \"so\" \\ \n\t\u0007é\u200b",
    "people": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cy", "age": 30, "tags": []}],
    "deep": {"p": {"q": [{"r": "found"}]}}, "big": 9007199254740993, "neg": -7, "lines": "a\nb\r\nc\n\nd",
}
EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3, 2 ** 10, 2 ** -1, 7.5 // 2, -7.5 % 2
1e3, 1.5, 0.1 + 0.2, 1e16, 1e15, 1e-4, 1e-5, 123456789012345678, 1.0, 100 / 10
-n, +n, -x, - n + 1, not n, not none_
'a' 'b' "c", 'a' ~ 1 ~ none ~ true, 'ab' * 3, [1] * 2, [1] + [2], (1,) + (2, 3)
s[0], s[-1], s[1:4], s[::-1], s[:-2], s[20:], s[::2], u[0], u[4], u[-1], u[::-1], u[1:3], l[0], l[-1], l[1:], l[::-1], l[5] is defined
d.a, d['a'], d['items'], d.items() | list, d.get('a'), d.get('zz'), d.get('zz', 4), d.keys() | list, d.values() | list, d.zz is defined
deep.p.q[0].r, deep['p']['q'][0]['r'], deep.p.q.0.r
n == 7, n == 7.0, n != 7, true == 1, 'a' == 'a', [1, 2] == [1, 2], (1, 2) == [1, 2], none == none, {'a': 1} == {'a': 1.0}
1 < 2 < 3, 1 < 3 < 2, 'a' < 'b', 'Z' < 'a', [1, 2] < [1, 3], 1 <= 1, 2 >= 3
1 in l, 9 in l, 'b' in d, 'ell' in s, 'x' not in s, '' in s, 1 in (1, 2), none in [none]
true and 0, 0 or 'x', '' or none or [], not true, true and not false, 1 if n else 2, 1 if none_ else 2, (1 if none_) is defined
n is defined, zz is defined, zz is undefined, zz is not defined, none_ is none, n is none, s is string, n is string, d is mapping, l is mapping
l is iterable, s is iterable, n is iterable, l is sequence, d is sequence, n is sequence, n is number, t is number, x is number, s is number
n is integer, t is integer, x is float, t is boolean, n is boolean, t is true, t is false, 1 is true
n is odd, n is even, n is divisibleby 7, n is divisibleby(2), n is equalto 7, n is eq 7, n is ne 7, n is gt 3, n is lt 3, n is ge 7, n is le 7, n is sameas 7
n is in [7], s is in 'Hello, World!', 'a' is lower, 'A' is upper, 'aB' is lower, n is not in l, 'trim' is filter, 'odd' is test, 'zz' is filter
none_ is sameas none, true is sameas true, 1 is sameas true, range is callable, s is callable
zz, zz | default('d'), none_ | default('d'), none_ | default('d', true), '' | default('d', boolean=true), n | d(1), zz | length, zz | list, zz | join, zz | upper
text | trim, '  x ' | trim, 'xxaxx' | trim('x'), n | trim
s | upper, s | lower, s | capitalize, 'heLLo wORLD (foo) a-b' | title, 'hELLO wORLD foo'.title(), u | upper, u | lower, 'élan vital' | capitalize
s | length, u | length, l | length, d | length, s | count
l | first, l | last, s | first, s | last, u | last, empty | first is defined, l | reverse | list, s | reverse, u | reverse
l | sort, words | sort, words | sort(case_sensitive=true), words | sort(reverse=true), l | sort(true), people | sort(attribute='name') | map(attribute='name') | list
people | sort(attribute='age') | map(attribute='name') | list, people | sort(reverse=true, attribute='age') | map(attribute='name') | list
words | unique | list, words | unique(case_sensitive=true) | list, [1, 1.0, true, 2] | unique | list, l | min, l | max, words | min, empty | max is defined
l | sum, people | sum(attribute='age'), [[1], [2]] | sum(start=[]), l | join(', '), l | join, people | join(', ', attribute='name'), s | join('-'), d | join(',')
people | map(attribute='tags', default='none') | list, people | map(attribute='zz') | list, words | map('upper') | list, words | map('replace', 'a', 'z') | list
people | selectattr('tags') | map(attribute='name') | list, people | selectattr('age', 'equalto', 30) | map(attribute='name') | list
people | rejectattr('tags', 'defined') | map(attribute='name') | list, people | selectattr('age', '>', 26) | list | length, people | rejectattr('name', 'in', ['bob']) | list | length
l | select('odd') | list, l | reject('odd') | list, [0, 1, '', 'a', none] | select | list, [0, 1] | reject | list, l | select('>=', 2) | list
d | items | list, zz | items | list, d | dictsort, {'B': 1, 'a': 2} | dictsort(true), {'x': 2, 'y': 1} | dictsort(by='value'), d | list
'3' | int, '3.7' | int, 'x' | int, 'x' | int(5), 3.9 | int, '0x1f' | int(0, 16), 'ff' | int(base=16), true | int, none_ | int, ' 12 ' | int, '1_000' | int, -3.9 | int
'3.5' | float, 'x' | float, 'x' | float(1.5), n | float, '1e3' | float, 'inf' | float, true | float
n | string, x | string, none_ | string, l | string, d | string, quote | string, t | string, people | string
l | list, s[:3] | list, (1, 2) | list, d.keys() | list, range(3) | list, range(1, 10, 3) | list, range(3, 0, -1) | list, range(0) | list
s | replace('l', 'L'), s | replace('l', 'L', 1), s | replace('', '-'), n | replace(7, 8), s.replace('l', ''), s.replace('o', '0', 1), s.replace('zz', 'y')
lines | indent, lines | indent(2), lines | indent(2, true), lines | indent(2, blank=true), lines | indent('> '), '' | indent, 'a\n' | indent
n | abs, neg | abs, -2.5 | abs, 2.5 | round, 3.5 | round, 2.567 | round(2), 2.567 | round(2, 'floor'), 2.1 | round(method='ceil'), n | round, 2.675 | round(2), 1234.5 | round(-2)
s | e, '<a href="x">&\'</a>' | escape, '<b>' | safe, s | wordcount, 'a b  c_d e-f' | wordcount
l | batch(2) | list, l | batch(2, 'x') | list, '%s is %d, %.2f %5s|%-5s| %05d %x %r' | format('a', 3, 2.5, 'ab', 'cd', 42, 255, 'q'), '%s %%' % 'x', '%d%s' % (1, 'b')
d | tojson, l | tojson, s | tojson, quote | tojson, n | tojson, x | tojson, none_ | tojson, t | tojson, u | tojson, 1e20 | tojson, [1.0, 0.1] | tojson, {1: 2, none: 3, true: 4} | tojson
people | tojson(indent=2), people | tojson(indent=4, sort_keys=true), d | tojson(separators=(',', ':')), u | tojson(ensure_ascii=true), [] | tojson(indent=2), {} | tojson(indent=2), (1, 2) | tojson, d | tojson(indent=none)
l, (1,), (1, 2), (), [], {}, {'a': [1, {'b': none}]}, ['x', "it's", 'q"q', quote], u, [u], [1.0, true]
s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), s.startswith('He'), s.endswith('ld'), s.startswith(('x', 'H')), s.startswith('l', 2), s.endswith('o', 0, 5)
s.find('o'), s.rfind('o'), s.find('zz'), s.index('W'), s.count('l'), s.count('l', 4), u.find('🙂'), u.rfind('ß'), s.find('o', 5), s.find('o', -4), s.count('')
text.strip(), text.lstrip(), text.rstrip(), 'xxaxx'.strip('x'), 'xyaxy'.lstrip('yx'), 'xyaxy'.rstrip('yx'), 'aéa'.strip('aé')
'a,b,,c'.split(','), text.split(), 'a b c'.split(' ', 1), 'a b c'.rsplit(' ', 1), ' a  b c '.split(none, 1), ' a b  c '.rsplit(none, 1), ''.split(), ''.split(','), 'abc'.split('b')
'a<t>b<t>c'.split('<t>')[-1], 'a</think>b'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n'), lines.splitlines(), lines.splitlines(true), ''.splitlines(), 'a\u2028b\x0cc'.splitlines()
', '.join(words), ''.join([]), '-'.join('abc'), 'a-b-c'.partition('-'), 'a-b-c'.rpartition('-'), 'abc'.partition('-'), 'abc'.rpartition('-')
'abc'.removeprefix('ab'), 'abc'.removesuffix('bc'), 'abc'.removeprefix('x'), 'ab'.center(7, '*'), 'abc'.center(6), 'ab'.ljust(4) ~ '|', 'ab'.rjust(4), '-42'.zfill(6), '42'.zfill(5)
'12'.isdigit(), 'a1'.isalnum(), 'ab'.isalpha(), ' \t'.isspace(), ''.isspace(), 'AB'.isupper(), 'ab1'.islower(), '1'.isupper(), 'é'.isalpha(), '١'.isdigit()
'{} and {}'.format(1, 'x'), '{1}{0}'.format('a', 'b'), '{k}'.format(k=3), '{{}}'.format(), 'a{}'.format([1])
l.index(2), l.count(1), l.copy(), d.copy(), (1, 2, 1).count(1), (3, 4).index(4), dict(a=1, b=2), dict({'x': 1}, y=2), dict([('p', 1)])
namespace(a=1).a, strftime_now('%d %b %Y %H:%M:%S'), strftime_now('%Y-%m-%d'), big, big + 1, n.zz is defined, 'a'.zz is defined
'\n\t\\\'\"\x41\u00e9\U0001F642\101\q', "it's", 'a\
b'
{'a': 1, 'a': 2}, {1: 'x'}[1], {'k': 'v'}.k, [[1, 2], [3]][0][1], {'f': {'g': 1}}.f.g, ('a', 'b')[1], 'abc'[1], [1, 2, 3][-2:]
(n + 1) * 2, (n > 3) | string, n > 3 and x < 3, 'yes' if n > 3 and not zz is defined else 'no', -n | abs, (-n) | abs, 2 ** 3 ** 2, 10 - 3 - 2
'a' if false else 'b' if false else 'c', [x for_ if false], 1
l | map('string') | join('+'), 'x' in (people | map(attribute='name') | list), people | map(attribute='age') | unique | sort | list, (people | first).name, people[0]['tags'] | first
1 is not none, 'a' is string and 'b' is string, not 'a' is string, n is defined and n is not none and n > 2, d.zz.yy is defined
l.append(1), d.update({}), zz.a, zz + 1, zz(), n(), 1 + 'a', 'a' + 1, l + (1,), none_ + 1, none_.x, none_ | length, n | length, n | list, none_ | join
1 // 0, 1 / 0, 1 % 0, s[x], l['a'] is defined, 'a' < 1, {[1]: 2}, [] < 1, raise_exception('stop it'), range(1000000) | length, 'a' | zz, 1 is zz, l | selectattr('a', 'zz') | list
"""
TEMPLATES = [
    "{% for i in l %}{{ i }}{% if not loop.last %}, {% endif %}{% else %}none{% endfor %}",
    "{% for i in empty %}x{% else %}none{% endfor %}|{% for i in zz %}x{% else %}none{% endfor %}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}"
    "{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.depth }}\n{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in u %}[{{ c }}]{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a + b + c }} {% endfor %}",
    "{% for p in people if p.age > 26 %}{{ loop.index }}/{{ loop.length }} {{ p.name }} {% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% elif i > 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in l %}{% for j in l %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% set a = 1 %}{% for i in l %}{% set a = a + i %}{{ a }} {% endfor %}{{ a }}",
    "{% set ns = namespace(a=0, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% set ns.c = i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.zz }}",
    "{% if false %}a{% elif n == 7 %}b{% else %}c{% endif %}{% if zz %}d{% endif %}{% if not l %}e{% else %}f{% endif %}",
    "{% if true %}{% set inner = 5 %}{% endif %}{{ inner }}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}",
    "{% set x %}block {{ n }}{% endset %}[{{ x }}]{% set y | upper | replace('B', 'd') %}abc{% endset %}{{ y }}",
    "{% macro m(a, b=2, c='x' ~ a) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}",
    "{% macro r(x) %}{% if x is mapping %}{ {% for k, v in x | items %}{{ k }}: {{ r(v) }} {% endfor %}}{% elif x is iterable and x is not string %}[{% for i in x %}{{ r(i) }},{% endfor %}]{% else %}{{ x }}{% endif %}{% endmacro %}{{ r(d) }}{{ r(deep) }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{{ later }}{% endmacro %}{% set g = 2 %}{% set later = 3 %}{{ m() }}",
    "{% macro box(title) %}[{{ title }}: {{ caller() }}]{% endmacro %}{% call box('T') %}body {{ n }}{% endcall %}",
    "{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }};{% endfor %}{% endmacro %}{% call(x, i) each(l) %}{{ i }}={{ x }}{% endcall %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | upper %}aaa{% endfilter %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% raw %}{{ not }} {% touched %}{% endraw %} {{ n }}",
    "{# comment {{ n }} #}a{#- x -#}  b  {# y #}\nc",
    "a\n  {% if t %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if t -%}\n  b\n  {%- endif -%}\nc\n",
    "a\n  {%+ if t %}\n  b\n  {%+ endif +%}\nc\n",
    "a \n  {{ n }}\n  {{- n -}}\n  b\n",
    "{% if t %}\n\n  x\n{% endif %}\n\n\n",
    "a\r\nb\rc{% if t %}\r\nd{% endif %}\r\n",
    "  {% set q = 1 %}  {{ q }}  {% if q %}  y  {% endif %}  ",
    "{% for i in l %}\n    {{ i }}\n{% endfor %}\n  {# c #}\n  z",
    "{{ {'a': {'b': {}}} }}{{ {'a': {'b': {}}}['a'] }}",
    "{%if t%}{{n}}{%endif%}{{-1}}{{- 1 -}}{{+1}}",
    "{% generation %}made {{ n }}{% endgeneration %} rest",
    "{% set f = m %}{{ f is defined }}{% macro m() %}x{% endmacro %}{% set f = m %}{{ f() }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% set ns = namespace() %}{% for i in l %}{% macro m(a) %}{{ a }}{{ n }}{% endmacro %}{% set ns.m = m %}{% endfor %}{{ ns.m(1) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}",
    "{% set x = 'abc' %}{% for c in x[::-1] %}{{ c }}{% endfor %}{{ (1, 2, 3)[1:] }}{{ loop is defined }}",
    "{{ 'a' if zz }}|{{ ('b' if t) ~ 'c' }}|{{ none }}|{{ true }}|{{ [none, true] }}",
    "{{ zz.yy }}", "{{ d.zz.yy }}", "{% for i in 5 %}{% endfor %}", "{% set a, b = 1 %}", "{% set n.x = 1 %}", "{% set zz.x = 1 %}",
    "line 1\nline 2 {{ raise_exception('on line 2') }}", "{{ 1 + }}", "{% if %}{% endif %}", "{% for x in l %}", "{{ 'a }}", "{{ (1 }}", "{% zz %}",
    "{% endif %}", "{{ n", "{# open", "{{ a b }}", "{% set 1 = 2 %}", "{% if t %}{% endfor %}", "{{ [1, 2 }}", "{{ 1 is is none }}", "{% break %}",
    "{% include 'x' %}", "{{ x|}}", "{{ .a }}", "{{ a..b }}", "{% macro %}{% endmacro %}", "{{ m(a=1, 2) }}", "{{ ~ }}", "{{ n ! }}", "{{ }}", "", "\n", "\n\n", "{{ '' }}\n",
]


def constructs():
    out = []
    joined = EXPRESSIONS.strip("\n").replace("'a\\\nb'", "'a\\\x00b'").split("\n")
    for line in joined:
        line = line.replace("\x00", "\n")
        parts = split(line)
        out += [{"template": "{{ " + p + " }}"} for p in parts]
    out += [{"template": t} for t in TEMPLATES]
    for case in out:
        case.update(rendered(case["template"], **DATA))
    return {"now": NOW, "data": DATA, "cases": out}


def split(line):
    """At commas outside brackets and quotes."""
    parts, depth, quote, start, i = [], 0, None, 0, 0
    while i < len(line):
        c = line[i]
        if quote:
            if c == "\\":
                i += 1
            elif c == quote:
                quote = None
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(line[start:i].strip())
            start = i + 1
        i += 1
    return parts + [line[start:].strip()]


def write(name, data):
    path = os.path.join(OUT, name)
    text = json.dumps(data, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
    with open(path, "wb") as f:
        f.write(subprocess.run(["zstd", "-19", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout)
    print(path, len(data["cases"]), "cases,", sum("error" in c for c in data["cases"]), "errors,", os.path.getsize(path), "bytes")


def stored(folder):
    return [(os.path.basename(f)[:-6], open(f, newline="", encoding="utf-8").read()) for f in sorted(glob.glob(os.path.join(folder, "*.jinja")))]


if __name__ == "__main__":
    vocabulary = os.path.join(HERE, "..", "..", "assets", "tokenizers", "smollm2_vocabulary.json.zst")
    smollm2 = json.loads(subprocess.run(["zstd", "-d", "-c", vocabulary], stdout=subprocess.PIPE, check=True).stdout)
    write("cases.json.zst", cases(stored(OUT) + [("smollm2", smollm2["tokenizer.chat_template"])]))
    write("constructs.json.zst", constructs())
