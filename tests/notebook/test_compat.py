"""The compat modules in a notebook: waiting calls work in a cell, and leave no event loop."""

from __future__ import annotations

LOOPS = """
import sys, threading

def loops():
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = []
    for ident, frame in sys._current_frames().items():
        while frame is not None:
            if frame.f_code.co_name == "run_forever":
                found.append(names.get(ident))
            frame = frame.f_back
    return sorted(found)

before = loops()
"""
IMPORT = """
from llm_magic.compat import opentracy as ot
from llm_magic.compat.onellm import AsyncOpenAI, OpenAI
MODEL, HELLO = "openai/gpt-4o-mini", [{"role": "user", "content": "hello"}]
client = OpenAI()
"""
CREATE = "print(client.chat.completions.create(HELLO, MODEL).choices[0].message['content'])"
STREAM = """
for chunk in client.chat.completions.create(MODEL, HELLO, stream=True, mode="DISABLED"):
    if chunk.choices[0].delta.get("content"):
        print(chunk.choices[0].delta["content"], end="")
"""
COMPLETION = "print(ot.completion(MODEL, HELLO, mode='DISABLED').text)"
AWAITED = """
stream = await ot.acompletion(MODEL, HELLO, stream=True, mode="DISABLED")
print("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
answer = await AsyncOpenAI().chat.completions.create(MODEL, HELLO, mode="DISABLED")
print(answer.text)
"""
AFTER = "print(before == loops(), 'MainThread' in before)"


def test_waiting_and_awaited_calls_work_in_a_cell_and_leave_no_event_loop(
    server, write_notebook, run_notebook
):
    path = write_notebook("compat.ipynb", LOOPS, IMPORT, CREATE, STREAM, COMPLETION, AWAITED, AFTER)

    cells = run_notebook(path)

    printed = ["".join(output.text for output in cell.outputs) for cell in cells]
    said = "You said: hello"
    expected = ["", "", f"{said}\n", said, f"{said}\n", f"{said}\n{said}\n", "True True\n"]
    assert printed == expected
    assert server.count == 5
