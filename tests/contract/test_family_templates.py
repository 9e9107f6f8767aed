"""Templates of model families: everything they use is there, and what they lack is made up for."""

from __future__ import annotations

import pytest
from family_templates import (
    CHATML,
    DEEPSEEK_R1,
    GEMMA2,
    GEMMA3,
    LLAMA3,
    MISTRAL,
    PHI4,
    QWEN3,
    SMOLLM3,
    TOKENS,
)

from edgeagent.agent.chat.template import ChatTemplate, Message
from edgeagent.agent.formats import tool_format
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import describe
from edgeagent.errors import EngineError

SYSTEM: Message = {"role": "system", "content": "Be brief."}
USER: Message = {"role": "user", "content": "Hello"}
SAID: Message = {"role": "assistant", "content": "Yes?"}
RESULT: Message = {"role": "tool", "content": "42", "tool_call_id": "abcdefghi"}
TOOLS = [describe(Calculator())]


def render(source: str, *messages: Message, thinking: bool | None = None, **more: object) -> str:
    variables = {} if thinking is None else {"enable_thinking": thinking}
    return ChatTemplate(source, TOKENS).render(
        messages, TOOLS if more.pop("tools", False) else None, variables={**variables, **more}
    )


@pytest.mark.parametrize("source", [LLAMA3, MISTRAL, GEMMA3, DEEPSEEK_R1])
def test_the_token_that_texts_begin_with_is_written_once(source: str) -> None:
    text = render(source, SYSTEM, USER)
    assert text.startswith("<s>")
    assert text.count("<s>") == 1


@pytest.mark.parametrize(
    "source", [CHATML, QWEN3, LLAMA3, MISTRAL, PHI4, GEMMA2, GEMMA3, SMOLLM3, DEEPSEEK_R1]
)
def test_instructions_tools_and_results_are_shown_by_every_template(source: str) -> None:
    text = render(source, SYSTEM, USER, tools=True)
    assert text.count("Be brief.") == 1
    assert text.count("Evaluate") <= 1
    assert "calculator" in text
    assert text.index("Be brief.") < text.index("Hello") or source is LLAMA3
    if source is not MISTRAL:  # its results belong to calls
        assert "42" in render(source, SYSTEM, USER, SAID, RESULT)


def test_a_system_role_is_put_in_front_of_the_first_user_turn_where_there_is_none() -> None:
    assert render(GEMMA2, SYSTEM, USER) == (
        "<s><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\n"
    )
    assert render(GEMMA2, SYSTEM, USER) == render(GEMMA3, SYSTEM, USER)
    alone = ChatTemplate(GEMMA2, TOKENS).render([SYSTEM], add_generation_prompt=False)
    assert alone == "<s><start_of_turn>user\nBe brief.<end_of_turn>\n"


def test_a_template_that_knows_everything_gets_the_messages_as_they_are() -> None:
    seen = render(QWEN3, SYSTEM, USER, SAID, RESULT, tools=True)
    assert seen.count('"function"') == 2  # type and description of the one tool
    assert "<tool_response>\n42\n</tool_response>" in seen


def test_tools_of_llama_stay_in_front_of_the_question() -> None:
    variables = tool_format("llama3_json").prefix("s", [Calculator()], ()).variables
    text = render(LLAMA3, SYSTEM, USER, tools=True, **variables)
    assert text.index("calculator") < text.index("Be brief.") < text.index("Hello")
    assert '\n    "type": "function"' in text  # indented by four, as the makers have it


@pytest.mark.parametrize(
    ("source", "off", "on"),
    [
        (QWEN3, "assistant\n<think>\n\n</think>\n\n", "assistant\n"),
        (SMOLLM3, "assistant\n<think>\n\n</think>\n", "assistant\n"),
        (DEEPSEEK_R1, "<|Assistant|><think>\n\n</think>\n\n", "<|Assistant|>"),
    ],
)
def test_thinking_is_off_unless_it_is_asked_for(source: str, off: str, on: str) -> None:
    assert render(source, USER).endswith(off)
    assert render(source, USER, thinking=False).endswith(off)
    assert render(source, USER, thinking=True).endswith(on)


def test_thoughts_are_dropped_from_history_as_the_template_does() -> None:
    thought: Message = {"role": "assistant", "content": "<think>\nHm\n</think>\n\nYes?"}
    assert "Hm" not in render(QWEN3, SYSTEM, USER, thought, USER, thinking=True)
    assert "Hm" in render(QWEN3, SYSTEM, USER, thought, RESULT, thinking=True)
    assert "Hm" not in render(DEEPSEEK_R1, USER, thought, USER, thinking=True)


def test_a_refusal_of_the_template_is_an_error_and_not_a_prompt() -> None:
    with pytest.raises(EngineError, match="roles must alternate"):
        render(GEMMA3, SYSTEM, USER, USER)


def test_json_as_transformers_has_it() -> None:
    source = (
        "{{ {'b': 'é<', 'a': [1]} | tojson }}"
        "{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=True) }}"
        "{{ [1] | tojson(indent=2) }}{{ 'é' | tojson(ensure_ascii=True) }}"
    )
    assert ChatTemplate(source).render([USER]) == (
        '{"b": "é<", "a": [1]}{"a":2,"b":1}[\n  1\n]"\\u00e9"'
    )


def test_constructs_that_real_templates_use() -> None:
    source = """\
{%- set ns = namespace(found=false) -%}
{%- for message in messages[::-1] -%}
  {%- if message is mapping and message.role == 'user' and not ns.found -%}
    {%- set ns.found = true -%}
    {{- message.content.split('</think>')[-1].lstrip('\\n') | upper -}}
  {%- endif -%}
{%- endfor -%}
{%- set users = messages | selectattr('role', 'equalto', 'user') | map(attribute='content') -%}
{{- '|' + users | join(',') + '|' -}}
{%- for key, value in messages[0].items() if key != 'content' %}{{ key ~ '=' ~ value }}{% endfor -%}
{%- if documents is defined or builtin_tools is defined or custom_tools is defined %}!{% endif -%}
{%- macro shout(text) %}{{ text }}!{% endmacro -%}
{%- generation -%}{{ shout('ok') }}{%- endgeneration -%}
{%- for message in messages %}{% if loop.first %}{% continue %}{% endif %}{% break %}{% endfor -%}
"""
    assert ChatTemplate(source).render([USER, SAID]) == "HELLO|Hello|role=userok!"
