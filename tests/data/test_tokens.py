"""Token files: written whole, opened without tokenising again, and their stand-ins announced."""

import os
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from linfcourse.data import openwebtext, tokens, wikitext
from linfcourse.data.tokens import (
    Tokenizer,
    byte_tokenizer,
    find_tokenizer,
    read_tokens,
    write_tokens,
)


def in_folder(folder):
    """Names of what a user sees there; locks and unfinished texts are hidden."""
    return sorted(path.name for path in folder.glob("[!.]*"))


def unfinished(folder):
    return [path for path in folder.glob(".*") if not path.name.endswith(".lock")]


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "tiktoken", None)


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for `datasets` that serves a few documents and remembers what was asked."""
    asked = []

    def load_dataset(*address, split, streaming):
        asked.append(address)
        assert split == "train" and streaming
        return [{"text": f"page {i} of {address[0]}"} for i in range(40)]

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


class TestOwnFiles:
    def test_tokens_are_the_files_bytes_with_an_end_after_each(self, tmp_path):
        a, b = tmp_path / "a.txt", tmp_path / "b.txt"
        a.write_text("Größe " * 20, encoding="utf-8")
        b.write_text("zweitens", encoding="utf-8")
        text = openwebtext(tmp_path / "cache", files=[a, str(b)], tokenizer="bytes")
        expected = [*a.read_bytes(), 256, *b.read_bytes(), 256]
        assert [*text.train, *text.val] == expected
        assert len(text.val) == len(expected) // 10
        assert isinstance(text.train, np.memmap) and text.train.dtype == np.uint16
        assert text.vocab_size == 257 and text.tokenizer == "bytes"

    def test_are_tokenised_once_and_again_when_they_change(self, tmp_path):
        file, cache = tmp_path / "a.txt", tmp_path / "cache"
        file.write_text("some text " * 9)
        first = openwebtext(cache, files=[file], tokenizer="bytes")
        made = cache / in_folder(cache)[0]
        stamp = (made / "tokens.bin").stat().st_mtime_ns
        assert openwebtext(cache, files=[file], tokenizer="bytes").source == first.source
        assert (made / "tokens.bin").stat().st_mtime_ns == stamp
        file.write_text("other text " * 9)
        changed = openwebtext(cache, files=[file], tokenizer="bytes")
        assert changed.source != first.source and len(in_folder(cache)) == 2

    def test_sampler_reads_windows_of_the_file(self, tmp_path):
        file = tmp_path / "a.txt"
        file.write_bytes(bytes(range(1, 101)))
        text = wikitext(tmp_path / "cache", files=[file], tokenizer="bytes")
        idx, targets = text.sampler(6, 10, seed=1)(4)
        assert idx.dtype == torch.int64 and torch.equal(targets, idx + 1)
        assert text.sampler(6, 4, split="val")(0)[0].min() > 90
        with pytest.raises(ValueError, match="split"):
            text.sampler(6, 10, split="test")

    def test_that_are_not_there_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
            openwebtext(tmp_path, files=[tmp_path / "nowhere.txt"], tokenizer="bytes")

    def test_that_are_no_text_are_named(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"\x89PNG")
        with pytest.raises(ValueError, match=r"a\.png is not"):
            openwebtext(tmp_path / "cache", files=[tmp_path / "a.png"], tokenizer="bytes")
        assert not in_folder(tmp_path / "cache") and not unfinished(tmp_path / "cache")

    def test_none_or_one_bare_path_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="files is empty"):
            openwebtext(tmp_path, files=[], tokenizer="bytes")
        with pytest.raises(TypeError, match=r"pass \[path\]"):
            openwebtext(tmp_path, files="a.txt", tokenizer="bytes")


class TestHub:
    def test_is_asked_for_the_right_data_and_only_once(self, tmp_path, hub):
        for _ in range(2):
            text = openwebtext(tmp_path, tokenizer="bytes")
            assert text.source == "openwebtext"
        assert bytes(text.train[:31].tolist()).decode() == "page 0 of Skylion007/openwebtext"[:31]
        assert wikitext(tmp_path, tokenizer="bytes").source == "wikitext-103"
        assert hub == [("Skylion007/openwebtext",), ("Salesforce/wikitext", "wikitext-103-raw-v1")]

    def test_out_of_reach_gives_shakespeare_and_says_so(self, tmp_path, no_network):
        with pytest.warns(UserWarning, match="openwebtext could not be fetched.*Shakespeare"):
            text = openwebtext(tmp_path, tokenizer="bytes")
        assert text.source == "embedded shakespeare"
        assert len(text.train) + len(text.val) == 5_057_321 + 1
        # The stand-in does not take the real text's place for good.
        assert not (tmp_path / "openwebtext-bytes").exists()

    @pytest.mark.parametrize("error", [ConnectionError("no route"), RuntimeError("scripts")])
    def test_failing_half_way_leaves_no_tokens_of_that_name(self, tmp_path, hub, error):
        def load_dataset(*_, **__):
            yield {"text": "one page"}
            raise error

        sys.modules["datasets"].load_dataset = load_dataset
        with pytest.warns(UserWarning, match="could not be fetched"):
            openwebtext(tmp_path, tokenizer="bytes")
        assert in_folder(tmp_path) == ["embedded-shakespeare-bytes"]
        assert not unfinished(tmp_path)

    def test_out_of_reach_is_an_error_where_nothing_may_stand_in(self, tmp_path, no_network):
        with pytest.raises(ImportError):
            openwebtext(tmp_path, tokenizer="bytes", stand_in=False)
        assert not in_folder(tmp_path)

    def test_gpt2s_tokens_are_read_where_their_tokenizer_is_not_to_be_had(
        self, tmp_path, no_network
    ):
        gpt2 = Tokenizer("gpt2", 50257, lambda text: [50256, 7] * len(text))
        write_tokens(["made elsewhere"], tmp_path / "openwebtext-gpt2", gpt2, "openwebtext")
        text = openwebtext(tmp_path)
        assert (text.source, text.tokenizer, text.vocab_size) == ("openwebtext", "gpt2", 50257)


class TestTokenizer:
    def test_gpt2s_out_of_reach_gives_bytes_and_says_so(self, no_network):
        with pytest.warns(UserWarning, match="every byte is a token"):
            assert find_tokenizer().name == "bytes"

    def test_gpt2s_asked_for_by_name_is_not_replaced(self, no_network):
        with pytest.raises(ImportError):
            find_tokenizer("gpt2")

    def test_gpt2s_is_tiktokens(self, monkeypatch):
        table = types.SimpleNamespace(
            n_vocab=50257, eot_token=50256, encode_ordinary=lambda text: [len(text)]
        )
        module = types.ModuleType("tiktoken")
        module.get_encoding = {"gpt2": table}.__getitem__
        monkeypatch.setitem(sys.modules, "tiktoken", module)
        tokenizer = find_tokenizer()
        assert (tokenizer.name, tokenizer.vocab_size) == ("gpt2", 50257)
        assert tokenizer.encode("abc") == [3, 50256]

    def test_an_unknown_one_is_refused(self):
        with pytest.raises(ValueError, match="'words'"):
            find_tokenizer("words")


class TestTokenFiles:
    def made(self, tmp_path):
        return write_tokens(["ab" * 20], tmp_path / "t", byte_tokenizer(), "test")

    def test_all_sixteen_bits_are_kept(self, tmp_path):
        tokens = [0, 1, 50256, 65535]
        write_tokens(["x"], tmp_path / "t", Tokenizer("t", 65536, lambda _: tokens), "test")
        assert read_tokens(tmp_path / "t").train.tolist() == tokens

    def test_cut_off_is_noticed(self, tmp_path):
        self.made(tmp_path)
        file = tmp_path / "t" / "tokens.bin"
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(ValueError, match=r"tokens\.bin is cut off"):
            read_tokens(tmp_path / "t")

    @pytest.mark.parametrize("content", ["", "{}", "[]", '{"tokens": "many"}'])
    def test_damaged_description_is_noticed(self, tmp_path, content):
        self.made(tmp_path)
        (tmp_path / "t" / "meta.json").write_text(content)
        with pytest.raises(ValueError, match=r"meta\.json is damaged"):
            read_tokens(tmp_path / "t")

    @pytest.mark.parametrize("name", ["meta.json", "tokens.bin"])
    def test_missing_part_is_named(self, tmp_path, name):
        self.made(tmp_path)
        (tmp_path / "t" / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            read_tokens(tmp_path / "t")

    def test_documents_that_fail_leave_nothing(self, tmp_path):
        def documents():
            yield "one"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_tokens(documents(), tmp_path / "t", byte_tokenizer(), "test")
        assert not in_folder(tmp_path) and not unfinished(tmp_path)

    def test_no_documents_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="must hold some text"):
            write_tokens([], tmp_path / "t", byte_tokenizer(), "test")
        assert not in_folder(tmp_path) and not unfinished(tmp_path)

    def test_the_folder_is_that_of_the_variable(self, tmp_path, monkeypatch, hub):
        monkeypatch.setenv("LINFCOURSE_DATA", str(tmp_path / "here"))
        openwebtext(tokenizer="bytes")
        assert in_folder(tmp_path / "here") == ["openwebtext-bytes"]


class TestKilled:
    """A run that is killed goes on after what it last wrote down."""

    DOCUMENTS = tuple(f"document number {i}" for i in range(10))

    def cut(self, tmp_path, monkeypatch, at):
        monkeypatch.setattr(tokens, "SAVE_EVERY", 40)  # after every third document

        def killed():
            yield from self.DOCUMENTS[:at]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_tokens(killed(), tmp_path / "t", byte_tokenizer(), "test")
        assert not in_folder(tmp_path)

    def resumed(self, tmp_path, source="test"):
        encoded = []
        plain = byte_tokenizer()

        def encode(text):
            encoded.append(text)
            return plain.encode(text)

        text = write_tokens(self.DOCUMENTS, tmp_path / "t", Tokenizer("bytes", 257, encode), source)
        whole = write_tokens(self.DOCUMENTS, tmp_path / "whole", plain, source)
        assert np.array_equal(text.train, whole.train) and np.array_equal(text.val, whole.val)
        assert not unfinished(tmp_path)
        return encoded

    @pytest.mark.parametrize("at, again", [(2, 10), (4, 7), (8, 4)])
    def test_only_the_rest_is_tokenised(self, tmp_path, monkeypatch, at, again):
        self.cut(tmp_path, monkeypatch, at)
        assert self.resumed(tmp_path) == list(self.DOCUMENTS[-again:])

    def test_what_was_written_after_the_last_note_is_written_again(self, tmp_path, monkeypatch):
        self.cut(tmp_path, monkeypatch, 8)
        with (tmp_path / ".t.unfinished" / "tokens.bin").open("ab") as file:
            file.write(b"half a docum")
        assert len(self.resumed(tmp_path)) == 4

    @pytest.mark.parametrize("note", ["", "[]", '{"documents": 6}'])
    def test_a_damaged_note_starts_anew(self, tmp_path, monkeypatch, note):
        self.cut(tmp_path, monkeypatch, 8)
        (tmp_path / ".t.unfinished" / "begun.json").write_text(note)
        assert len(self.resumed(tmp_path)) == 10

    def test_another_text_starts_anew(self, tmp_path, monkeypatch):
        self.cut(tmp_path, monkeypatch, 8)
        assert len(self.resumed(tmp_path, source="another")) == 10

    def test_a_file_that_is_shorter_than_its_note_starts_anew(self, tmp_path, monkeypatch):
        self.cut(tmp_path, monkeypatch, 8)
        os.truncate(tmp_path / ".t.unfinished" / "tokens.bin", 10)
        assert len(self.resumed(tmp_path)) == 10


SLOW = """
import time
from pathlib import Path
from linfcourse.data.tokens import byte_tokenizer, write_tokens

