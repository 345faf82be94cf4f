"""TorchScript models whose code does what a model must not do, as PyTorch itself would save them.

TorchScript reads these annotations at run time, so they may not be postponed.
"""

import enum
from collections.abc import Callable

import torch
from torch import Tensor, nn


class ReadsFile(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("secret.txt", shared=False, size=16, dtype=torch.uint8).sum()


class WritesFile(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("written.bin", shared=True, size=16, dtype=torch.uint8).fill_(65).sum()


class InSubmodule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = ReadsFile()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * 2


def helper(x: Tensor) -> Tensor:
    return x + torch.from_file("secret.txt", shared=False, size=16, dtype=torch.uint8).sum()


class InFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return helper(x)


class InNestedBlock(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for index in range(3):
            if index == 2:
                while bool(x.sum() > 0):
                    x = x - torch.from_file("secret.txt", shared=False, size=16, dtype=torch.uint8).sum()
        return x


class InUnusedMethod(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def later(self, x: Tensor) -> Tensor:
        return helper(x)


class Saves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "written.bin")
        return x


class RunsOnLoad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.sum()

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        torch.from_file("written.bin", shared=True, size=16, dtype=torch.uint8).fill_(67)
        self.weight = state[0]
        self.training = state[1]


class Prints(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        print("host console", x.size(0))
        return x


@torch.jit.script
class Counter:
    def __init__(self, start: int) -> None:
        self.count = start

    def add(self, step: int) -> int:
        self.count += step
        return self.count


class HasScriptClass(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * Counter(2).add(1)


@torch.jit.interface
class Layer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class Doubler(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class HasInterface(nn.Module):
    layer: Layer

    def __init__(self) -> None:
        super().__init__()
        self.layer = Doubler()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.forward(x)


def doubled(x: Tensor) -> Tensor:
    return x * 2


class Forks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(doubled, x))


class HasHook(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def hostile_hook(self: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + torch.from_file("secret.txt", shared=False, size=16, dtype=torch.uint8).sum()


def harmless_hook(self: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + 1


def hooked(hook: Callable[..., Tensor]) -> nn.Module:
    """A module with `hook` run after its forward."""
    module = HasHook()
    module.register_forward_hook(hook)
    return module


class StridedView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.as_strided(x, [4], [1], 1000)


class ReplacesStorage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.resize_(1000)


class ShowsFreedMemory(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.empty_strided([1000], [1])


class Quantizes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.quantize_per_tensor(x, 0.1, 0, torch.quint8).dequantize()


class NoForward(nn.Module):
    @torch.jit.export
    def predict(self, x: Tensor) -> Tensor:
        return x


class SeedsGenerator(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return x


class TurnsGradientsOff(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return x


class EntersContext(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = x * 2
        return x + 1


class Kind(enum.Enum):
    FIRST = 1
    SECOND = 2


class HasEnumeration(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kind = Kind.SECOND

    def forward(self, x: Tensor) -> Tensor:
        return x if self.kind == Kind.FIRST else x * 2


class RunsBackward(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.sum().backward()
        return x


class CallsProfiler(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.ops.profiler._record_function_enter("hidden")
        return x


class SwapsStorage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.set_(torch.zeros(3))


class BuildsSparse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        where = torch.zeros([1, 1], dtype=torch.long)
        return torch.sparse_coo_tensor(where, torch.ones(1), [2]).to_dense() + x


class WritesIntoOutput(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, x, out=x)


class ReachesPastAutograd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.data


class MovesToDevice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cuda()


class OnlyGetsState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.sum()

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        torch.from_file("written.bin", shared=True, size=16, dtype=torch.uint8).fill_(67)
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.weight = state[0]
        self.training = state[1]


def hostile_pre_hook(self: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    torch.save(inputs[0], "written.bin")
    return inputs


def pre_hooked() -> nn.Module:
    """A module with a hostile hook before its forward."""
    module = HasHook()
    module.register_forward_pre_hook(hostile_pre_hook)
    return module


class LoopsForEver(nn.Module):
    """Nothing but arithmetic; [N, 8] to [N, 1], as are those below."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        count = 0
        while count >= 0:
            count = (count + 1) % 1000
        return self.fc(x)


class AsksForTerabytes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + torch.zeros([1 << 44]).sum()


class HoardsMemory(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Each of its own: a constant would be shared.
        hoard = [torch.zeros([1 << 26]) + x.sum() for _ in range(1 << 20)]
        return self.fc(x) + hoard[0].sum()


class OverflowsShape(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + x.expand([1 << 31, -1, 8]).repeat([1 << 31, 1, 1]).sum()


class Raises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            raise ValueError("\x1b[2J a screen cleared\nand a second line")
        return self.fc(x)


class DividesByZero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + (x.size(0) // (x.dim() - 2))


class LooksOutsideTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        far = torch.full([x.size(0)], 1 << 40, dtype=torch.long)
        return self.fc(x) + x.reshape(-1).index_select(0, far).sum()


class Plain(nn.Module):
    """The harmless model that the archive attacks start from: a parameter, a typed list, submodules."""

    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.sizes = [1, 2]
        self.inner = nn.Linear(3, 2)
        self.outer = Doubler()

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x) @ self.weight)


class HasConstants(nn.Module):
    """Freezing moves its parameters into constants.pkl."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight
