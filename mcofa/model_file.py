"""Size of the .tflite file that the exporter writes for a graph (placeholder until the writer is measured)."""

from mcofa.graph import Graph, Op


def fixed_file_bytes() -> int:
    return 512


def op_file_bytes(graph: Graph, op: Op) -> int:
    return (
        sum(
            graph.tensors[t].bytes + 8 * graph.tensors[t].scales + 100
            for t in op.inputs
            if graph.tensors[t].constant
        )
        + 200
    )


def model_file_bytes(graph: Graph) -> int:
    return fixed_file_bytes() + sum(op_file_bytes(graph, op) for op in graph.ops)
