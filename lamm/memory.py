"""How much memory is free, and how many cores there are, without torch."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Ray's workers import this module, and need no torch
    import torch

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use, by its affinity and its container's limits."""
    from joblib import cpu_count

    return int(cpu_count())


def free_bytes(device: "torch.device | None" = None) -> float:
    """Bytes that can still be allocated on a device, None being the CPU; infinite where the system doesn't say."""
    if device is not None and device.type == "cuda":
        import torch

        torch.cuda.empty_cache()  # what torch holds back can be allocated
        return torch.cuda.mem_get_info(device)[0]
    limits = [float("inf")]
    if MEMINFO.exists():
        line = next((line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable")), "")
        limits += [1024.0 * int(word) for word in line.split() if word.isdigit()]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.exists() and limit.read_text().strip().isdigit():
        # What files read before still take is given back as soon as somebody wants it.
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        limits.append(float(limit.read_text()) - float(used.read_text()) + float(stat.get("inactive_file", 0)))
    return min(limits)
