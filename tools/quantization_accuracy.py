#!/usr/bin/env python3
"""Quantizes models with real weights and compares them with float32: a classifier on pictures, an encoder on sentences.

    python tools/quantization_accuracy.py                  both, as they must pass
    python tools/quantization_accuracy.py efficientnet --crops 4 --modules 2

EfficientNet-Lite0 in int8 must name the same first class as in float32 in 95 % of 14 crops of each picture, and MiniLM
with dynamic int8 must find similarities that correlate by 0.995. onnxruntime runs the quantized models, as it is fast;
on some of the inputs the compiled module must agree with it. Exits with 1 when one of them does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import wasmgrad
from numpy.typing import NDArray
from sample_pictures import write_crops
from sample_sentences import SENTENCES
from wasmgrad._graph.pictures import open_image, preprocessing, to_tensor
from wasmgrad.compiler import Compiled, CompileOptions, Source, compile_model, open_source
from wasmgrad.compiler.quantization.measure import Session
from zoo import build, minilm

AGREEMENT, CORRELATION = 0.95, 0.995
_CALIBRATION_CROPS = 8
_MIN_SNR = 33.0
"""Of EfficientNet-Lite0: the first layers are the ones to lose most."""

Array = NDArray[Any]


def main() -> int:
    """Print what was found; 1 when a model is too far off."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="efficientnet, minilm; both by default")
    parser.add_argument("--crops", type=int, default=14, help="of each picture")
    parser.add_argument(
        "--at-least", type=float, default=AGREEMENT, help="share of crops with the same first class"
    )
    parser.add_argument("--modules", type=int, default=20, help="inputs that the compiled module is run on")
    options = parser.parse_args()
    checks = {"efficientnet": efficientnet, "minilm": sentences}
    chosen = options.models or list(checks)
    if unknown := set(chosen) - set(checks):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(checks)}")
    passed = [checks[name](options) for name in chosen]
    return int(not all(passed))


def efficientnet(options: argparse.Namespace) -> bool:
    """Whether the first classes agree, of int8 with float32 and of the module with onnxruntime."""
    file = build("efficientnet-lite0")
    with tempfile.TemporaryDirectory() as folder:
        calibration, judged = Path(folder, "calibration"), Path(folder, "judged")
        write_crops(calibration, _CALIBRATION_CROPS, calibration=True, seed=1)
        compiled = compile_model(
            file,
            CompileOptions(
                quantize="int8", calibrate=(calibration,), preprocess="imagenet", min_snr=_MIN_SNR
            ),
        )
        _print_report(compiled)
        info = compiled.metadata.inputs[0]
        how = preprocessing("imagenet", info)
        paths = write_crops(judged, options.crops, calibration=False)
        feeds = [{info.name: to_tensor(open_image(path), how, info)} for path in paths]
    exact = [scores[0] for scores in _run(open_source(file, {}, {}), feeds)]
    found = [scores[0] for scores in _run(compiled.source, feeds)]
    same = np.mean([left.argmax() == right.argmax() for left, right in zip(exact, found, strict=True)])
    print(f"EfficientNet-Lite0 int8: the same first class in {100 * same:.1f} % of {len(feeds)} crops")
    step = max(1, len(feeds) // options.modules)
    module = wasmgrad.load(compiled.module)
    agree = [
        int(module(**feed)[0].argmax() == scores.argmax())
        for feed, scores in list(zip(feeds, found, strict=True))[::step][: options.modules]
    ]
    print(f"the module names the first class of onnxruntime in {sum(agree)} of {len(agree)}")
    return bool(same >= options.at_least) and sum(agree) == len(agree)


def sentences(options: argparse.Namespace) -> bool:
    """Whether similarities of sentences correlate, of dynamic int8 with float32 and of the module with onnxruntime."""
    file = build("minilm")
    compiled = compile_model(file, CompileOptions(quantize="dynamic"))
    _print_report(compiled)
    name = compiled.metadata.inputs[0].name
    feeds = [{name: np.array([minilm.tokens(sentence)], np.int64)} for sentence in SENTENCES]
    exact = _similarities(_run(open_source(file, {}, {}), feeds))
    found = _similarities(_run(compiled.source, feeds))
    correlation = float(np.corrcoef(exact, found)[0, 1])
    print(f"MiniLM dynamic: similarities of {len(exact)} pairs correlate by {correlation:.5f}")
    module = wasmgrad.load(compiled.module)
    few = feeds[: max(3, options.modules)]
    ours = _similarities([module(**feed)[0] for feed in few])
    theirs = _similarities(_run(compiled.source, few))
    near = float(np.corrcoef(ours, theirs)[0, 1])
    print(f"those of the module correlate with onnxruntime's by {near:.5f} on {len(few)} sentences")
    return correlation >= CORRELATION and near >= CORRELATION


def _print_report(compiled: Compiled) -> None:
    assert compiled.quantization is not None
    print(compiled.quantization.table(), end="")


def _run(source: Source, feeds: list[dict[str, Array]]) -> list[Array]:
    """The first output for each input, by onnxruntime."""
    session = Session(source.model)
    return [next(iter(session.run(feed).values())) for feed in feeds]


def _similarities(vectors: list[Array]) -> Array:
    """The cosine of every pair."""
    rows = [vector.reshape(-1) for vector in vectors]
    pairs = combinations(rows, 2)
    return np.array([a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs])


if __name__ == "__main__":
    sys.exit(main())
