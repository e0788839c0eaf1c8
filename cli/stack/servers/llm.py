"""The local language model: llama.cpp's server on loopback, asking for a key, with no page of its own."""

import os
import signal
import sys
import threading
from importlib import import_module
from typing import Any

xllamacpp: Any = import_module("xllamacpp")  # it has no types

# Per slot: room for an agent with a few passages and tool results, within the memory of a laptop.
_CONTEXT_TOKENS = 8192
_SLOTS = 2
_PROMPT_CACHE_MB = 256


def main(model: str, alias: str, host: str, port: str) -> None:
    threads = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 2
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {alias}
    parameters.hostnames = [host]
    parameters.port = int(port)
    parameters.api_keys = [os.environ["LLM_API_KEY"]]
    parameters.cors_origins = f"http://{host}:{port}"
    parameters.cors_origins_explicit = True
    parameters.cors_credentials = False
    parameters.ui = False
    # Read, not mapped: the weights are laid out anew for this processor, and a map would stay in memory beside them.
    parameters.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    parameters.use_jinja = True
    parameters.n_ctx = _CONTEXT_TOKENS * _SLOTS
    parameters.n_parallel = _SLOTS
    parameters.cache_ram_mib = _PROMPT_CACHE_MB
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"listening on {server.listening_address}\n")
    sys.stdout.flush()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    stopped.wait()
    # Its threads have nothing to save, and joining them would wait for the answer being generated.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
