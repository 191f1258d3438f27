import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import torch
from pyg_relational.train.run_folder import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(10):
    torch.ones(2**24).sum()  # 64 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again() -> None:
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", CODE, mode],
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )
        for mode in ("keep", "return")
    }
    # Twenty times 64 MB in pages of 4 kB, or hardly any; where a small block lies in
    # the way, the heap grows once more.
    assert faults["keep"] < faults["return"] / 4
