"""From a file to 8-bit pixels: orientation, bit depth, transparency, colour spaces, very large and unreadable files."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.pixels import Decoder, decoder, extensions

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)


def values(path: Path, channels: int = 1, **options: object) -> NDArray[np.uint8]:
    return np.asarray(decoder(Dataset(**options), channels).read(str(path)))  # type: ignore[arg-type]


def tiff_tags(**tags: int) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[{"orientation": 274, "photometric": 262}[name]] = value
    return directory


# -- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_photographs_are_turned_upright(tmp_path: Path, ending: str, orientation: int, turns: int) -> None:
    upright = np.kron(np.array([[20, 120, 220]], np.uint8), np.ones((32, 16), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"turned.{ending}"
    Image.fromarray(np.rot90(upright, -turns)).convert("RGB").save(path, exif=exif, quality=95)
    assert np.abs(values(path).astype(int) - upright).max() <= 6


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_turned_tiff_is_turned_once(tmp_path: Path, compression: str | None) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tif", tiffinfo=tiff_tags(orientation=6), compression=compression)
    assert (values(tmp_path / "a.tif") == np.rot90(GREY, 3)).all()


def test_malformed_exif_data_is_ignored(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert (values(tmp_path / "a.png") == GREY).all()


# -- bit depth --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
@pytest.mark.parametrize("factor", [256, 257])
def test_16_bits_become_the_same_8(tmp_path: Path, ending: str, factor: int) -> None:
    path = tmp_path / f"deep.{ending}"
    Image.fromarray(GREY.astype(np.uint16) * np.uint16(factor)).save(path)
    assert (values(path) == GREY).all()
    assert (values(path, 3) == GREY[:, :, None]).all()


def test_16_bits_with_0_as_white_are_inverted(tmp_path: Path) -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * np.uint16(257))
    deep.save(tmp_path / "a.tif", tiffinfo=tiff_tags(photometric=0))
    assert (values(tmp_path / "a.tif") == 255 - GREY).all()


def test_16_bits_with_a_transparent_value(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * np.uint16(257)).save(tmp_path / "a.png", transparency=10 * 257)
    assert (values(tmp_path / "a.png") == np.where(GREY == 10, 255, GREY)).all()


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    assert (values(tmp_path / "a.png") == np.where(GREY > 100, 255, 0)).all()


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_of_unknown_range_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(GREY.astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(OptionError, match=rf"a\.tif \(mode {'F' if kind is np.float32 else 'I'}.*8 or 16 bits"):
        values(tmp_path / "a.tif")


# -- transparency and colour ------------------------------------------------------------------------------------------


def ink() -> Image.Image:
    """Black, with a transparent left half, whose hidden colour is black too."""
    picture = Image.new("RGBA", (6, 4), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 3, 4))
    return picture


def transparent(path: Path, kind: str) -> None:
    if kind == "key":  # one value is transparent
        Image.fromarray(np.array([[7] * 3 + [0] * 3] * 4, np.uint8)).save(path, transparency=7)
    elif kind == "colour key":
        grey = Image.fromarray(np.array([[7] * 3 + [0] * 3] * 4, np.uint8))
        grey.convert("RGB").save(path, transparency=(7, 7, 7))
    elif kind == "palette":
        ink().quantize().save(path)
    else:
        ink().convert(kind).save(path)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "key", "colour key"])
@pytest.mark.parametrize(
    ("background", "colour"), [("white", (255, 255, 255)), ("#ff0000", (255, 0, 0)), ("black", (0, 0, 0))]
)
def test_transparency_shows_the_background(
    tmp_path: Path, kind: str, background: str, colour: tuple[int, int, int]
) -> None:
    transparent(tmp_path / "a.png", kind)
    pixels = values(tmp_path / "a.png", 3, background=background)
    assert (pixels[:, :3] == colour).all()
    assert (pixels[:, 3:] == 0).all()


def test_transparent_gif_and_half_transparent_pixels(tmp_path: Path) -> None:
    ink().save(tmp_path / "a.gif")
    assert values(tmp_path / "a.gif")[0].tolist() == [255] * 3 + [0] * 3
    Image.new("RGBA", (2, 2), (0, 100, 0, 128)).save(tmp_path / "half.png")
    assert np.abs(values(tmp_path / "half.png", 3)[0, 0].astype(int) - [127, 177, 127]).max() <= 1


def test_the_background_must_be_a_colour() -> None:
    with pytest.raises(OptionError, match=r"dataset\.background=wite .*#rrggbb"):
        decoder(Dataset(background="wite"))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P", "L"])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str) -> None:
    colour = (204, 102, 51) if mode != "L" else (120, 120, 120)
    Image.new("RGB", (16, 16), colour).convert(mode).save(tmp_path / "a.tif")
    assert np.abs(values(tmp_path / "a.tif", 3)[8, 8].astype(int) - colour).max() <= 4


# -- very large, unreadable and unusual files -------------------------------------------------------------------------


def test_a_very_large_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (200, 100, 50)).save(tmp_path / "a.jpg")
    assert values(tmp_path / "a.jpg", 3, max_pixels=640 * 480).shape == (480, 640, 3)
    small = values(tmp_path / "a.jpg", 3, max_pixels=100_000)
    assert small.shape == (240, 320, 3)
    assert np.abs(small[100, 100].astype(int) - (200, 100, 50)).max() <= 3
    assert values(tmp_path / "a.jpg", max_pixels=5000).shape == (60, 80)
    with pytest.raises(OptionError, match=r"a\.jpg \(640×480 pixels are more than dataset\.max_pixels=4000\)"):
        values(tmp_path / "a.jpg", max_pixels=4000)


def test_a_very_large_file_of_another_format_is_refused_by_name(tmp_path: Path) -> None:
    """Only its header exists: it is refused before anything is decoded, and not in Pillow's words."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 14_000, 14_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path = tmp_path / "scan.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 8) + b"IDAT")
    with pytest.raises(
        OptionError, match=r"scan\.png \(14000×14000 pixels are more than dataset\.max_pixels=178956970"
    ):
        values(path)
    with Image.open(path) as image:
        Decoder(max_pixels=200_000_000).prepare(image)  # a larger limit is accepted


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(OptionError, match=r"cannot read image .*a\.png"):
        values(tmp_path / "a.png")
    Image.effect_noise((64, 64), 50).save(tmp_path / "b.jpg")
    whole = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OptionError, match=r"cannot read image .*b\.jpg"):
        values(tmp_path / "b.jpg")
    with pytest.raises(OptionError, match=r"cannot read image .*none\.png"):
        values(tmp_path / "none.png")


def test_every_ending_that_pillow_reads_counts() -> None:
    assert {".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".tif", ".webp", ".bmp", ".gif", ".ppm", ".tga"} <= extensions()
    assert not {".mpg", ".h5", ".pdf", ".txt", ".eps"} & extensions()
