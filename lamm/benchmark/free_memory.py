"""How much memory a measurement may take."""

from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> float:
    """Bytes that can still be allocated on a device; infinite where the system doesn't say."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what torch keeps for itself can be allocated
        return torch.cuda.mem_get_info(device)[0]
    limits = [float("inf")]
    if MEMINFO.exists():
        line = next((line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable")), "")
        limits += [1024.0 * int(word) for word in line.split() if word.isdigit()]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.exists() and limit.read_text().strip().isdigit():
        limits.append(float(limit.read_text()) - float(used.read_text()))
    return min(limits)
