"""`wasmgrad compile` and `wasmgrad compile-op`: options, and what is printed. The compiler is in compiler/."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import InvalidArgument, RuntimeFailure
from .._training.step_options import TrainOptions
from .options import with_step_options

if TYPE_CHECKING:
    from ..compiler import Compiled, CompileOptions, Found

__all__ = ["compile_command", "compile_op"]

_MODEL, _CODE, _QUANTIZE, _CHECK = "Model", "Generated code", "Quantization", "Checks and by-products"

OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default="MODEL.wasm"),
]
# Choices are checked by CompileOptions.
SimdOption = Annotated[
    Any,
    typer.Option(
        metavar="128|relaxed|off", help="Vector instructions to use.", rich_help_panel=_CODE, parser=str
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(metavar="N", help="How many threads can share the work of a run.", rich_help_panel=_CODE),
]
OptLevelOption = Annotated[
    int,
    typer.Option("--opt-level", "-O", min=0, max=3, help="How much to optimize.", rich_help_panel=_CODE),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx, .pt or .pt2 file.")]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=SHAPE",
        help="Shape of an input that the model leaves open, such as x=1x3x224x224; several with commas between them "
        "for a module that takes each; x=1..32x3x224x224 for batches of 1 to 32. May be repeated.",
        rich_help_panel=_MODEL,
    ),
]
ConstantOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NUMBER|FILE.npy",
        help="Value of an input that becomes part of the model. May be repeated.",
        rich_help_panel=_MODEL,
    ),
]
TrainOption = Annotated[
    bool,
    typer.Option(
        "--train", help="Compile a training step: a module that trains the model.", rich_help_panel=_MODEL
    ),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="INPUT=OUTPUT",
        help="An input that the module keeps from one run to the next, when it becomes what this output was; "
        "* in both names stands for the same characters. May be repeated.",
        rich_help_panel=_MODEL,
    ),
]
PreprocessOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How pictures become the input, kept in the module: imagenet, raw, or a JSON file.",
        rich_help_panel=_MODEL,
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Class names, one a line, kept in the module.", rich_help_panel=_MODEL),
]
TargetOption = Annotated[
    Any,
    typer.Option(
        metavar="wasm32|native",
        help="WebAssembly, or a shared library for this computer.",
        rich_help_panel=_CODE,
        parser=str,
    ),
]
TuneOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Measure N random schedules of each generated kernel and keep the fastest, for later too.",
        rich_help_panel=_CODE,
    ),
]
WeightsOption = Annotated[
    Any,
    typer.Option(
        metavar="embed|file",
        help="Where weights go: into the module, or into a file beside it.",
        rich_help_panel=_CODE,
        parser=str,
    ),
]
QuantizeOption = Annotated[
    Any,
    typer.Option(
        metavar="int8|dynamic|weights-int8|weights-int4|float16",
        help="Narrower numbers: activations and weights, matrix products, weights alone, or float16.",
        rich_help_panel=_QUANTIZE,
        parser=str,
    ),
]
CalibrateOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Pictures, .npy or .npz arrays, or folders of them: int8 learns ranges on them, all are measured on "
        "them. May be repeated.",
        rich_help_panel=_QUANTIZE,
    ),
]
CalibrateByOption = Annotated[
    Any,
    typer.Option(
        metavar="minmax|moving-average|percentile|entropy",
        help="How the range of an activation follows from the values seen.",
        rich_help_panel=_QUANTIZE,
        parser=str,
    ),
]
KeepFloatOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Operators or nodes that are not quantized. May be repeated.",
        rich_help_panel=_QUANTIZE,
    ),
]
MinSnrOption = Annotated[
    float | None,
    typer.Option(
        metavar="DB",
        help="Do not quantize layers that alone would take the outputs below this signal-to-noise ratio.",
        rich_help_panel=_QUANTIZE,
    ),
]
QuantizeReportOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="Where to write how far outputs and layers are from float32.",
        rich_help_panel=_QUANTIZE,
    ),
]
VerifyOption = Annotated[
    bool | None,
    typer.Option(
        "--verify/--no-verify",
        help="Compare all outputs with onnxruntime's, or torch's for its models.",
        show_default="where it can",
        rich_help_panel=_CHECK,
    ),
]
VerifyInputOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        help="Inputs to compare on, by name.",
        show_default="random",
        rich_help_panel=_CHECK,
    ),
]
KeepOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also write graph.o, libgraph_wasm32.a, weights.bin and plan.txt.",
        rich_help_panel=_CHECK,
    ),
]
ReportOption = Annotated[
    bool, typer.Option(help="Print kernel, FLOPs and bytes of each call.", rich_help_panel=_CHECK)
]


@with_step_options
def compile_command(
    model: ModelArgument,
    output: OutputOption = None,
    train: TrainOption = False,
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    state: StateOption = None,
    preprocess: PreprocessOption = None,
    labels: LabelsOption = None,
    target: TargetOption = "wasm32",
    simd: SimdOption = "128",
    threads: ThreadsOption = 1,
    opt_level: OptLevelOption = 3,
    tune: TuneOption = 0,
    weights: WeightsOption = "embed",
    quantize: QuantizeOption = None,
    calibrate: CalibrateOption = None,
    calibrate_by: CalibrateByOption = "minmax",
    keep_float: KeepFloatOption = None,
    min_snr: MinSnrOption = None,
    quantize_report: QuantizeReportOption = None,
    verify: VerifyOption = None,
    verify_input: VerifyInputOption = None,
    keep: KeepOption = None,
    report: ReportOption = False,
    *,
    step: dict[str, Any],
) -> None:
    """Compile a model to one WebAssembly module, or with --train a training step of it."""
    from .._graph.pictures import read_labels
    from ..compiler import CompileOptions

    suffix = ".train" if train else ""
    suffix += ".so" if target == "native" else ".wasm"
    written = model.with_suffix(suffix) if output is None else output
    if written.resolve() == model.resolve():
        raise InvalidArgument(f"{written}: is the model itself; choose another --output")
    options = CompileOptions(
        shapes=dict(map(_shape, shape or [])),
        constants=dict(map(_constant, constant or [])),
        state=dict(map(_state, state or [])),
        target=target,
        simd=simd,
        threads=threads,
        opt_level=opt_level,
        tune=tune,
        weights=weights,
        preprocess=preprocess,
        labels=None if labels is None else tuple(read_labels(labels)),
        quantize=quantize,
        calibrate=tuple(calibrate or ()),
        calibrate_by=calibrate_by,
        keep_float=tuple(keep_float or ()),
        min_snr=min_snr,
        train=_train_options(train, step),
    )
    if quantize_report is not None and quantize is None:
        raise InvalidArgument("--quantize-report: there is nothing to report without --quantize")
    compiled = _compile(model, options)
    if verify is not False or verify_input is not None:
        _verify(options, compiled, verify_input, required=bool(verify) or verify_input is not None)
    _write(compiled, written, keep, report)
    if compiled.quantization is not None:
        print(compiled.quantization.table(), end="")
        if quantize_report is not None:
            compiled.quantization.save(quantize_report)


def compile_op(
    operator: Annotated[
        str, typer.Argument(metavar="OPERATOR", help="Such as add, matmul, conv2d, softmax.")
    ],
    shape: Annotated[
        str,
        typer.Option(
            metavar="SHAPE",
            help="Shape of each input, such as 1024; MxKxN for matmul; "
            "batch x channels x height x width x filters x kernel for conv2d.",
        ),
    ],
    dtype: Annotated[
        str, typer.Option(metavar="float32|int32|int8", help="Element type of the inputs.")
    ] = "float32",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write it.", show_default="OPERATOR.wasm"
        ),
    ] = None,
    simd: SimdOption = "128",
    opt_level: OptLevelOption = 3,
    keep: KeepOption = None,
) -> None:
    """Compile a single operator to a WebAssembly module."""
    from ..compiler import CompileOptions, single_operator

    model = single_operator(operator, _sizes(shape, "--shape"), dtype)
    options = CompileOptions(simd=simd, opt_level=opt_level)
    compiled = _compile(model, options)
    _write(compiled, Path(f"{operator}.wasm") if output is None else output, keep, report=False)


def _compile(model: Any, options: CompileOptions) -> Compiled:
    """With the stages shown on a terminal's standard error."""
    from rich.console import Console

    from ..compiler import STAGES, compile_model

    console = Console(stderr=True)
    with console.status("") as status:

        def show(stage: str) -> None:
            status.update(f"{STAGES.index(stage) + 1}/{len(STAGES)} {stage}")

        def tell(found: Found) -> None:
            schedule = found.schedule
            gain = (
                "TVM's own schedule is the fastest"
                if schedule.trace is None
                else f"{schedule.speedup:.2f}x as fast"
            )
            of = f"{'best' if found.searched else 'known as best'} of {schedule.candidates}"
            console.print(f"{found.position}/{found.total} {schedule.kernel}: {gain} ({of})", highlight=False)

        return compile_model(model, options, show, tell)


