"""Fold batch normalizations into the convolutions before them: the same numbers with one pass less over memory."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vst_dicom.predict.efficientnet_lite import ConvNorm


def fold_norms(encoder: nn.Module) -> nn.Module:
    """Fold, in place, where this package's own convolutional network is used; other networks stay as they are.

    Parameters
    ----------
    encoder
        In evaluation mode: a normalization is a fixed factor and summand per channel.
    """
    for module in encoder.modules():
        if isinstance(module, ConvNorm) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
    return encoder
