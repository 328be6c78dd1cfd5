"""TFF's TensorFlow computations as functions, and TFF's values as flat lists of tensors.

TFF serializes every computation as a graph of the TensorFlow 1 kind: feeds, fetches and an
operation that initializes its variables. Once imported, such a graph is an ordinary function on
whatever device this process has.
"""

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

# Not public, but no public function returns a computation's graph or converts flat values to TFF's
# containers (TFF 0.87).
from tensorflow_federated.python.common_libs import structure
from tensorflow_federated.python.core.impl.computation import computation_impl
from tensorflow_federated.python.core.impl.types import computation_types, type_conversions
from tensorflow_federated.python.tensorflow_libs import serialization_utils

_import_numbers = itertools.count(1)


class ImportedComputation:
    """A `tff.tensorflow.computation` that maps the leaves of its argument to those of its result.

    The graph's variables belong to this object and are initialized in each call, so one object
    serves one thread at a time; two imports of one computation share nothing.

    Args:
      computation: of type (T -> U), without placements.

    Raises:
      TypeError: it is not a TensorFlow computation.
    """

    def __init__(self, computation: computation_impl.ConcreteComputation):
        proto = computation_impl.ConcreteComputation.get_proto(computation)
        if proto.WhichOneof("computation") != "tensorflow":
            raise TypeError(
                f"{computation.type_signature} is not a TensorFlow computation, but "
                f"{proto.WhichOneof('computation')}"
            )
        self.type_signature = computation.type_signature
        serialized = proto.tensorflow
        parameters = (
            list(_bindings(serialized.parameter)) if serialized.HasField("parameter") else []
        )
        self._parameter_names = [name for name, _ in parameters]
        self._is_dataset = [is_dataset for _, is_dataset in parameters]
        graph_def = serialization_utils.unpack_graph_def(serialized.graph_def)
        _make_names_unique(graph_def)
        if serialized.initialize_op:
            _initialize_first(graph_def, serialized.initialize_op)
        results = [name for name, _ in _bindings(serialized.result)]
        self._function, self._sources = self._prune(
            graph_def, results, serialized.session_token_tensor_name
        )

    def __call__(self, leaves: Sequence[Any]) -> list[Any]:
        """Return the leaves of the result.

        A leaf of the argument that is part of the result is the same object.

        Args:
          leaves: of the argument, in TFF's order.

        Raises:
          ValueError: the number of leaves is not that of the argument.
        """
        if len(leaves) != len(self._parameter_names):
            raise ValueError(f"{len(leaves)} leaves for {len(self._parameter_names)} parameters")
        inputs = [
            leaf._variant_tensor if is_dataset else tf.convert_to_tensor(leaf)
            for leaf, is_dataset in zip(leaves, self._is_dataset, strict=True)
        ]
        outputs = self._function(*inputs, *self._token) if self._function is not None else []
        return [inputs[at] if is_parameter else outputs[at] for is_parameter, at in self._sources]

    def _prune(
        self, graph_def: Any, results: Sequence[str], token: str
    ) -> tuple[Any, list[tuple[bool, int]]]:
        wrapped = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(graph_def, name=""), signature=[]
        )
        feeds = [wrapped.graph.get_tensor_by_name(name) for name in self._parameter_names]
        self._token: list[Any] = []
        if token and token.split(":")[0] in {node.name for node in graph_def.node}:
            feeds.append(wrapped.graph.get_tensor_by_name(token))
            self._token = [tf.constant("in-process")]
        sources, places = [], {}  # where each result comes from: (is a parameter, its position)
        for name in results:
            if name in self._parameter_names:
                sources.append((True, self._parameter_names.index(name)))
            else:
                sources.append((False, places.setdefault(name, len(places))))
        fetches = [wrapped.graph.get_tensor_by_name(name) for name in places]
        # Without a signature, TensorFlow first tries every call by name, and formats an error
        # message with all its tensors.
        leaves = tuple(
            tf.TensorSpec(feed.shape, feed.dtype, name=f"leaf{i}") for i, feed in enumerate(feeds)
        )
        pruned = wrapped.prune(feeds, fetches, input_signature=(leaves, {})) if fetches else None
        return pruned, sources


def flatten(value: Any) -> list[Any]:
    """Return the leaves of a TFF value in TFF's order."""
    if isinstance(value, structure.Struct):
        return [leaf for _, item in structure.to_elements(value) for leaf in flatten(item)]
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in flatten(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flatten(item)]
    if hasattr(value, "__attrs_attrs__"):
        return [
            leaf for item in value.__attrs_attrs__ for leaf in flatten(getattr(value, item.name))
        ]
    return [value]


