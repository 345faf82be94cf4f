"""Writes hostile and honest TorchScript archives, and a manifest of what vetting has to say to each.

Usage: make_attacks.py OUTDIR. OUTDIR/manifest.json then holds
{"accept": [file, ...], "refuse": [{"file", "errc", "word"}, ...], "contain": [{"file", "errc"}, ...]}, where `errc` is
the stable name of the error's kind, of vetting or (contain) of the run, and `word` stands in its message.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import hostile_archives as archives
import hostile_models as models
import legit_models
import torch
from attack_book import Book
from container_attacks import container_attacks
from pickle_attacks import enumeration_attacks, pickle_attacks
from text_attacks import context_attacks, text_attacks


def code_attacks(book: Book) -> None:
    """Operators, classes and methods, saved by PyTorch itself."""
    book.model("from-file-read", models.ReadsFile(), "aten::from_file")
    book.model("from-file-write", models.WritesFile(), "aten::from_file")
    book.model("from-file-in-submodule", models.InSubmodule(), "aten::from_file")
    book.model("from-file-in-function", models.InFunction(), "aten::from_file")
    book.model("from-file-in-nested-block", models.InNestedBlock(), "aten::from_file")
    book.model("from-file-in-unused-method", models.InUnusedMethod(), "aten::from_file")
    book.model("from-file-in-hook", models.hooked(models.hostile_hook), "__forward_hooks__")
    book.model("hook", models.hooked(models.harmless_hook), "__forward_hooks__")
    book.model("save", models.Saves(), "aten::save")
    book.model("setstate", models.RunsOnLoad(), "state")
    book.model("print", models.Prints(), "prim::Print")
    book.model("script-class", models.HasScriptClass(), "Counter")
    book.model("interface", models.HasInterface(), "nterface")
    book.model("fork", models.Forks(), "aten::wait")
    book.model("as-strided", models.StridedView(), "aten::as_strided")
    book.model("resize", models.ReplacesStorage(), "aten::resize_")
    book.model("uninitialised-memory", models.ShowsFreedMemory(), "aten::empty_strided")
    book.model("quantize", models.Quantizes(), "quantize_per_tensor")
    book.model("seed", models.SeedsGenerator(), "aten::manual_seed")
    book.model("gradients-off", models.TurnsGradientsOff(), "aten::set_grad_enabled")
    book.model("backward-in-forward", models.RunsBackward(), "aten::autograd")
    book.model("profiler-namespace", models.CallsProfiler(), "profiler::_record_function_enter")
    book.model("storage-swapped", models.SwapsStorage(), "aten::set_")
    book.model("sparse", models.BuildsSparse(), "aten::sparse_coo_tensor")
    book.model("out-variant", models.WritesIntoOutput(), "aten::add.out")
    book.model("past-autograd", models.ReachesPastAutograd(), "prim::data")
    book.model("other-device", models.MovesToDevice(), "aten::cuda")
    book.model("getstate", models.OnlyGetsState(), "state")
    book.model("save-in-pre-hook", models.pre_hooked(), "__forward_pre_hooks__")
    book.model("packed-weights", torch.ao.nn.quantized.Linear(4, 3), "LinearPackedParamsBase")
    book.model("no-forward", models.NoForward(), "forward", "invalid_argument")


def contained_attacks(folder: Path) -> list[dict[str, str]]:
    """Models of allowed operators only, which misbehave when they run; and how a run of each has to end."""
    ends = {
        "loops-for-ever": (models.LoopsForEver(), "timeout"),
        "asks-for-terabytes": (models.AsksForTerabytes(), "too_large"),
        "hoards-memory": (models.HoardsMemory(), "too_large"),
        "overflows-shape": (models.OverflowsShape(), "invalid_argument"),
        "raises": (models.Raises(), "invalid_argument"),
        "divides-by-zero": (models.DividesByZero(), "invalid_argument"),
        "looks-outside-table": (models.LooksOutsideTable(), "invalid_argument"),
    }
    for name, (module, _) in ends.items():
        torch.jit.script(module).save(str(folder / f"{name}.pt"))
    return [{"file": f"{name}.pt", "errc": errc} for name, (_, errc) in ends.items()]


def main(folder: Path) -> None:
    """Writes everything into `folder`."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    book = Book(folder)
    accept = legit_models.write(folder)
    torch.jit.script(models.Plain()).save(str(folder / "plain.pt"))
    torch.jit.freeze(torch.jit.script(models.HasConstants().eval())).save(str(folder / "constants.pt"))
    plain = archives.read(folder / "plain.pt")
    (folder / "rezipped.pt").write_bytes(archives.build(plain))
    accept += ["plain.pt", "constants.pt", "rezipped.pt"]

    code_attacks(book)
    text_attacks(book, plain)
    torch.jit.script(models.EntersContext()).save(str(folder / "context-manager.pt"))
    torch.jit.script(models.HasEnumeration()).save(str(folder / "enumeration.pt"))
    accept += ["context-manager.pt", "enumeration.pt"]
    context_attacks(book, archives.read(folder / "context-manager.pt"))
    enumeration_attacks(book, archives.read(folder / "enumeration.pt"))
    pickle_attacks(book, plain, archives.read(folder / "constants.pt"))
    container_attacks(book, plain)
    contain = contained_attacks(folder)
    manifest = {"accept": accept, "refuse": book.refuse, "contain": contain}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
