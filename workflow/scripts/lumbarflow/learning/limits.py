"""Memory and devices that fail: said with the numbers, whatever backend raises."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import DataError

# messages of TensorFlow, JAX and PyTorch; they share no exception type
OUT_OF_MEMORY = re.compile("MemoryError|ResourceExhausted|RESOURCE_EXHAUSTED|OOM when|out of memory|allocate memory")
LOST = re.compile("CUDA_ERROR|CUDA error|cudaError|device lost|DEVICE_LOST|has fallen off|UNAVAILABLE|DeadlineExceeded")
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


@contextmanager
def explained(memory: str, lost: str) -> Iterator[None]:
    """Turn an error of any backend into a DataError: of too little memory with the message `memory`, of a device
    that stopped answering with `lost`. All others pass."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        if OUT_OF_MEMORY.search(said):
            raise DataError(memory) from None
        if LOST.search(said):
            raise DataError(f"{lost} ({said.splitlines()[0][:300]})") from None
        raise


def available() -> int | None:
    """Bytes of memory that this process may still take, by the system's count and its container's; None if unknown."""
    found = []
    if MEMINFO.is_file():
        found += [1024 * int(n) for n in re.findall(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(), re.M)]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdecimal():
        statistics = CGROUP / "memory.stat"
        cached = re.findall(r"^inactive_file (\d+)$", statistics.read_text(), re.M) if statistics.is_file() else []
        # files that the kernel keeps in memory as long as nobody needs it
        found.append(max(int(limit.read_text()) - int(used.read_text()) + sum(map(int, cached)), 0))
    return min(found, default=None)
