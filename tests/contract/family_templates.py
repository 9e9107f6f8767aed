"""Chat templates with the markup and the habits of model families, written for these tests.

Each says as little as possible: roles, markup, and what makes a family hard to serve, such as turns
that have to alternate, calls that have to be objects, thinking that is dropped from history.
"""

from __future__ import annotations

QWEN3 = """\
{%- set ns = namespace(last=-1) -%}
{%- for message in messages -%}
  {%- if message.role == 'user' and not message.content.startswith('<tool_response>') -%}
    {%- set ns.last = loop.index0 -%}
  {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {{- '<|im_start|>system\\n' + message.content -}}
    {%- if tools -%}
      {{- '\\n<tools>' -}}
      {%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor -%}
      {{- '\\n</tools>' -}}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
  {%- elif message.role == 'assistant' -%}
    {%- set content = message.content.split('</think>')[-1].lstrip('\\n') -%}
    {%- set thought = '' -%}
    {%- if '</think>' in message.content -%}
      {%- set thought = message.content.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}
    {%- endif -%}
    {{- '<|im_start|>assistant\\n' -}}
    {%- if loop.index0 > ns.last and thought -%}
      {{- '<think>\\n' + thought + '\\n</think>\\n\\n' -}}
    {%- endif -%}
    {{- content + '<|im_end|>\\n' -}}
  {%- elif message.role == 'tool' -%}
    {{- '<|im_start|>user\\n<tool_response>\\n' + message.content -}}
    {{- '\\n</tool_response><|im_end|>\\n' -}}
  {%- else -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' -}}
  {%- if enable_thinking is defined and enable_thinking is false -%}
    {{- '<think>\\n\\n</think>\\n\\n' -}}
  {%- endif -%}
{%- endif -%}
"""

LLAMA3 = """\
{{- bos_token -}}
{%- if custom_tools is defined %}{% set tools = custom_tools %}{% endif -%}
{%- if not tools_in_user_message is defined %}{% set tools_in_user_message = true %}{% endif -%}
{%- if messages[0]['role'] == 'system' -%}
  {%- set system = messages[0]['content'] | trim -%}
  {%- set messages = messages[1:] -%}
{%- else -%}
  {%- set system = '' -%}
{%- endif -%}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' -}}
{%- if builtin_tools is defined or tools is not none %}{{ 'Environment: ipython\\n' }}{% endif -%}
{{- 'Year: ' + strftime_now('%Y') + '\\n\\n' -}}
{%- if tools is not none and not tools_in_user_message -%}
  {%- for tool in tools %}{{ (tool | tojson(indent=4)) + '\\n\\n' }}{% endfor -%}
{%- endif -%}
{{- system + '<|eot_id|>' -}}
{%- if tools is not none and tools_in_user_message -%}
  {%- if not messages %}{{ raise_exception('no user turn for the tools') }}{% endif -%}
  {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
  {%- for tool in tools %}{{ (tool | tojson(indent=4)) + '\\n\\n' }}{% endfor -%}
  {{- messages[0]['content'] | trim + '<|eot_id|>' -}}
  {%- set messages = messages[1:] -%}
{%- endif -%}
{%- for message in messages -%}
  {%- if message.role in ['tool', 'ipython'] -%}
    {{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' -}}
    {%- if message.content is mapping or message.content is iterable -%}
      {{- message.content | tojson -}}
    {%- endif -%}
    {{- '<|eot_id|>' -}}
  {%- elif 'tool_calls' in message -%}
    {{- raise_exception('one call at a time') if message.tool_calls | length != 1 -}}
  {%- else -%}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' -}}
    {{- message['content'] | trim + '<|eot_id|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}
"""

