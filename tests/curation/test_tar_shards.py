"""Tar shards: whole or not there, equal bytes for equal examples, damage named in one line."""

import subprocess
import tarfile

import pytest

from qwenimage_ref.tar_shards import ShardError, read_shard, shards_in, write_shard

EXAMPLES = [
    ("a/000001", {"png": b"picture" * 100, "txt": b"a red star"}),
    ("000002", {"jpg": b"", "txt": "红色".encode(), "seg.npy": b"\0" * 513}),
    ("000003", {"png": b"x", "txt": b"y"}),
]


@pytest.fixture
def shard(tmp_path):
    file = tmp_path / "000000.tar"
    assert write_shard(file, EXAMPLES) == 3
    return file


def test_what_is_written_is_read(shard):
    assert list(read_shard(shard)) == EXAMPLES


def test_a_tar_program_lists_the_files_of_an_example_together(shard):
    listed = subprocess.run(["tar", "tf", shard], capture_output=True, text=True, check=True)
    names = ["a/000001.png", "a/000001.txt", "000002.jpg", "000002.txt", "000002.seg.npy"]
    assert listed.stdout.split() == [*names, "000003.png", "000003.txt"]


def test_what_other_programs_write_is_read(tmp_path):
    for name in ("cat.png", "cat.txt", "dog.png", "dog.txt"):
        (tmp_path / name).write_bytes(name.encode())
    with tarfile.open(tmp_path / "theirs.tar", "w") as archive:
        for name in ("./cat.png", "./cat.txt", "./dog.png", "./dog.txt"):
            archive.add(tmp_path / name, name)
    keys = {key: list(contents) for key, contents in read_shard(tmp_path / "theirs.tar")}
    assert list(keys.values()) == [["png", "txt"], ["png", "txt"]]


def test_equal_examples_give_equal_bytes(shard, tmp_path):
    write_shard(tmp_path / "again.tar", EXAMPLES)
    assert (tmp_path / "again.tar").read_bytes() == shard.read_bytes()


def test_a_shard_without_examples_is_read_as_one(tmp_path):
    write_shard(tmp_path / "none.tar", [])
    assert list(read_shard(tmp_path / "none.tar")) == []


def test_a_shard_that_fails_half_way_is_not_there(tmp_path):
    def examples():
        yield EXAMPLES[0]
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_shard(tmp_path / "half.tar", examples())
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(ShardError, match="000003 is there twice"):
        write_shard(tmp_path / "twice.tar", [EXAMPLES[2], EXAMPLES[2]])


def test_a_key_with_a_dot_is_refused_because_what_follows_it_is_a_suffix(tmp_path):
    with pytest.raises(ShardError, match="no key of letters"):
        write_shard(tmp_path / "dot.tar", [("a.b", {"txt": b""})])


def test_a_shard_cut_anywhere_is_damaged(shard):
    content = shard.read_bytes()
    end = content.rindex(b"y") + 1  # the last byte of the last file
    for length in [
        0,
        100,
        512,
        700,
        1024,
        1536,
        2048,
        3000,
        end - 400,
        end - 1,
        end + 400,
        end + 511,
    ]:
        shard.write_bytes(content[:length])
        with pytest.raises(ShardError, match="is damaged after .*copy it again") as error:
            list(read_shard(shard))
        assert "\n" not in str(error.value)


def test_a_changed_header_in_the_middle_is_damage(shard):
    content = bytearray(shard.read_bytes())
    content[content.index(b"000002.txt")] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ShardError, match="damaged after 000002.jpg"):
        list(read_shard(shard))


def test_what_is_no_shard_is_refused(tmp_path):
    (tmp_path / "text.tar").write_text("text" * 1000)
    with pytest.raises(ShardError, match="damaged"):
        list(read_shard(tmp_path / "text.tar"))
    with pytest.raises(ShardError, match="damaged"):
        list(read_shard(tmp_path / "missing.tar"))


def test_shards_come_in_the_order_of_their_names(tmp_path):
    for name in ("b.tar", "a.tar", "._a.tar", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in shards_in(tmp_path)] == ["a.tar", "b.tar"]


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(ShardError, match="must hold shards"):
        shards_in(tmp_path)
    with pytest.raises(ShardError, match="must be in a folder"):
        shards_in(tmp_path / "none")
