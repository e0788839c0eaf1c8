import subprocess
import sys
from pathlib import Path

# Threads that change hands as often as can be, and all hash for the first time.
_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from shared.auth.passwords import _hasher
gate, failed = threading.Barrier(8), []
def first() -> None:
    gate.wait()
    try:
        _hasher.hash("correct horse battery")
    except BaseException as error:
        failed.append(repr(error))
threads = [threading.Thread(target=first) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(failed[0] if failed else 0)
"""


def test_the_first_passwords_of_a_process_may_be_hashed_at_the_same_time() -> None:
    root = Path(__file__).resolve().parents[2]
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", _AT_ONCE], cwd=root, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
