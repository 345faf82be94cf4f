"""Source text that overflows the stack of torch's parser or compiler, or that torch would never write."""

from __future__ import annotations

import hostile_archives as archives
from attack_book import Book, swap
from hostile_archives import Entry


def text_attacks(book: Book, entries: list[Entry]) -> None:
    """Models like the one in `entries`, with other source text."""
    path = "code/__torch__/hostile_models.py"
    code = archives.record(entries, path).decode()

    def source(name: str, text: str, errc: str, word: str) -> None:
        book.archive(name, archives.with_record(entries, path, text.encode()), errc, word)

    def body(name: str, statement: str, errc: str, word: str) -> None:
        # Before the return, or in its place.
        end = "" if "    return" in statement else "    return _1\n"
        source(
            name, swap(code.encode(), b"    return _1\n", f"{statement}\n{end}".encode()).decode(), errc, word
        )

    deep = 100_000
    body("deep-parentheses", "    y = " + "(" * deep + "1" + ")" * deep, "too_large", "nested deeper")
    body("deep-unary-minus", "    y = " + "-" * deep + "x", "too_large", "nested deeper")
    body("deep-not", "    y = " + "not " * deep + "x", "too_large", "nested deeper")
    body("long-sum", "    y = 1" + " + 1" * deep, "too_large", "nested deeper")
    body("deep-subscripts", "    y = x" + "[0]" * deep, "too_large", "nested deeper")
    body("deep-attributes", "    y = x" + ".a" * deep, "too_large", "")
    body("deep-ternary", "    y = 1" + " if True else 1" * deep, "too_large", "nested deeper")
    body(
        "deep-type",
        "    y = annotate(" + "List[" * deep + "int" + "]" * deep + ", [])",
        "too_large",
        "nested deeper",
    )
    blocks = "".join(" " * (4 + i) + "if True:\n" for i in range(5000)) + " " * 5004 + "pass"
    body("deep-blocks", blocks, "too_large", "blocks nested")
    body(
        "elif-chain", "    if True:\n      pass\n" + "    elif True:\n      pass\n" * deep, "security", "elif"
    )
    body("long-name", "    " + "a" * 5000 + " = 1", "too_large", "name")
    body(
        "torch-classes",
        "    y = __torch__.torch.classes.quantized.Conv2dPackedParamsBase",
        "security",
        "torch.classes",
    )
    body("other-namespace", "    y = ops.quantized.linear(x, x, 1., 0)", "security", "quantized::linear")
    body("save-by-method", '    x.save("written.bin")', "invalid_encoding", "save")
    body(
        "blind-cast",
        "    return unchecked_cast(__torch__.hostile_models.Plain, self.outer).weight",
        "security",
        "cast",
    )
    chain = "".join(
        f"def f{i}(x: Tensor) -> Tensor:\n  return __torch__.hostile_models.f{i + 1}(x)\n"
        for i in range(3000)
    )
    source("deep-calls", code + chain + "def f3000(x: Tensor) -> Tensor:\n  return x\n", "too_large", "steps")
    source(
        "circular-calls",
        code + chain + "def f3000(x: Tensor) -> Tensor:\n  return __torch__.hostile_models.f0(x)\n",
        "invalid_encoding",
        "circle",
    )
    body("cyrillic-operator", "    y = torch.\u0430dd(x, x)", "invalid_encoding", "character 208")
    body("fullwidth-operator", "    y = torch.\uff41dd(x, x)", "invalid_encoding", "character 239")
    body("hidden-direction", "    # \u202e }x{ \u2066\n    y = x", "invalid_encoding", "character")
    body("zero-byte-in-code", "    y = x\0", "invalid_encoding", "character 0")
    body("huge-integer", "    y = " + "9" * 30, "invalid_encoding", "Integral constant")
    body("import-statement", "    import os", "security", "'import'")
    body("lambda", "    y = lambda: 0", "security", "'lambda'")
    raw = code.encode()
    book.archive(
        "code-not-utf-8",
        archives.with_record(
            entries, path, swap(raw, b"    return _1\n", b"    y\xff\xfe = x\n    return _1\n")
        ),
        "invalid_encoding",
        "character 255",
    )
    source("garbage-code", "class Plain(Module):\n  )\n", "invalid_encoding", "bracket")
    source(
        "does-not-compile",
        code.replace("torch.matmul(", "torch.matmul(nonsense, "),
        "invalid_encoding",
        "compile",
    )


def context_attacks(book: Book, entries: list[Entry]) -> None:
    """Models with a block under `torch.no_grad()`, like the one in `entries`, with another class of that name."""
    path = "code/__torch__/torch/autograd/grad_mode.py"
    text = archives.record(entries, path).decode()
    model = "code/__torch__/hostile_models.py"
    body = archives.record(entries, model).decode()

    def changed(name: str, other: str, errc: str, word: str) -> None:
        book.archive(name, archives.with_record(entries, path, other.encode()), errc, word)

    changed(
        "no-grad-that-saves",
        text.replace("return None", "return torch.save(1, 'x')", 1),
        "security",
        "no_grad",
    )
    changed("no-grad-with-more", text + "class more:\n  a : int\n", "security", "no_grad")
    changed("no-grad-of-another-kind", text.replace("prev : bool", "prev : int"), "security", "no_grad")
    changed(
        "no-grad-that-keeps-off",
        text.replace("set_grad_enabled(prev)", "set_grad_enabled(False)"),
        "security",
        "no_grad",
    )
    own = text.replace("torch.autograd.grad_mode.no_grad", "hostile_models.no_grad")
    book.archive(
        "no-grad-elsewhere",
        archives.with_record(entries, model, (body + own).encode()),
        "security",
        "no_grad",
    )
    on_self = body.replace("with _0:", "with self:")
    book.archive(
        "with-a-module", archives.with_record(entries, model, on_self.encode()), "invalid_encoding", "compile"
    )
    on_tensor = body.replace("with _0:", "with x:")
    book.archive(
        "with-a-tensor",
        archives.with_record(entries, model, on_tensor.encode()),
        "invalid_encoding",
        "compile",
    )
