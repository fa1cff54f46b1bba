"""Gate and mask head as two files: what goes in, what comes out, and where they meet."""

import onnx
from onnx import TensorProto

SKIPS = [f"skip_{level}" for level in range(1, 6)]


def test_the_image_is_uint8_with_a_free_batch_and_one_grey_channel(float_bundle, int8_bundle):
    gates = [path for bundle in (float_bundle, int8_bundle) for path in bundle.rglob("gate.onnx")]
    assert len(gates) == 7
    for path in gates:
        (image,) = onnx.load(path).graph.input
        assert image.name == "image"
        assert image.type.tensor_type.elem_type == TensorProto.UINT8
        assert dimensions(image) == ["N", 64, 64, 1]


def test_gate_and_mask_meet_at_the_skips(float_bundle, int8_bundle):
    kinds = {
        float_bundle / "cpu": TensorProto.FLOAT,
        int8_bundle / "cpu": TensorProto.UINT8,
        int8_bundle / "tensorrt": TensorProto.INT8,
        int8_bundle / "tensorrt/typed": TensorProto.INT8,
        int8_bundle / "tensorrt/float": TensorProto.FLOAT,
    }
    for folder, kind in kinds.items():
        gate, mask = (onnx.load(folder / name).graph for name in ("gate.onnx", "mask.onnx"))
        score, *handed = gate.output
        assert (score.name, dimensions(score)) == ("score", ["N", 1])
        assert score.type.tensor_type.elem_type == TensorProto.FLOAT
        assert [tensor.name for tensor in handed] == SKIPS
        assert {t.name: dimensions(t) for t in handed} == {
            t.name: dimensions(t) for t in mask.input
        }
        assert {t.type.tensor_type.elem_type for t in (*handed, *mask.input)} == {kind}
        assert [dimensions(t)[2:] for t in handed] == [[64 >> k, 64 >> k] for k in range(1, 6)]
        (drawn,) = mask.output
        assert (drawn.name, dimensions(drawn)) == ("mask", ["N", 1, 64, 64])
        assert drawn.type.tensor_type.elem_type == TensorProto.UINT8


def dimensions(tensor):
    return [d.dim_param or d.dim_value for d in tensor.type.tensor_type.shape.dim]