def _train_options(train: bool, step: dict[str, Any]) -> TrainOptions | None:
    if train:
        return TrainOptions.of(step)
    for name, value in step.items():
        if value is not None:
            raise InvalidArgument(f"--{name.replace('_', '-')}: means nothing without --train")
    return None


def _verify(options: CompileOptions, compiled: Compiled, inputs: Path | None, *, required: bool) -> None:
    """Prints the differences; raises `RuntimeFailure` when one is too large, or when there are none but `required`."""
    import numpy as np

    from .._graph.load import load
    from ..compiler import Unverified, verify

    feeds = None
    if inputs is not None:
        try:
            with np.load(inputs) as archive:
                feeds = dict(archive)
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{inputs}: not an .npz archive that can be read: {error}") from error
    engine = "native" if options.target == "native" else "wasmtime"
    module = load(compiled.module, engine, weights=compiled.weights)
    try:
        found = verify(compiled, module, compiled.source.constants, feeds)
    except RuntimeFailure as error:
        raise RuntimeFailure(
            f"{error.message}; nothing was written (--no-verify writes it all the same)"
        ) from error
    if isinstance(found, Unverified):
        if required:
            raise RuntimeFailure(f"the model cannot be verified: {found.reason}")
        if found.installed:
            print(f"wasmgrad: not verified: {found.reason}", file=sys.stderr)
        return
    if compiled.training is not None:
        worst = max(found, key=lambda each: each.relative / (each.allowed or 1e-30) if each.relative else 0.0)
        print(
            f"a step's {len(found)} tensors: the largest difference from torch in float64 is that of {worst.output}, "
            f"{worst.relative:.3g} of its range (at most {worst.allowed:.3g} is allowed)"
        )
        return
    framework = compiled.source.reference.framework
    for each in found:
        limit = "" if each.allowed is None else f" (at most {each.allowed:.3g} is allowed)"
        print(
            f"{each.output}: largest difference from {framework} {each.absolute:.3g}, "
            f"{each.relative:.3g} of its range{limit}"
        )