def documents():
    with open("log", "a") as log:
        log.write("tokenising ")
    yield "some text " * 9
    while not Path("go").exists():
        time.sleep(0.05)

print(len(write_tokens(documents(), "t", byte_tokenizer(), "test").train))
"""


class TestTwoProcesses:
    @pytest.fixture
    def both(self, tmp_path):
        """One that has begun to tokenise, and one that waits for it."""

        def start():
            return subprocess.Popen(
                [sys.executable, "-c", SLOW], cwd=tmp_path, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip

        root = str(Path(__file__).parents[2])
        first = start()
        while not (tmp_path / "log").exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        second = start()
        try:
            assert "waiting for it" in second.stderr.readline()
            yield first, second
        finally:
            for process in (first, second):
                process.kill()
                process.communicate()

    def test_tokenise_once(self, tmp_path, both):
        (tmp_path / "go").touch()
        assert [process.communicate(timeout=60)[0] for process in both] == ["82\n"] * 2
        assert (tmp_path / "log").read_text() == "tokenising "

    def test_the_second_takes_over_when_the_first_is_killed(self, tmp_path, both):
        first, second = both
        first.kill()
        (tmp_path / "go").touch()
        assert second.communicate(timeout=60)[0] == "82\n"
        assert (tmp_path / "log").read_text() == "tokenising " * 2
        assert in_folder(tmp_path) == ["go", "log", "t"] and not unfinished(tmp_path)
