"""CPU and memory of whole process trees, as the operating system accounts for them."""

from collections.abc import Iterable

import psutil


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, their children, and children that have ended and were reaped."""
    total = 0.0
    for pid in pids:
        for process in tree(pid):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(pids: Iterable[int]) -> float:
    """Proportional set size where the system tells it (shared pages count once), else resident size."""
    total = 0
    for pid in pids:
        for process in tree(pid):
            try:
                info = process.memory_full_info()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            total += getattr(info, "pss", 0) or info.rss
    return total / 1e6
