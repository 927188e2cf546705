"""The described tables against the schema's own code for writing them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from mcofa.files import tflite_layout
from mcofa.files.flatbuffer import Field, Table
from mcofa.graph import DType, Op, OpKind
from mcofa.ops import OPERATORS
from mcofa.ops.options import ACTIVATIONS, PADDINGS, op_attributes, option_values

OPTIONS = {kind: record.options for kind, record in OPERATORS.items() if record.options}
NAMED = {kind for kind, table in OPTIONS.items() if any(field.is_reference for field in table.fields)}
"""Options with names, which are read only."""
TABLES = [value for value in vars(tflite_layout).values() if isinstance(value, Table)]
BYTES = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int32": 4, "Uint32": 4}


class Recorder:
    """Stands for a flatbuffers builder: keeps what one field is written with."""

    def __getattr__(self, name: str) -> Any:
        number = re.fullmatch(r"Prepend(\w+)Slot", name)
        assert number, name

        def record(slot: int, _value: int, default: int) -> None:
            kind = number[1]
            self.written = slot, BYTES.get(kind, 4), int(default), kind == "UOffsetTRelative"

        return record


@pytest.mark.parametrize(
    "table", {t.name: t for t in [*TABLES, *OPTIONS.values()]}.values(), ids=lambda t: t.name
)
def test_fields_are_those_of_the_schema(table: Table) -> None:
    for field in table.fields:
        builder = Recorder()
        getattr(schema, f"{table.name}Add{field.name}")(builder, 1)
        assert builder.written == (field.slot, field.bytes, field.default, field.is_reference), field


@pytest.mark.parametrize("kind", OPERATORS)
def test_numbers_of_ops_are_those_of_the_schema(kind: OpKind) -> None:
    record = OPERATORS[kind]
    assert record.code == getattr(schema.BuiltinOperator, kind)
    if record.options:
        assert record.options.option_code == getattr(schema.BuiltinOptions, record.options.name)


@pytest.mark.parametrize(
    ("names", "enum"), [(PADDINGS, schema.Padding), (ACTIVATIONS, schema.ActivationFunctionType)]
)
def test_enumerations_are_those_of_the_schema(names: tuple[str, ...], enum: type) -> None:
    assert {name: number for number, name in enumerate(names)} == {
        name: number for name, number in vars(enum).items() if not name.startswith("_")
    }


@pytest.mark.parametrize("kind", sorted(set(OPTIONS) - NAMED))
def test_what_is_written_of_an_op_is_read_again(kind: OpKind) -> None:
    table = OPTIONS[kind]
    op = Op(
        *(kind, (0,), (1,)), stride=(2, 3), padding="VALID", dilation=(4, 5), window=(6, 7),
        activation="RELU6", calls=3,
    )  # fmt: skip
    attributes = op_attributes(option_values(table, op))
    assert attributes == {name: getattr(op, name) for name in attributes}
    assert op_attributes(option_values(table, Op(kind, (0,), (1,), **attributes))) == attributes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Padding": 2}, "padding 2"),
        ({"FusedActivationFunction": 6}, "activation 6"),
        ({"StrideH": 0, "StrideW": 1}, "stride 0×1"),
        ({"FilterHeight": 1, "FilterWidth": 1 << 17}, "window 1×131072"),
        ({"DilationHFactor": -1, "DilationWFactor": 1}, "dilation -1×1"),
    ],
)
def test_values_that_no_op_has_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        op_attributes(values)


def test_defaults_are_left_out() -> None:
    table = Table("Any", (Field("a", 0, 4), Field("b", 1, 1, default=1), Field("c", 2, 1)))
    assert table.present({"a": 3, "b": 1}) == table.without("b", "c")


def test_every_element_type_is_written() -> None:
    """The size of a tensor's table counts on a type that is not the default, float32."""
    defaults = [dtype for dtype in DType if getattr(schema.TensorType, dtype.name) == 0]
    assert defaults == [DType.FLOAT32]
