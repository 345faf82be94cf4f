"""The default terminal view of a run: a progress bar for each epoch, then a table. It sees events only."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from .._training.result import EpochMetrics, Event, Metrics

__all__ = ["RichView", "percent"]


def percent(fraction: float | None) -> str:
    """Like `91.90 %`, or a dash where there is none."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def _figures(metrics: Metrics) -> str:
    """Like `loss 0.2855  accuracy 91.90 %`."""
    accuracy = "" if metrics.accuracy is None else f"  accuracy {percent(metrics.accuracy)}"
    return f"loss {metrics.loss:.4f}{accuracy}"


def _stopped_early(event: Event) -> str:
    sentence = f"stopped early after epoch {event['epoch']}"
    if event["best_epoch"] is not None:
        sentence += f": the best epoch was {event['best_epoch']} (loss {event['best_loss']:.4f})"
    if event["best_restored"]:
        sentence += ", whose weights the model has"
    return sentence


class RichView:
    """Shows events as they come; a context manager, so that the terminal is left in order."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._epochs: list[EpochMetrics] = []
        self._initial: Metrics | None = None
        self._total = 0
        self._task: TaskID | None = None
        self._partial = {"stdout": "", "stderr": ""}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[batches]}"),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> RichView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._dim(rest)
                self._partial[stream] = ""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Shows one event; those it does not know are left out."""
        match event["event"]:
            case "console":
                self._console_text(event["stream"], event["text"])
            case "tensor":
                shape = " x ".join(map(str, event["shape"]))
                self._dim(f"{event['name'] or event['role']}: {shape} {event['dtype']}")
            case "warning":
                self._warn(event["message"])
            case "fit":
                self._fit(event)
            case "initial":
                self._initial = Metrics.from_event(event)
            case "progress":
                self._advance(event)
            case "epoch":
                self._epoch(event)
            case "steps":
                self._steps(event)
            case "evaluation":
                self._evaluation(event)
            case "fit_end":
                if self._task is not None:
                    self._progress.remove_task(self._task)
                    self._task = None
                if event["stopped_early"]:
                    self.note(_stopped_early(event))

    def note(self, sentence: str) -> None:
        """Shows a sentence about the run."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def table(self) -> Table:
        """The epochs of the run."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        validated = any(epoch.validation for epoch in self._epochs)
        tested = any(epoch.test for epoch in self._epochs) or (self._initial is not None and not validated)
        for heading in ("epoch", "loss", "accuracy"):
            table.add_column(heading, justify="right")
        for name, shown in (("validation", validated), ("test", tested)):
            if shown:
                table.add_column(f"{name} loss", justify="right")
                table.add_column(f"{name} accuracy", justify="right")
        table.add_column("seconds", justify="right")
        table.add_column("samples/s", justify="right")
        for epoch in self._epochs:
            row = [str(epoch.epoch), f"{epoch.train.loss:.4f}", percent(epoch.train.accuracy)]
            for metrics, shown in ((epoch.validation, validated), (epoch.test, tested)):
                if shown:
                    row += (
                        ["-", "-"] if metrics is None else [f"{metrics.loss:.4f}", percent(metrics.accuracy)]
                    )
            table.add_row(*row, f"{epoch.seconds:.1f}", f"{epoch.samples_per_second:,.0f}")
        return table

    def _dim(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def _warn(self, message: str) -> None:
        self._console.print(
            f"warning: {message}", style="bold yellow", markup=False, highlight=False, soft_wrap=True
        )

    def _console_text(self, stream: str, text: str) -> None:
        *lines, self._partial[stream] = (self._partial[stream] + text).split("\n")
        for line in lines:
            self._dim(line)

    def _fit(self, event: Event) -> None:
        self._total = int(event["epochs"])
        batches = int(event["batches"])
        first = int(event["start_epoch"]) + 1
        precision = "" if event["precision"] == "f32" else f", {event['precision']}"
        self._console.print(
            f"training {event['train_samples']:,} samples, {event['parameters']:,} parameters: "
            f"{event['optimizer']}, {event['loss']}, learning rate {event['learning_rate']:g}, "
            f"batch size {event['batch_size']}, {event['threads']} threads{precision}, "
            f"seed {event['seed']}",
            highlight=False,
            soft_wrap=True,
        )
        if 0 < int(event["start_epoch"]) >= self._total:
            self.note(
                f"nothing to train: {event['start_epoch']} epochs are done, and {self._total} were asked for"
            )
            return
        self._start(self._epoch_of(first), total=batches, batches="")

    def _advance(self, event: Event) -> None:
        if self._task is None:
            return
        self._progress.update(
            self._task,
            description=self._epoch_of(event["epoch"]),
            completed=event["batch"],
            total=event["batches"],
            batches=f"{event['batch']:>5}/{event['batches']}",
            numbers=f"{_figures(Metrics.from_event(event))}  {event['samples_per_second']:,.0f} samples/s",
        )

    def _steps(self, event: Event) -> None:
        step = f"step {event['step']:,}"
        if self._task is None:
            self._start(step, total=None, batches="")
        assert self._task is not None
        self._progress.update(self._task, description=step, numbers=_figures(Metrics.from_event(event)))

    def _evaluation(self, event: Event) -> None:
        line = f"step {event['step']:,}  evaluation {_figures(Metrics.from_event(event))}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def _start(self, description: str, *, total: int | None, batches: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(description, total=total, batches=batches, numbers="")

    def _epoch_of(self, epoch: int) -> str:
        return f"epoch {epoch:>3}/{self._total}"

    def _epoch(self, event: Event) -> None:
        epoch = EpochMetrics.from_event(event)
        self._epochs.append(epoch)
        line = f"{self._epoch_of(epoch.epoch)}  {_figures(epoch.train)}"
        for name, metrics in (("validation", epoch.validation), ("test", epoch.test)):
            if metrics is not None:
                best = f"loss {metrics.loss:.4f}" if metrics.accuracy is None else percent(metrics.accuracy)
                line += f"  {name} {best}"
        self._console.print(
            f"{line}  {epoch.seconds:.1f} s  {epoch.samples_per_second:,.0f} samples/s",
            highlight=False,
            soft_wrap=True,
        )
        if self._task is not None and epoch.epoch < self._total:
            self._progress.reset(
                self._task, description=self._epoch_of(epoch.epoch + 1), batches="", numbers=""
            )
