"""Make the head that a manifest states."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.manifest_model import HeadForm, RidgeForm
from vst_dicom.predict.members import Head
from vst_dicom.predict.mlp_head import MlpHead
from vst_dicom.predict.ridge_head import RidgeHead

_RIDGE_TENSORS: Final = ("mean", "components", "coefficients", "intercept")
_MEMBERS: Final = "member_coefficients"
_MLP_TENSORS: Final = ("mean", "components", "hidden_weights", "hidden_bias", "weights", "bias")


def parse_head(form: HeadForm, tensors: Mapping[str, NDArray[np.float32]]) -> Head:
    """Make a head of the form that the manifest states.

    Parameters
    ----------
    form
        What the manifest says.
    tensors
        By name, as `Head.tensors` gives them.

    Raises
    ------
    BundleError
        If a tensor is missing or unknown, shapes do not fit each other or the form, or a number is not finite.
    """
    if isinstance(form, RidgeForm):
        expected: tuple[str, ...] = _RIDGE_TENSORS if form.n_members == 0 else (*_RIDGE_TENSORS, _MEMBERS)
    else:
        expected = _MLP_TENSORS
    if sorted(tensors) != sorted(expected):
        msg = (
            f"the head must hold {', '.join(expected)}, not {', '.join(sorted(tensors)) or 'nothing'}; "
            "get the bundle again"
        )
        raise BundleError(msg)
    try:
        head: Head = RidgeHead(**tensors) if isinstance(form, RidgeForm) else MlpHead(**tensors)
    except ValueError as error:
        msg = f"the head is refused: {error}; get the bundle again"
        raise BundleError(msg) from error
    found = (head.n_components, head.n_members)
    if found != (form.n_components, form.n_members):
        msg = (
            f"the head has {found[0]} components and {found[1]} members, the manifest says {form.n_components} and "
            f"{form.n_members}; get the bundle again"
        )
        raise BundleError(msg)
    return head
