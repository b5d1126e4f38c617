import pytest
import torch

from vst_dicom.predict.efficientnet_lite import EfficientNetLite0, _same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(224, 3, 2, (0, 1)), (7, 3, 1, (1, 1)), (28, 5, 1, (2, 2)), (56, 5, 2, (1, 2)), (15, 3, 2, (1, 1))],
)
def test_padding_follows_tensorflow(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert _same_padding(size, kernel, stride) == expected


def test_tiles_become_1280_features_from_seven_by_seven_positions() -> None:
    network = EfficientNetLite0().eval()
    with torch.inference_mode():
        images = torch.zeros(2, 3, 224, 224)

        assert network.blocks(network.stem(images)).shape == (2, 320, 7, 7)
        assert network(images).shape == (2, 1280)


def test_the_network_has_the_published_number_of_parameters() -> None:
    # 4,652,008 with the classifier of 1,280 x 1,000 weights and 1,000 offsets.
    assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == 4_652_008 - 1_281_000


def test_features_equal_those_of_the_published_package() -> None:
    published = pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [convert] is not installed")
    from vst_dicom.training.convert_efficientnet_lite import largest_difference, renamed

    torch.manual_seed(0)
    state = published.EfficientNet.from_name("efficientnet-lite0").state_dict()
    network = EfficientNetLite0().eval()
    network.load_state_dict(renamed(state), strict=False)

    assert largest_difference(state, network) < 1e-5


def test_stages_stand_before_the_last_layer_and_are_means_of_their_outputs() -> None:
    torch.manual_seed(0)
    last, stages = EfficientNetLite0().eval(), EfficientNetLite0(stages=True).eval()
    stages.load_state_dict(last.state_dict())
    images = torch.rand(2, 3, 64, 64)

    with torch.inference_mode():
        features = stages(images)
        first_stage = stages.blocks[0](stages.stem(images))

    assert features.shape == (2, 16 + 24 + 40 + 80 + 112 + 192 + 320 + 1280)
    torch.testing.assert_close(features[:, :16], first_stage.mean(dim=(2, 3)))
    torch.testing.assert_close(features[:, -1280:], last(images))
