"""Knows an error that says there was no memory, whichever library says it."""

from __future__ import annotations

import errno
from typing import Final

# Of torch ("DefaultCPUAllocator: can't allocate memory", "CUDA out of memory"), of C++ (std::bad_alloc), of OpenCV
# ("Insufficient memory"), of the loader of libraries ("failed to map segment", "cannot allocate memory"), of threads.
SAID: Final = (
    "allocate memory", "out of memory", "bad_alloc", "insufficient memory", "not enough memory",
    "failed to map segment", "can't start new thread", "unable to allocate", "resource temporarily unavailable",
)  # fmt: skip


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is that of an allocation that failed; numpy's and Arrow's are MemoryErrors too."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    # Others have no class of their own: torch, OpenCV and h5py say it in words of theirs.
    own = isinstance(error, (RuntimeError, ImportError, OSError, ValueError)) or type(error).__module__ == "cv2"
    return own and any(words in str(error).lower() for words in SAID)
