"""What honest code gets: its inputs, its output, what it printed, and an account of what went wrong."""

import asyncio
import time

from services.orchestration.adapters.sandbox import BubblewrapSandbox, CodeLimits
from services.orchestration.engine.ports import CodeRequest
from tests.sandbox.conftest import Run, failure


async def test_main_gets_the_inputs_and_its_value_is_the_answer(run: Run) -> None:
    source = "def main(inputs):\n    print('adding')\n    return {'sum': sum(inputs['numbers'])}"
    reply = await run(source, {"numbers": [1, 2, 3]})
    assert reply.value == {"sum": 6}
    assert reply.printed == "adding\n"


async def test_the_standard_library_is_there(run: Run) -> None:
    modules = "asyncio, bz2, ctypes, csv, datetime, decimal, hashlib, json, lzma, re, sqlite3, ssl, statistics, zlib"
    source = f"import {modules}\nasync def four():\n    return 4\ndef main(inputs):\n    return asyncio.run(four())"
    assert (await run(source)).value == 4


async def test_nothing_else_that_is_installed_here_is_there(run: Run) -> None:
    told = await failure(run, "def main(inputs):\n    import pydantic")
    assert "No module named 'pydantic'" in told.message


async def test_odd_text_comes_back_as_it_is(run: Run) -> None:
    odd = "\U0001f600 \ud800 \x00 é"
    assert (await run("def main(inputs):\n    return {inputs: inputs}", odd)).value == {odd: odd}


async def test_an_exception_is_told_with_the_users_own_lines(run: Run) -> None:
    source = "def half(n):\n    return 1 / n\n\ndef main(inputs):\n    print('so far')\n    return half(0)"
    told = await failure(run, source)
    assert told.code == "code_failed"
    assert told.message == "ZeroDivisionError: division by zero (line 2)"
    assert told.details["traceback"] == (
        "  line 6, in main\n    return half(0)\n"
        "  line 2, in half\n    return 1 / n\n"
        "ZeroDivisionError: division by zero"
    )
    assert told.details["printed"] == "so far\n"


async def test_code_that_is_no_python_or_ends_early_has_failed(run: Run) -> None:
    assert (await failure(run, "def main(:\n    pass")).message == "SyntaxError: invalid syntax (line 1)"
    assert (await failure(run, "x = 1")).message.startswith("KeyError")
    assert "SystemExit" in (await failure(run, "def main(inputs):\n    raise SystemExit(3)")).message
    assert "ended before main" in (await failure(run, "import os\ndef main(inputs):\n    os._exit(0)")).message


async def test_what_is_no_json_is_no_output(run: Run) -> None:
    for value in ("{1, 2}", "float('nan')", "10**50", "10**5000", "object()"):
        told = await failure(run, f"def main(inputs):\n    return {value}")
        assert told.code == "code_failed", value
        assert "returned" in told.message, value
    deep = "def main(inputs):\n    x = []\n    for _ in range(100000):\n        x = [x]\n    return x"
    assert (await failure(run, deep)).code == "code_failed"


async def test_printed_text_is_cut_to_measure(run: Run) -> None:
    reply = await run("def main(inputs):\n    print('x' * 100000)")
    assert reply.printed.endswith("[cut off here]")
    assert len(reply.printed) < 70_000


async def test_only_so_many_run_at_the_same_moment(sandbox: BubblewrapSandbox) -> None:
    narrow = BubblewrapSandbox(CodeLimits(at_once=1))
    await narrow.check()
    request = CodeRequest("import time\ndef main(inputs):\n    time.sleep(0.3)", None, 10.0, 128)
    started = time.monotonic()
    await asyncio.gather(*(narrow.run(request) for _ in range(3)))
    assert time.monotonic() - started > 0.9
