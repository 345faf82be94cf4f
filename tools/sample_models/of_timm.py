"""Families of timm, each in its smallest variant, with fewer and narrower layers where it lets them be chosen."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from .case import CLASSES, Case, classifier, floats, slowly
from .packages import load

__all__ = ["CASES"]


def _create(name: str, **options: Any) -> nn.Module:
    model: nn.Module = load("timm").create_model(name, pretrained=False, num_classes=CLASSES, **options)
    return model


def _case(name: str, side: int = 64, **options: Any) -> Case:
    return classifier(f"timm {name}", partial(_create, name, **options), floats(3, side, side))


def _mixer(ratio: Any, **layers: str) -> nn.Module:
    models = load("timm.models.mlp_mixer")
    kinds = {key: getattr(models, name) for key, name in layers.items()}
    model: nn.Module = models.MlpMixer(CLASSES, 32, 3, 8, 2, 32, mlp_ratio=ratio, **kinds)
    return model


def _poolformer() -> nn.Module:
    models = load("timm.models.metaformer")
    model: nn.Module = models.MetaFormer(
        depths=_FOUR, dims=(16, 32, 32, 64), num_classes=CLASSES, downsample_norm=None, mlp_act=nn.GELU, mlp_bias=True,
        norm_layers=models.GroupNorm1, layer_scale_init_values=1e-5, res_scale_init_values=None, use_mlp_head=False,
    )  # fmt: skip
    return model


def _levit() -> nn.Module:
    model: nn.Module = load("timm.models.levit").Levit(
        img_size=64,
        num_classes=CLASSES,
        embed_dim=(16, 24, 32),
        key_dim=8,
        num_heads=(2, 3, 4),
        depth=(1, 1, 1),
    )
    return model


def _xception() -> nn.Module:
    blocks = [
        {"in_chs": 64, "out_chs": 32, "stride": 2},
        {"in_chs": 32, "out_chs": 32, "stride": 1},
        {"in_chs": 32, "out_chs": (32, 48, 48), "stride": 1, "no_skip": True, "start_with_relu": False},
    ]
    model: nn.Module = load("timm.models.xception_aligned").XceptionAligned(blocks, CLASSES)
    return model


def _repvgg() -> nn.Module:
    models = load("timm.models.byobnet")
    blocks = tuple(
        models.ByoBlockCfg(type="rep", d=1, c=channels, s=2, gs=0) for channels in (16, 32, 32, 48)
    )
    model: nn.Module = models.ByobNet(models.ByoModelCfg(blocks, stem_type="rep", stem_chs=16), CLASSES)
    return model


def _hrnet() -> nn.Module:
    stages = {
        f"stage{count}": {
            "num_modules": 1,
            "num_branches": count,
            "block_type": "BOTTLENECK" if count == 1 else "BASIC",
            "num_blocks": (1,) * count,
            "num_channels": tuple(8 << branch for branch in range(count)),
            "fuse_method": "SUM",
        }
        for count in (1, 2, 3, 4)
    }
    model: nn.Module = load("timm.models.hrnet").HighResolutionNet(
        {"stem_width": 16, **stages}, num_classes=CLASSES
    )
    return model


def _built(name: str, make: Any, side: int) -> Case:
    return classifier(f"timm {name}", make, floats(3, side, side))


_TRANSFORMER = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
_FOUR = (1, 1, 1, 1)

CASES = [
    slowly(_case("resnet10t", 32), 1e-4),
    _case("vit_tiny_patch16_224", 32, **_TRANSFORMER),
    _case("deit_tiny_patch16_224", 32, **_TRANSFORMER),
    _case(
        "swin_tiny_patch4_window7_224",
        img_size=64, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4),
    ),
    _case("convnext_atto", depths=_FOUR, dims=(8, 16, 32, 64)),
    _built("mlp_mixer", partial(_mixer, (0.5, 4.0)), 32),
    _built("resmlp", partial(_mixer, 4, block_layer="ResBlock", norm_layer="Affine"), 32),
    _built("gmlp", partial(_mixer, 6, block_layer="SpatialGatingBlock", mlp_layer="GatedMlp"), 32),
    slowly(_case("test_efficientnet"), 1e-4),
    slowly(_case("mobilenetv3_small_050"), 1e-5),
    slowly(_case("mobilenetv4_conv_small_035"), 1e-5, bias=2),
    slowly(_case("ghostnet_050"), 1e-5),
    slowly(_case("regnetx_002", 32), 1e-3),
    slowly(_built("xception_aligned", _xception, 32), 1e-4),
    slowly(_built("levit", _levit, 64), 1e-3),
    _built("poolformer", _poolformer, 64),
    _case("coat_lite_tiny", img_size=64, embed_dims=(16, 16, 32, 32), serial_depths=_FOUR),
    _case("pvt_v2_b0", depths=_FOUR, embed_dims=(8, 16, 32, 32), num_heads=(1, 2, 2, 4)),
    _case("edgenext_xx_small", depths=(1, 1, 2, 1), dims=(16, 24, 32, 48)),
    _case("efficientformer_l1", 224, depths=(1, 1, 1, 2), embed_dims=(8, 16, 24, 32)),
    _case("fastvit_t8", layers=_FOUR, embed_dims=(16, 32, 64, 128)),
    _built("repvgg", _repvgg, 32),
    slowly(_built("hrnet", _hrnet, 64), 1e-5, bias=2),
    _case("mobilevit_xxs"),
    _case("inception_next_atto", depths=_FOUR, dims=(16, 32, 48, 64)),
]  # fmt: skip
