"""From an image file to 8-bit pixels, grey or RGB: every conversion of an image happens here."""

import contextlib
import functools
import warnings
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError

Image.MAX_IMAGE_PIXELS = None  # `dataset.max_pixels` is the limit instead, which is answered with the file's name
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # metadata, such as "Corrupt EXIF data"

NEED_A_TOOL = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow recognises but can read only with an external program, if at all."""
PILLOW_LIMIT = 178_956_970
"""Pixels above which Pillow itself refuses an image."""
WHITE_IS_ZERO, BITS_PER_SAMPLE, PHOTOMETRIC = 0, 258, 262
"""TIFF 6.0, section 8: tags and a value of `PHOTOMETRIC`."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Reads image files."""

    channels: int = 3
    """1: grey, 3: RGB."""
    background: tuple[int, int, int] = (255, 255, 255)
    """Shown through transparent pixels."""
    max_pixels: int = PILLOW_LIMIT
    """Larger JPEGs are decoded at a half, a quarter or an eighth of each side; other formats are refused."""

    def read(self, path: str) -> Image.Image:
        """The upright image, L or RGB; `OptionError` with the file's name if it cannot be read."""
        try:
            return self.decode(path)
        except Exception as error:  # whatever Pillow's readers raise on malformed files
            raise OptionError(f"cannot read image {path} ({reason(error)}); replace or remove it") from error

    def decode(self, path: str) -> Image.Image:
        """As `read`, but with the errors of Pillow."""
        # Given a name, Pillow maps uncompressed TIFFs into memory, and then scrambles those that EXIF turns by 90°.
        with open(path, "rb") as file, Image.open(file) as image:
            self.prepare(image)
            image.load()
            with contextlib.suppress(Exception):  # malformed EXIF data: the orientation is unknown
                ImageOps.exif_transpose(image, in_place=True)
            return self._eight_bit(image)

    def prepare(self, image: Image.Image) -> None:
        """Before an opened image is decoded: set the scale of very large ones, refuse what cannot be converted."""
        _bits(image)
        width, height = image.size
        if width * height <= self.max_pixels:
            return
        if image.format in ("JPEG", "MPO"):
            for scale in (2, 4, 8):
                if -(-width // scale) * -(-height // scale) <= self.max_pixels:
                    image.draft(None, (width // scale, height // scale))  # type: ignore[arg-type]
                    return
        raise ValueError(f"{width}×{height} pixels are more than dataset.max_pixels={self.max_pixels}")

    def _eight_bit(self, image: Image.Image) -> Image.Image:
        mode = "L" if self.channels == 1 else "RGB"
        bits = _bits(image)
        if bits > 8:
            image = _high_byte(image, bits)
        if image.has_transparency_data:
            image = image.convert("LA") if image.mode == "La" else image
            canvas = Image.new("RGBA", image.size, (*self.background, 255))
            canvas.alpha_composite(image.convert("RGBA"))
            image = canvas
        return image if image.mode == mode else image.convert(mode)  # which would copy it


def decoder(options: Dataset, channels: int = 3) -> Decoder:
    """The decoder that the options describe."""
    try:
        red, green, blue = ImageColor.getrgb(options.background)[:3]
    except ValueError:
        raise OptionError(
            f"dataset.background={options.background} is not a colour: write a name such as white, or #rrggbb"
        ) from None
    return Decoder(channels, (red, green, blue), options.max_pixels)


@functools.cache
def extensions() -> frozenset[str]:
    """Endings, in lower case with their dot, of the files that Pillow can read."""
    endings = Image.registered_extensions()
    return frozenset(end for end, kind in endings.items() if kind in Image.OPEN and kind not in NEED_A_TOOL)


def reason(error: Exception) -> str:
    """What is wrong with an image, in one line and without the file's name."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of an unknown format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _bits(image: Image.Image) -> int:
    """Bits of a channel, 8 or more; `ValueError` where the range of the values is unknown."""
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]
        return int(bits) if 8 < bits <= 16 else 16
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # which hold 16 bits at most
        return 16
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"mode {image.mode}: {kind} have no known range; convert it to 8 or 16 bits")
    return 8


def _high_byte(image: Image.Image, bits: int) -> Image.Image:
    """Grey values of 9 to 16 bits as 8 bits, as Pillow itself reads colour images of 16 bits."""
    import numpy as np

    values = np.asarray(image).astype(np.int32)
    grey = np.clip(values >> (bits - 8), 0, 255).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
    result = Image.fromarray(grey)
    key = image.info.get("transparency")
    if isinstance(key, int):
        result.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return result