MISTRAL = """\
{%- if messages[0]['role'] == 'system' -%}
  {%- set system = messages[0]['content'] -%}
  {%- set loop_messages = messages[1:] -%}
{%- else -%}
  {%- set loop_messages = messages -%}
{%- endif -%}
{%- set users = loop_messages | selectattr('role', 'equalto', 'user') | list -%}
{%- set ns = namespace(index=0) -%}
{%- for message in loop_messages -%}
  {%- if message.role != 'tool' and message.tool_calls is not defined -%}
    {%- if (message['role'] == 'user') != (ns.index % 2 == 0) -%}
      {{- raise_exception('roles must alternate') -}}
    {%- endif -%}
    {%- set ns.index = ns.index + 1 -%}
  {%- endif -%}
{%- endfor -%}
{{- bos_token -}}
{%- for message in loop_messages -%}
  {%- if message['role'] == 'user' -%}
    {%- if tools is not none and message == users[-1] -%}
      {{- '[AVAILABLE_TOOLS] [' -}}
      {%- for tool in tools -%}
        {{- '{' -}}
        {%- for key, value in tool.function.items() if key != 'return' -%}
          {{- '"' + key + '": ' + value | tojson + (', ' if not loop.last else '') -}}
        {%- endfor -%}
        {{- '}' -}}
      {%- endfor -%}
      {{- '][/AVAILABLE_TOOLS]' -}}
    {%- endif -%}
    {{- '[INST] ' + (system + '\\n\\n' if loop.last and system is defined else '') -}}
    {{- message['content'] + '[/INST]' -}}
  {%- elif message.tool_calls is defined and message.tool_calls is not none -%}
    {{- '[TOOL_CALLS] [' -}}
    {%- for call in message.tool_calls -%}
      {%- if call.id | length != 9 %}{{ raise_exception('ids have 9 characters') }}{% endif -%}
      {%- set out = call.function | tojson -%}
      {{- out[:-1] + ', "id": "' + call.id + '"}' + (', ' if not loop.last else ']' + eos_token) -}}
    {%- endfor -%}
  {%- elif message['role'] == 'assistant' -%}
    {{- ' ' + message['content'] | trim + eos_token -}}
  {%- elif message['role'] == 'tool' -%}
    {{- '[TOOL_RESULTS] {"content": ' + message.content | string + ', "call_id": "' -}}
    {{- message.tool_call_id + '"}[/TOOL_RESULTS]' -}}
  {%- else -%}
    {{- raise_exception('unknown role') -}}
  {%- endif -%}
{%- endfor -%}
"""

PHI4 = """\
{% for message in messages %}\
{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}\
{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] }}\
{{ '<|/tool|><|end|>' }}\
{% else %}\
{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}\
{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"""

GEMMA2 = """\
{{ bos_token }}\
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif -%}
{%- for message in messages -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('roles must alternate') }}
  {%- endif -%}
  {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
  {{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif -%}
"""

GEMMA3 = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
  {%- set first = messages[0]['content'] + '\\n\\n' -%}
  {%- set loop_messages = messages[1:] -%}
{%- else -%}
  {%- set first = '' -%}
  {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('roles must alternate') }}
  {%- endif -%}
  {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
  {{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') }}
  {%- if message['content'] is string -%}
    {{ message['content'] | trim }}
  {%- endif -%}
  {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif -%}
"""

SMOLLM3 = """\
{%- if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif -%}
{%- set mode = '/think' if enable_thinking else '/no_think' -%}
{{- '<|im_start|>system\\n' -}}
{%- if messages[0].role == 'system' -%}
  {%- set said = messages[0].content -%}
  {%- if '/no_think' in said %}{% set mode = '/no_think' %}{% endif -%}
  {%- set said = said.replace('/no_think', '').replace('/think', '').rstrip() -%}
{%- endif -%}
{{- 'Today: ' ~ strftime_now('%Y') ~ '\\nReasoning Mode: ' + mode + '\\n\\n' -}}
{%- if said %}{{ said + '\\n\\n' }}{% endif -%}
{%- if xml_tools or tools -%}
  {%- if tools %}{% set xml_tools = tools %}{% endif -%}
  {%- set ns = namespace(text='<tools>\\n') -%}
  {%- for tool in xml_tools[:] %}{% set ns.text = ns.text ~ (tool | string) ~ '\\n' %}{% endfor -%}
  {{- ns.text + '</tools>\\n' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else '' -%}
  {%- if message.role == 'assistant' -%}
    {% generation %}
    {%- if mode == '/think' -%}
      {{- '<|im_start|>assistant\\n' + content.lstrip('\\n') + '<|im_end|>\\n' -}}
    {%- else -%}
      {{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' + content.lstrip('\\n') -}}
      {{- '<|im_end|>\\n' -}}
    {%- endif -%}
    {% endgeneration %}
  {%- elif message.role in ['user', 'tool'] -%}
    {{- '<|im_start|>user\\n' + content + '<|im_end|>\\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' + ('<think>\\n\\n</think>\\n' if mode == '/no_think' else '') -}}
{%- endif -%}
"""

DEEPSEEK_R1 = """\
{{- bos_token -}}
{%- for message in messages -%}
  {%- if message['role'] == 'system' %}{{ message['content'] }}{% endif -%}
  {%- if message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}{% endif -%}
  {%- if message['role'] == 'assistant' -%}
    {{- '<|Assistant|>' + message['content'].split('</think>')[-1] + '<|end|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif -%}
"""

CHATML = """\
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}\
{{ '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

TEMPLATES = {
    "compact": CHATML,
    "hermes": QWEN3,
    "llama3_json": LLAMA3,
    "llama3_pythonic": LLAMA3,
    "mistral": MISTRAL,
    "phi4": PHI4,
    "gemma": GEMMA3,
    "smollm3": SMOLLM3,
    "plain": CHATML,
}
"""The template that a format is meant for, by the format's name."""

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
