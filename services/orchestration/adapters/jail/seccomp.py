"""The system calls that code in the sandbox is refused, as a program for the kernel's filter (seccomp BPF).

Namespaces hide the machine and limits bound what is used. This takes away what neither covers: further processes and
threads (limits on their number do not hold for root), memory outside the address space that is limited (shared
segments, memory files), sockets of any kind, and the parts of the kernel in which faults are found most.
"""

import platform
import struct

_ALLOW, _KILL = 0x7FFF_0000, 0x8000_0000
_ERRNO = 0x0005_0000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06  # words of the filter's machine
_NUMBER, _ARCHITECTURE = 0, 4  # where they stand in what it looks at

# Newer calls than this one are not known here, so they are not there either. Libraries make do without.
_NEWEST = 450

_AUDIT = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
# Of x86_64 and of aarch64; None where there is no such call.
_REFUSED: dict[str, tuple[int, int | None]] = {
    # processes and threads
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # the network, and handing files over
    "socket": (41, 198), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    # memory that the limit does not see
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "vmsplice": (278, 75),
    "move_pages": (279, 239), "migrate_pages": (256, 238), "mbind": (237, 235),
    # namespaces and file systems
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "quotactl": (179, 60), "swapon": (167, 224), "swapoff": (168, 225),
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_setup": (206, 0),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "syslog": (103, 116), "personality": (135, 92),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
}  # fmt: skip
# Libraries ask for this one first and take `clone` when it is not there.
_MISSING = (435,)  # clone3


def filter_program(machine: str | None = None) -> bytes | None:
    """The program for this machine, or the one named; None for one whose calls are not known here."""
    machine = machine or platform.machine()
    if machine not in _AUDIT:
        return None
    column = list(_AUDIT).index(machine)
    refused = [numbers[column] for numbers in _REFUSED.values()]
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, _AUDIT[machine], yes=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        # Also the second set of numbers that x86_64 has for the same calls: they are large.
        *_when(_GREATER, _NEWEST, _ENOSYS),
        *(line for number in _MISSING for line in _when(_EQUAL, number, _ENOSYS)),
        *(line for number in refused if number is not None for line in _when(_EQUAL, number, _EPERM)),
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(program)


def _when(test: int, number: int, errno: int) -> tuple[bytes, bytes]:
    return _instruction(test, number, no=1), _instruction(_RETURN, _ERRNO | errno)


def _instruction(code: int, operand: int, *, yes: int = 0, no: int = 0) -> bytes:
    """`yes` and `no` are how many instructions a test skips."""
    return struct.pack("=HBBI", code, yes, no, operand)
