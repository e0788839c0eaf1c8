"""What a process that reads a document gives up before it looks at it, as far as this system can take it away.

The family: `leave_network` and `Cage` are for the process that makes the readers, once. The reader itself calls
`bound` and `Cage.enter`. Standard library only: it is imported before anything else.
"""

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_NEW_USER, _NEW_NET, _NEW_IPC = 0x1000_0000, 0x4000_0000, 0x0800_0000

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every machine
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
# How many kinds of access to files each version of Landlock knows; later ones know at least as many as the last.
_FILE_KINDS: Mapping[int, int] = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP, _TCP_SINCE = 0b11, 4
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract sockets, signals


def bound(memory_bytes: int, cpu_seconds: int) -> None:
    for kind, soft, hard in (
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        try:
            resource.setrlimit(kind, (soft, hard))
        except (ValueError, OSError):
            if _LINUX:  # elsewhere some limits do not exist; the parent's clock still runs
                raise


def die_with_parent() -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_network() -> None:
    """Refused in some containers: there the filter of system calls has to do."""
    if _LINUX:
        libc = ctypes.CDLL(None)
        if libc.unshare(_NEW_USER | _NEW_NET | _NEW_IPC) != 0:
            libc.unshare(_NEW_NET)


@dataclass(frozen=True, slots=True)
class Cage:
    """`files` is Landlock's rule, -1 where the kernel has none."""

    files: int

    @classmethod
    def around(cls, readable: Iterable[Path], *, programs: bool = False) -> "Cage":
        """`programs`: what is there may also be run."""
        allowed = _READ_FILE | _READ_DIR | (_EXECUTE if programs else 0)
        return cls(_landlock(readable, allowed) if _LINUX else -1)

    def enter(self, *, programs: bool = False) -> None:
        """For good: no files but those, none to be written, no sockets, no processes, no signals to others.

        `programs`: the process may become another program, of which less is known and so less is refused.
        """
        if not _LINUX:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if self.files >= 0 and libc.syscall(_LANDLOCK_RESTRICT, self.files, 0) != 0:
            raise OSError(ctypes.get_errno(), "Landlock refused its own rule")
        machine, pid = platform.machine(), os.getpid()
        _filter_calls(libc, programs_filter(machine, pid) if programs else filter_program(machine, pid))


def _landlock(readable: Iterable[Path], allowed: int) -> int:
    libc = ctypes.CDLL(None)
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return -1
    kinds = (1 << _FILE_KINDS[min(version, max(_FILE_KINDS))]) - 1
    fields = [kinds]
    if version >= _TCP_SINCE:
        fields.append(_TCP)
    if version >= _SCOPES_SINCE:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    files = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    for path in readable if files >= 0 else ():
        with contextlib.suppress(OSError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            libc.syscall(_LANDLOCK_ADD, files, 1, struct.pack("=Qi", allowed, place), 0)
            os.close(place)
    return files


# The system calls a reader needs, of x86_64 and of aarch64; None where there is no such call. All others fail.
_AUDIT = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_NEEDED: dict[str, tuple[int | None, int | None]] = {
    # what it already has open, and looking for files
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "lseek": (8, 62),
    "close": (3, 57), "fstat": (5, 80), "newfstatat": (262, 79), "stat": (4, None), "lstat": (6, None),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "getdents64": (217, 61), "readlink": (89, None),
    "readlinkat": (267, 78), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "getcwd": (79, 17), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "fadvise64": (221, 223), "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # memory
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233),
    "brk": (12, 214), "membarrier": (324, 283),
    # itself
    "futex": (202, 98), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "arch_prctl": (158, None),
    "set_tid_address": (218, 96), "set_robust_list": (273, 99), "rseq": (334, 293), "restart_syscall": (219, 128),
    "exit": (60, 93), "exit_group": (231, 94), "getrlimit": (97, 163), "getrusage": (98, 165), "times": (100, 153),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "uname": (63, 160),
    "sysinfo": (99, 179), "getrandom": (318, 278),
    # time
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
}  # fmt: skip
# Of a program we did not write only what it cannot need is refused.
_NEVER: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "socket": (41, 198), "socketpair": (53, 199),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kill": (62, 129),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "setpriority": (141, 140), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "move_pages": (279, 239), "kcmp": (312, 272), "process_madvise": (440, 440),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "memfd_create": (319, 279), "shmget": (29, 194),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273),
}  # fmt: skip
_OPEN, _OPENAT, _TGKILL = (2, None), (257, 56), (234, 131)
_PRLIMIT, _IOCTL, _CLONE3, _FCNTL = (302, 261), (16, 29), (435, 435), (72, 25)
# What a file can be told. Not who is sent which signal when something happens to it: that would be a way to kill.
_TOLD = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
_NEVER_TOLD = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX

