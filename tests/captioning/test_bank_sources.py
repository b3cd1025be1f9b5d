import io
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.captioning.bank_building import build_bank
from neurovis.captioning.bank_sources import (
    FolderImages,
    ParquetImages,
    StimulusImages,
    TarImages,
    decode_image,
)
from neurovis.captioning.embedders import ExtractorEmbedder
from neurovis.core import StimulusSet
from neurovis.features.pixels import PixelFeatures

pa = pytest.importorskip("pyarrow", exc_type=ImportError, reason="this pyarrow needs another NumPy")
pq = pytest.importorskip("pyarrow.parquet")


def encode(image, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def files(make_images):
    return {f"{i:03d}": encode(image) for i, image in enumerate(make_images(23))}


def write_folder(root, files):
    for number, (name, content) in enumerate(files.items()):
        path = root / ("a" if number < 10 else "b") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "notes.txt").write_text("no image")
    return FolderImages(root, name="images")


def write_tars(root, files, mode="w"):
    names = list(files)
    paths = []
    for shard, part in enumerate((names[:9], names[9:])):
        paths.append(root / f"shard-{shard}.tar")
        with tarfile.open(paths[-1], mode) as tar:
            for name in part:
                for suffix, content in ((".png", files[name]), (".txt", b"a caption"), (".json", b"{}")):
                    member = tarfile.TarInfo(f"{name}{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return TarImages(paths, name="images")


def write_parquet(root, files, *, nested):
    values = [{"bytes": c, "path": None} if nested else c for c in files.values()]
    table = pa.table({"key": list(files), "image": values})
    paths = [root / f"{nested}-0.parquet", root / f"{nested}-1.parquet"]
    pq.write_table(table.slice(0, 12), paths[0], row_group_size=5)
    pq.write_table(table.slice(12), paths[1], row_group_size=5)
    return ParquetImages(paths, name="images", id_column="key")


def test_folder_tar_parquet_and_stimuli_give_the_same_bank(tmp_path, files, embed):
    sources = {
        "folder": write_folder(tmp_path / "folder", files),
        "tar": write_tars(tmp_path, files),
        "plain": write_parquet(tmp_path, files, nested=False),
        "nested": write_parquet(tmp_path, files, nested=True),
    }
    banks = {
        name: build_bank(tmp_path / f"bank-{name}", [source], embed, shard_images=7)
        for name, source in sources.items()
    }
    ids = {name: list(bank.read_images(bank.rows)["image_id"]) for name, bank in banks.items()}
    assert ids["tar"][0] == "shard-0/000"
    assert ids["folder"][10] == "b/010"
    assert ids["plain"] == list(files)
    first = list(banks["folder"].iterate_tiles())
    assert sum(len(tile.norms) for tile in first) == 23
    for bank in banks.values():
        for ours, theirs in zip(bank.iterate_tiles(), first, strict=True):
            assert np.array_equal(ours.directions, theirs.directions)
            assert np.array_equal(ours.norms, theirs.norms)


@pytest.mark.parametrize("start", [0, 1, 9, 12, 13, 22, 23])
def test_sources_start_anywhere(tmp_path, files, start):
    for source in (
        write_folder(tmp_path / "folder", files),
        write_tars(tmp_path, files, "w:gz"),
        write_parquet(tmp_path, files, nested=True),
    ):
        whole = [(name, bytes(content)) for name, content in source.iterate()]
        assert [(name, bytes(content)) for name, content in source.iterate(start)] == whole[start:]


def test_a_stimulus_set_is_a_source_and_missing_files_fail(tmp_path, files, embed):
    source = write_folder(tmp_path, files)
    paths = [f"{'a' if i < 10 else 'b'}/{name}.png" for i, name in enumerate(files)]
    table = pd.DataFrame({"path": [*paths, "gone.png"]}, index=[*files, "gone"])
    stimuli = StimulusSet("set", table, tmp_path, (8, 8))
    bank = build_bank(tmp_path / "bank", [StimulusImages(stimuli)], embed)
    other = build_bank(tmp_path / "other", [source], embed)
    assert len(bank) == len(other) == 23
    assert np.array_equal(next(bank.iterate_tiles()).directions, next(other.iterate_tiles()).directions)
    assert "gone\tno content" in (tmp_path / "bank" / "failed.tsv").read_text()


def test_an_extractor_embeds_images_as_it_does_stimuli(tmp_path, make_images):
    extractor = PixelFeatures()
    images = make_images(5)
    embed = ExtractorEmbedder(extractor, layer=extractor.layers[0], batch_size=2)
    found = embed(list(images))
    assert found.shape[0] == 5
    assert embed.space == extractor.name
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(5)]}, index=[str(i) for i in range(5)])
    direct = extractor(StimulusSet("s", table, tmp_path, (1.0, 1.0)))[extractor.layers[0]].values
    assert np.allclose(found, direct)


def test_grey_and_transparent_files_become_rgb(make_images):
    image = make_images(1)[0]
    grey = encode(image[..., 0])
    assert decode_image(grey).shape == image.shape
    assert np.array_equal(decode_image(encode(image)), image)


def test_bad_sources_are_named(tmp_path, files):
    with pytest.raises(FileNotFoundError, match="no folder of images"):
        FolderImages(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no file at .*x\.tar"):
        TarImages([tmp_path / "x.tar"])
    with pytest.raises(ValueError, match="at least one file"):
        ParquetImages([])
    source = write_parquet(tmp_path, files, nested=True)
    with pytest.raises(ValueError, match=r"must have the column 'picture', got \['key', 'image'\]"):
        list(ParquetImages(source.paths, column="picture").iterate())
    with pytest.raises(ValueError, match="must hold the bytes of image files, got str"):
        list(ParquetImages(source.paths, column="key").iterate())
    tar = write_tars(tmp_path, files)
    content = tar.paths[0].read_bytes()
    tar.paths[0].write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="truncated or not a tar file"):
        list(tar.iterate())
    source.paths[0].write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="truncated or not a parquet file"):
        list(source.iterate())
