"""Whether images can be held as one array: their sizes, and the memory that they need."""

import os

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError


def check_sizes(options: Dataset, count: int, sizes: list[tuple[int, int, str]]) -> None:
    """Refuse `count` images that cannot be one array; `sizes`: width, height and path of one image of each size."""
    if options.image_size is None:
        for width, height, path in sizes:
            if width != height or (width, height) != tuple(sizes[0][:2]):
                first = sizes[0]
                unlike = "" if path == first[2] else f", the first is {first[0]}×{first[1]}"
                raise OptionError(
                    f"dataset.image_size=null needs square images of one size, but {path} is {width}×{height} pixels"
                    f"{unlike}: set dataset.image_size"
                )
    side = options.image_size or sizes[0][0]
    check_memory(count * 3 * side**2)


def check_memory(needed: int) -> None:
    """Refuse images of this number of bytes if they exceed the machine's memory."""
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # unknown on this system
        return
    if needed > available:
        raise OptionError(
            f"dataset.resident=true needs {needed / 1e9:.0f} GB for the images, but this machine has"
            f" {available / 1e9:.0f} GB of memory: set dataset.resident=false or a smaller dataset.image_size"
        )