def _write(compiled: Compiled, target: Path, keep: Path | None, report: bool) -> None:
    if keep is not None:
        compiled.keep(keep)
    compiled.save(target)
    if report:
        print(compiled.plan_text(), end="")
    meta = compiled.metadata
    plans = f"{len(meta.plans)} plans, " if meta.further else ""
    print(
        f"{target}: {len(compiled.module):,} bytes, {plans}{len(meta.plan)} calls, {meta.flops / 1e6:,.1f} MFLOP, "
        f"{meta.memory.bytes / 1e6:,.1f} MB of memory"
    )
    if compiled.weights is not None:
        print(f"{target.with_suffix('.weights')}: {len(compiled.weights):,} bytes")


def _shape(text: str) -> tuple[str, list[tuple[int | range, ...]]]:
    """From NAME=1x3x224x224, or several shapes with commas between them; NAME= is a scalar's."""
    name, equals, shapes = text.partition("=")
    if not name or not equals:
        raise InvalidArgument(f"--input {text}: expected NAME=SHAPE, such as x=1x3x224x224")
    return name, [_extents(shape, f"--input {name}") for shape in shapes.split(",")]


def _extents(text: str, option: str) -> tuple[int | range, ...]:
    """Sizes, of which a batch is written as 1..32."""
    extents: list[int | range] = []
    for part in text.split("x") if text else []:
        least, dots, most = part.partition("..")
        if dots:
            least_size, most_size = (_sizes(each, option)[0] for each in (least, most))
            extents.append(range(least_size, most_size + 1))
        else:
            extents += _sizes(part, option, smallest=0)
    return tuple(extents)


def _sizes(text: str, option: str, smallest: int = 1) -> list[int]:
    try:
        sizes = [int(part) for part in text.split("x")]
    except ValueError as error:
        raise InvalidArgument(f"{option}: expected sizes such as 1x3x224x224, not {text!r}") from error
    if min(sizes) < smallest:
        raise InvalidArgument(f"{option}: sizes are at least {smallest}, not {text}")
    return sizes


def _state(text: str) -> tuple[str, str]:
    before, _, after = text.partition("=")
    if not before or not after:
        raise InvalidArgument(f"--state {text}: expected INPUT=OUTPUT")
    return before, after


def _constant(text: str) -> tuple[str, Any]:
    import numpy as np

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidArgument(f"--constant {text}: expected NAME=NUMBER or NAME=FILE.npy")
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return name, number(value)
    try:
        return name, np.load(value, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"--constant {name}: {value} is neither a number nor an .npy array that can be read: {error}"
        ) from error
