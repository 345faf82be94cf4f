"""torchvision's families of classifiers, each in its smallest form: few layers where a family lets them be chosen."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from .case import CLASSES, Case, classifier, floats, slowly
from .packages import load

__all__ = ["CASES"]


def _models() -> Any:
    return load("torchvision.models")


def _named(name: str, **options: Any) -> nn.Module:
    model: nn.Module = _models().get_model(name, weights=None, num_classes=CLASSES, **options)
    return model


def _resnet(block: str, layers: list[int], **options: Any) -> nn.Module:
    resnet = _models().resnet
    model: nn.Module = resnet.ResNet(getattr(resnet, block), layers, num_classes=CLASSES, **options)
    return model


def _narrow(name: str) -> nn.Module:
    """A model whose classifier is too wide for a sample, with a narrow one."""
    model = _named(name)
    first = next(layer for layer in model.classifier if isinstance(layer, nn.Linear))  # type: ignore[union-attr]
    model.classifier = nn.Sequential(
        nn.Linear(first.in_features, 32), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(32, CLASSES)
    )
    return model


def _densenet() -> nn.Module:
    model: nn.Module = _models().DenseNet(8, (2, 2, 2, 2), 16, num_classes=CLASSES)
    return model


def _regnet(**options: Any) -> nn.Module:
    regnet = _models().regnet
    parameters = regnet.BlockParams.from_init_params(
        depth=6, w_0=16, w_a=16.0, w_m=2.2, group_width=8, **options
    )
    model: nn.Module = regnet.RegNet(parameters, num_classes=CLASSES, stem_width=16)
    return model


def _efficientnet(fused: bool) -> nn.Module:
    module = _models().efficientnet
    first = module.FusedMBConvConfig if fused else module.MBConvConfig
    sizes = {} if fused else {"width_mult": 1.0, "depth_mult": 1.0}
    settings = [
        first(1, 3, 1, 16, 16, 1, **sizes),
        first(4, 3, 2, 16, 24, 1, **sizes),
        module.MBConvConfig(4, 3, 2, 24, 32, 2, width_mult=1.0, depth_mult=1.0),
    ]
    model: nn.Module = module.EfficientNet(
        settings, 0.0, stochastic_depth_prob=0.0, num_classes=CLASSES, last_channel=64
    )
    return model


def _convnext() -> nn.Module:
    convnext = _models().convnext
    widths = [(16, 32), (32, 64), (64, None)]
    settings = [convnext.CNBlockConfig(inputs, outputs, 1) for inputs, outputs in widths]
    model: nn.Module = convnext.ConvNeXt(settings, stochastic_depth_prob=0.0, num_classes=CLASSES)
    return model


def _vit() -> nn.Module:
    model: nn.Module = _models().VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=CLASSES)
    return model


def _swin(block: str, merging: str) -> nn.Module:
    swin = _models().swin_transformer
    model: nn.Module = swin.SwinTransformer(
        [4, 4], 16, [2, 2], [2, 4], [4, 4],
        stochastic_depth_prob=0.0, num_classes=CLASSES,
        block=getattr(swin, block), downsample_layer=getattr(swin, merging),
    )  # fmt: skip
    return model


def _maxvit() -> nn.Module:
    model: nn.Module = _models().MaxVit(
        input_size=(32, 32), stem_channels=16, partition_size=4, block_channels=[16, 32], block_layers=[1, 1],
        head_dim=8, stochastic_depth_prob=0.0, num_classes=CLASSES,
    )  # fmt: skip
    return model


def _case(name: str, make: Any, side: int = 32, **options: Any) -> Case:
    return classifier(f"torchvision {name}", make, floats(3, side, side), **options)


def _whole(name: str, side: int = 32, **options: Any) -> Case:
    return _case(name, partial(_named, name, **options), side)


CASES = [
    _case("alexnet", partial(_narrow, "alexnet"), 64),
    _case("vgg11_bn", partial(_narrow, "vgg11_bn")),
    slowly(_whole("resnet18"), 3e-6),
    slowly(_case("resnext", partial(_resnet, "Bottleneck", [1, 1, 1, 1], groups=8, width_per_group=4)), 3e-6),
    slowly(_case("wide_resnet", partial(_resnet, "Bottleneck", [1, 1, 1, 1], width_per_group=32)), 3e-6),
    slowly(_whole("squeezenet1_1", 64), 1e-4),
    slowly(_case("densenet", _densenet), 3e-4),
    slowly(_whole("googlenet", 64, aux_logits=False, init_weights=False), 1e-6),
    slowly(_whole("inception_v3", 80, aux_logits=False, init_weights=False), 1e-6, bias=2),
    slowly(_whole("mobilenet_v2", 64, width_mult=0.25), 1e-6),
    slowly(_whole("mobilenet_v3_small"), 1e-3),
    slowly(_whole("shufflenet_v2_x0_5", 64), 1e-6),
    slowly(_whole("mnasnet0_5", 64), 1e-6, bias=2),
    _case("efficientnet", partial(_efficientnet, False)),
    _case("efficientnet_v2", partial(_efficientnet, True)),
    slowly(_case("regnet_x", _regnet), 1e-3, bias=2),
    slowly(_case("regnet_y", partial(_regnet, se_ratio=0.25)), 3e-4, bias=2),
    _case("convnext", _convnext, 64),
    _case("vit", _vit),
    _case("swin", partial(_swin, "SwinTransformerBlock", "PatchMerging"), 64),
    _case("swin_v2", partial(_swin, "SwinTransformerBlockV2", "PatchMergingV2"), 64),
    _case("maxvit", _maxvit),
]