def pack(leaves: Iterable[Any], type_signature: tff.Type) -> Any:
    """Return the value whose `flatten` is `leaves`, with the Python containers of the type."""
    remaining = iter(leaves)

    def build(part: tff.Type) -> Any:
        if isinstance(part, computation_types.StructType):
            elements = [(name, build(item)) for name, item in structure.to_elements(part)]
            return type_conversions.type_to_py_container(structure.Struct(elements), part)
        return next(remaining)

    return build(type_signature)


def as_data(leaf: Any) -> np.ndarray:
    """Return a leaf of the state without Python objects.

    TFF keeps the names of privacy events in its state, as arrays of str objects.
    """
    array = np.asarray(leaf)
    return array.astype(np.bytes_) if array.dtype == object else array


def as_leaf(array: np.ndarray) -> np.ndarray:
    """Return the leaf whose `as_data` is `array`."""
    return array.astype(object) if array.dtype.kind == "S" else array


def count_leaves(type_signature: tff.Type) -> int:
    """Return the number of leaves of a value of this type."""
    if isinstance(type_signature, computation_types.StructType):
        return sum(count_leaves(item) for _, item in structure.to_elements(type_signature))
    return 1


def elements(type_signature: tff.Type) -> list[tff.Type]:
    """Return the types of a structure's elements."""
    return [item for _, item in structure.to_elements(cast(Any, type_signature))]


def member_type(type_signature: tff.Type) -> tff.Type:
    """Return the type of the value that is placed at the server or at the clients."""
    return cast(computation_types.FederatedType, type_signature).member


def concrete(computation: tff.Computation) -> computation_impl.ConcreteComputation:
    """Return the computation as the class of every decorated function."""
    return cast(computation_impl.ConcreteComputation, computation)


def _bindings(binding: Any) -> Iterator[tuple[str, bool]]:
    """Yield the tensor name of every leaf, and whether the leaf is a dataset."""
    kind = binding.WhichOneof("binding")
    if kind == "tensor":
        yield binding.tensor.tensor_name, False
    elif kind == "sequence":
        yield binding.sequence.variant_tensor_name, True
    elif kind == "struct":
        for element in binding.struct.element:
            yield from _bindings(element)


def _make_names_unique(graph_def: Any) -> None:
    """Give the functions and variables of a graph names that no other imported graph uses.

    An eager process has one library of functions and one store of variables, by name, for all
    graphs.
    """
    suffix = f"_imported{next(_import_numbers)}"
    names = {
        function.signature.name: function.signature.name + suffix
        for function in graph_def.library.function
    }

    def rename(nodes: Iterable[Any]) -> None:
        for node in nodes:
            node.op = names.get(node.op, node.op)
            rename_attributes(node.attr)
            if "shared_name" in node.attr:
                shared = node.attr["shared_name"]
                shared.s = (shared.s or node.name.encode()) + suffix.encode()

    def rename_attributes(attributes: Any) -> None:
        for attribute in attributes.values():
            if attribute.HasField("func"):
                attribute.func.name = names.get(attribute.func.name, attribute.func.name)
            for function in attribute.list.func:
                function.name = names.get(function.name, function.name)

    rename(graph_def.node)
    for function in graph_def.library.function:
        function.signature.name = names[function.signature.name]
        rename(function.node_def)
        rename_attributes(function.attr)
    for gradient in graph_def.library.gradient:
        gradient.function_name = names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)


def _initialize_first(graph_def: Any, initialize_op: str) -> None:
    """Let every operation wait for the graph's initializer.

    The initializer itself and operations inside a v1 loop do not wait.
    """
    excluded = _ancestors(graph_def, initialize_op) | _inside_loops(graph_def)
    for node in graph_def.node:
        if node.name not in excluded and node.op != "Placeholder":
            node.input.append(f"^{initialize_op}")


def _ancestors(graph_def: Any, name: str) -> set[str]:
    nodes, found, open_ends = {node.name: node for node in graph_def.node}, set(), [name]
    while open_ends:
        name = open_ends.pop()
        if name not in found:
            found.add(name)
            open_ends += [_node_name(source) for source in nodes[name].input]
    return found


def _inside_loops(graph_def: Any) -> set[str]:
    """Return the nodes in the frames of inlined loops.

    They run after their Enter nodes, which wait already.
    """
    users = collections.defaultdict(list)
    for node in graph_def.node:
        for source in node.input:
            users[_node_name(source)].append(node)
    open_ends = [
        user
        for node in graph_def.node
        if node.op in ("Enter", "RefEnter")
        for user in users[node.name]
    ]
    found: set[str] = set()
    while open_ends:
        node = open_ends.pop()
        if node.name not in found:
            found.add(node.name)
            open_ends += users[node.name] if node.op not in ("Exit", "RefExit") else []
    return found


def _node_name(source: str) -> str:
    return source.lstrip("^").split(":")[0]