_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM, _EACCES, _ENOTTY, _ENOSYS = 1, 13, 25, 38
_SECOND_SET = 0x4000_0000 - 1
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06  # words of the filter's machine
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they stand in what it looks at


def _filter_calls(libc: ctypes.CDLL, program: bytes | None) -> None:
    if program is None:
        return
    buffer = ctypes.create_string_buffer(program)
    # A count of instructions and where they are, as the kernel wants to be told of them.
    told = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    libc.prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(told), 0, 0)


def filter_program(machine: str, pid: int) -> bytes | None:
    """The program for the kernel's filter (seccomp BPF); None for a machine whose calls are not known here."""
    if machine not in _AUDIT:
        return None
    column = list(_AUDIT).index(machine)
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    program = _begin(machine)
    for calls in _NEEDED.values():
        program += _when(calls[column], _return(_ALLOW))
    program += _when(_OPENAT[column], _unless(_argument(2), _ANY_BIT, writing, _EACCES))
    program += _when(_OPEN[column], _unless(_argument(1), _ANY_BIT, writing, _EACCES))
    # A library that gives up ends its own process by a signal, which tells us why.
    program += _of_itself(column, pid)
    program += _when(_FCNTL[column], _among(_argument(1), _TOLD))
    program += _when(_IOCTL[column], _return(_ERRNO | _ENOTTY))
    program += _when(_CLONE3[column], _return(_ERRNO | _ENOSYS))  # libraries then ask for `clone`
    program += _return(_ERRNO | _EPERM)
    return b"".join(program)


def programs_filter(machine: str, pid: int) -> bytes | None:
    """As `filter_program`, for a process that is to become another program."""
    if machine not in _AUDIT:
        return None
    column = list(_AUDIT).index(machine)
    program = _begin(machine)
    for calls in _NEVER.values():
        program += _when(calls[column], _return(_ERRNO | _EPERM))
    program += _of_itself(column, pid)
    program += _when(_FCNTL[column], _none_of(_argument(1), _NEVER_TOLD))
    program += _when(_CLONE3[column], _return(_ERRNO | _ENOSYS))
    return b"".join([*program, *_return(_ALLOW)])


def _of_itself(column: int, pid: int) -> list[bytes]:
    """Signals go to itself alone. Limits may be asked for, not set: they could be another's."""
    return [
        *_when(_TGKILL[column], _only(_argument(0), pid)),
        *_when(_PRLIMIT[column], _only(_argument(2), 0, _argument(2) + 4)),
    ]


def _begin(machine: str) -> list[bytes]:
    """Calls by the numbers of another machine, and by the second set that x86_64 has, are none of ours."""
    return [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, _AUDIT[machine], yes=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_GREATER, _SECOND_SET, no=1),
        _instruction(_RETURN, _KILL),
    ]


def _when(number: int | None, then: list[bytes]) -> list[bytes]:
    return [] if number is None else [_instruction(_EQUAL, number, no=len(then)), *then]


def _unless(place: int, test: int, operand: int, errno: int) -> list[bytes]:
    return [
        _instruction(_LOAD, place),
        _instruction(test, operand, no=1),
        *_return(_ERRNO | errno),
        *_return(_ALLOW),
    ]


def _only(place: int, value: int, second: int | None = None) -> list[bytes]:
    """Where this word is the value (and a second one is too)."""
    tests = [
        line
        for word in (place, second)
        if word is not None
        for line in (_instruction(_LOAD, word), _instruction(_EQUAL, value, yes=1), *_return(_ERRNO | _EPERM))
    ]
    return [*tests, *_return(_ALLOW)]


def _among(place: int, values: Iterable[int]) -> list[bytes]:
    """Where this word is one of the values."""
    tests = [line for value in values for line in (_instruction(_EQUAL, value, no=1), *_return(_ALLOW))]
    return [_instruction(_LOAD, place), *tests, *_return(_ERRNO | _EPERM)]


def _none_of(place: int, values: Iterable[int]) -> list[bytes]:
    tests = [line for value in values for line in (_instruction(_EQUAL, value, no=1), *_return(_ERRNO | _EPERM))]
    return [_instruction(_LOAD, place), *tests, *_return(_ALLOW)]


def _argument(index: int) -> int:
    """The lower half: both machines put it first."""
    return _ARGUMENTS + 8 * index


def _return(what: int) -> list[bytes]:
    return [_instruction(_RETURN, what)]


def _instruction(code: int, operand: int, *, yes: int = 0, no: int = 0) -> bytes:
    """`yes` and `no` are how many instructions a test skips."""
    return struct.pack("=HBBI", code, yes, no, operand)
