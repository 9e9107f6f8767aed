from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.errors import EngineError

USER = {"role": "user", "content": "<b>7 & 'é'</b>"}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_the_fallback_is_chatml() -> None:
    assert ChatTemplate(None).render([SYSTEM, USER]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<b>7 & 'é'</b><|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_real_template_of_the_default_model(smollm2_package: Path) -> None:
    source = (smollm2_package / "chat_template.jinja").read_text(encoding="utf-8")
    template = ChatTemplate(source)
    assert template.render([SYSTEM, USER]) == ChatTemplate(None).render([SYSTEM, USER])
    assert template.render([USER]).startswith("<|im_start|>system\nYou are a helpful")
    assert not template.render([USER], add_generation_prompt=False).endswith("assistant\n")


HERMES = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""In the constructs of Qwen2.5's template."""


def test_a_template_with_tools_gets_their_schemas_whole() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Find <b> & 'é'",
            "parameters": {
                "type": "object",
                "properties": {"q": {"enum": ["a"]}},
                "required": ["q"],
            },
        },
    }
    messages = [SYSTEM, USER, {"role": "tool", "content": "42"}, {"role": "tool", "content": "43"}]
    text = ChatTemplate(HERMES).render(messages, [tool])
    # As Python writes JSON, not escaped for HTML.
    assert (
        '{"type": "function", "function": {"name": "search", "description": "Find <b> & \'é\'", '
        '"parameters": {"type": "object", "properties": {"q": {"enum": ["a"]}}, '
        '"required": ["q"]}}}\n</tools>'
    ) in text
    assert (
        "<|im_start|>user\n<tool_response>\n42\n</tool_response>\n<tool_response>\n43\n"
        "</tool_response><|im_end|>\n<|im_start|>assistant\n"
    ) in text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ messages[0].content | tojson }}", "\"<b>7 & 'é'</b>\""),
        ("{{ {'a': [1]} | tojson(indent=1) }}", '{\n "a": [\n  1\n ]\n}'),
        (
            "{% for i in [1,2,3] if i > 1 %}{{ loop.index }}{{ i }},{% else %}none{% endfor %}",
            "12,23,",
        ),
        ("{% for i in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for i in [1,2,3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "1"),
        ("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(1) ~ m(2) + m(3) }}", "[1][2][3]"),
        (
            "{% set n = namespace(n=0) %}{% for i in [1, 2] %}{% set n.n = n.n + i %}{% endfor %}"
            "{{ n.n }}",
            "3",
        ),
        ("{{ ' a b '.strip().split(' ')[-1] * 3 }}{{ 7 % 4 }}{{ 2 ** 5 }}", "bbb332"),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ strftime_now('%Y') | int > 2000 }}", "True"),
        ("{{ bos_token }}", "<s>"),
        ("{{ undefined_thing }}", ""),
    ],
)
def test_what_templates_use(source: str, text: str) -> None:
    assert ChatTemplate(source, {"bos_token": "<s>"}).render([USER]) == text


def test_a_template_may_refuse_a_conversation() -> None:
    with pytest.raises(EngineError, match="roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}").render([USER])


@pytest.mark.parametrize("source", ["{% for %}", "{{ 1", "{% nonsense %}", "{{ a | nonsense }}"])
def test_a_template_that_is_not_valid_is_refused(source: str) -> None:
    with pytest.raises(EngineError, match="not valid"):
        ChatTemplate(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ (messages|attr('append'))(1) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ self._TemplateReference__context.environment.call }}{{ ''.format.__self__() }}",
    ],
)
def test_a_template_reaches_nothing_outside(source: str) -> None:
    with pytest.raises(EngineError):
        ChatTemplate(source).render([USER])


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set x = 'a' * 4000000 %}{% for i in x %}{% for j in x %}{% endfor %}{% endfor %}",
        "{% for i in range(999999999) %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(9) recursive %}{{ loop([1, 2] * 9) }}{% endfor %}",
        "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
        "{% set n=namespace(x='aa') %}{% for i in range(50) %}{% set n.x = n.x~n.x %}{% endfor %}",
        "{% set n=namespace(x='aa') %}{% for i in range(50) %}{% set n.x = n.x+n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x * 9 %}{% endfor %}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * [1] }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ 'a'.ljust(9999999999) }}",
        "{{ 'a'.ljust(width=9999999999) }}",
        "{{ '{:9999999999}'.format(1) }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ 'a\nb' | indent(9999999999) }}",
    ],
)
def test_a_template_ends_soon(source: str) -> None:
    start = time.perf_counter()
    with pytest.raises(EngineError):
        ChatTemplate(source).render([USER])
    assert time.perf_counter() - start < 20


def test_every_rendering_counts_for_itself() -> None:
    template = ChatTemplate("{% for i in range(60000) %}{% endfor %}done")
    assert [template.render([USER]) for _ in range(3)] == ["done"] * 3
