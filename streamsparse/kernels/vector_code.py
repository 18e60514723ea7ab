"""LLVM code of the steps in ``vector``; imported by ``jit`` before the first kernel is compiled.

Vectors are wider than most registers: LLVM cuts them to those of the processor at hand. Loads and
stores say that they may lie anywhere. No operation is reordered.

Numba's cache looks at the file of a kernel alone: who changes this one removes ``__pycache__``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils as numba_cgutils

from streamsparse.kernels import vector
from streamsparse.kernels.vector import LANES, OUTER_LANES, OUTER_ROWS, ROWS, WIDTH

# Untyped, as they are used in ways of their own.
cgutils: Any = numba_cgutils
intrinsic: Any = extending.intrinsic
overload: Any = extending.overload

_BYTE = ir.IntType(8)
_INDEX = ir.IntType(64)
_INT32 = ir.IntType(32)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
# Elements of one step of a copy: a register of the widest kind holds as many float32.
_STEP = 16


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Return the address of an element of a one-dimensional array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _as_vector(builder: Any, pointer: Any, element: Any, lanes: int) -> Any:
    return builder.bitcast(pointer, ir.VectorType(element, lanes).as_pointer())


def _converted(builder: Any, values: Any, source: Any, target: Any, into: Any) -> Any:
    """Return a vector of one numba type as one of another, a float that holds all its values."""
    if source == target:
        return values
    if isinstance(source, types.Float):
        return builder.fpext(values, into)
    return (builder.sitofp if source.signed else builder.uitofp)(values, into)


def _spread(builder: Any, scalar: Any, lanes: Any) -> Any:
    """Return a vector of one value, over and over."""
    first = builder.insert_element(ir.Constant(lanes, ir.Undefined), scalar, _INT32(0))
    zeros = ir.Constant(ir.VectorType(_INT32, lanes.count), None)
    return builder.shuffle_vector(first, first, zeros)


@intrinsic
def _stage_run(_: Any, x: Any, start: Any, stage: Any, to: Any) -> Any:
    signature = types.void(x, types.intp, stage, types.intp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        source, target = x.dtype, stage.dtype
        element = context.get_data_type(source)
        into = ir.VectorType(context.get_data_type(target), _STEP)
        origin = _pointer(context, builder, x, arguments[0], arguments[1])
        goal = _pointer(context, builder, stage, arguments[2], arguments[3])
        for k in range(0, WIDTH, _STEP):
            here = _as_vector(builder, builder.gep(origin, [_INDEX(k)]), element, _STEP)
            values = builder.load(here, align=source.bitwidth // 8)
            values = _converted(builder, values, source, target, into)
            there = builder.bitcast(builder.gep(goal, [_INDEX(k)]), into.as_pointer())
            builder.store(values, there, align=target.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _add_cells(
    _: Any,
    stage: Any,
    step: Any,
    positions: Any,
    signs: Any,
    begin: Any,
    end: Any,
    at: Any,
    pair: Any,
) -> Any:
    index = types.intp
    signature = types.void(stage, index, positions, signs, index, index, index, pair)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        staged, step, listed, minus, begin, end, at, rows = arguments
        zero = _INDEX(0)
        origin = _pointer(context, builder, stage, staged, zero)
        places = _pointer(context, builder, positions, listed, zero)
        bits = _pointer(context, builder, signs, minus, zero)
        cells = [
            builder.bitcast(
                _pointer(context, builder, pair[r], builder.extract_value(rows, r), at),
                _DOUBLES.as_pointer(),
            )
            for r in range(ROWS)
        ]
        sums = [builder.load(cell, align=8) for cell in cells]

        before = builder.block
        body, done = builder.append_basic_block("body"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", begin, end), body, done)
        builder.position_at_end(body)
        e = builder.phi(_INDEX)
        totals = [builder.phi(_DOUBLES) for _ in range(ROWS)]
        place = builder.sext(builder.load(builder.gep(places, [e])), _INDEX)
        sign = builder.load(builder.gep(bits, [e]))
        sign = builder.bitcast(sign, ir.VectorType(ir.IntType(1), LANES))
        added = []
        for r, total in enumerate(totals):
            source = builder.gep(origin, [builder.add(place, builder.mul(step, _INDEX(r)))])
            element = context.get_data_type(stage.dtype)
            pointer = _as_vector(builder, source, element, LANES)
            values = builder.load(pointer, align=stage.dtype.bitwidth // 8)
            values = _converted(builder, values, stage.dtype, types.float64, _DOUBLES)
            values = builder.select(sign, builder.fneg(values), values)
            added.append(builder.fadd(total, values))
        following = builder.add(e, _INDEX(1))
        e.add_incoming(begin, before)
        e.add_incoming(following, body)
        for total, first, more in zip(totals, sums, added, strict=True):
            total.add_incoming(first, before)
            total.add_incoming(more, body)
        builder.cbranch(builder.icmp_signed("<", following, end), body, done)
        builder.position_at_end(done)
        results = [builder.phi(_DOUBLES) for _ in range(ROWS)]
        for result, first, more in zip(results, sums, added, strict=True):
            result.add_incoming(first, before)
            result.add_incoming(more, body)
        for result, cell in zip(results, cells, strict=True):
            builder.store(result, cell, align=8)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _add_outer(
    _: Any, a: Any, at: Any, step: Any, b: Any, start: Any, stride: Any, depth: Any, sums: Any
) -> Any:
    index = types.intp
    signature = types.void(a, index, index, b, index, index, index, sums)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        left, at, step, right, start, stride, depth, held = arguments
        lanes = ir.VectorType(ir.DoubleType(), OUTER_LANES)
        fused = ir.FunctionType(lanes, [lanes, lanes, lanes])
        name = f"llvm.fma.v{OUTER_LANES}f64"
        fma = cgutils.get_or_insert_function(builder.module, fused, name)
        origins = [
            _pointer(context, builder, a, left, builder.add(at, builder.mul(step, _INDEX(r))))
            for r in range(OUTER_ROWS)
        ]
        source = _pointer(context, builder, b, right, start)
        cells = [
            builder.bitcast(
                _pointer(context, builder, sums, held, _INDEX(r * OUTER_LANES)),
                lanes.as_pointer(),
            )
            for r in range(OUTER_ROWS)
        ]
        totals = [cgutils.alloca_once(builder, lanes) for _ in range(OUTER_ROWS)]
        for total, cell in zip(totals, cells, strict=True):
            builder.store(builder.load(cell, align=8), total)
        element = context.get_data_type(b.dtype)
        with cgutils.for_range(builder, depth) as loop:
            here = builder.gep(source, [builder.mul(loop.index, stride)])
            values = builder.load(
                _as_vector(builder, here, element, OUTER_LANES), align=b.dtype.bitwidth // 8
            )
            values = _converted(builder, values, b.dtype, types.float64, lanes)
            for origin, total in zip(origins, totals, strict=True):
                scalar = builder.load(builder.gep(origin, [loop.index]))
                scalar = context.cast(builder, scalar, a.dtype, types.float64)
                spread = _spread(builder, scalar, lanes)
                builder.store(builder.call(fma, [spread, values, builder.load(total)]), total)
        for total, cell in zip(totals, cells, strict=True):
            builder.store(builder.load(total), cell, align=8)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _add_multiple(_: Any, y: Any, at: Any, value: Any, x: Any, start: Any) -> Any:
    signature = types.void(y, types.intp, types.float64, x, types.intp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        sums, at, value, added, start = arguments
        lanes = ir.VectorType(ir.DoubleType(), OUTER_LANES)
        goal = builder.bitcast(_pointer(context, builder, y, sums, at), lanes.as_pointer())
        origin = builder.bitcast(_pointer(context, builder, x, added, start), lanes.as_pointer())
        products = builder.fmul(_spread(builder, value, lanes), builder.load(origin, align=8))
        total = builder.fadd(builder.load(goal, align=8), products)
        builder.store(total, goal, align=8)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _fetch(_: Any, x: Any, at: Any) -> Any:
    signature = types.void(x, types.intp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        bytes_at = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [bytes_at, _INT32, _INT32, _INT32])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [bytes_at], kind)
        address = builder.bitcast(_pointer(context, builder, x, *arguments), bytes_at)
        # To be read, into the second level of caches, as data.
        builder.call(prefetch, [address, _INT32(0), _INT32(2), _INT32(1)])
        return context.get_dummy_value()

    return signature, generate


# Numba asks a function of the same parameters for the function that is to be compiled instead.
overload(vector.stage_run)(
    lambda x, start, stage, to: lambda x, start, stage, to: _stage_run(x, start, stage, to)
)
overload(vector.add_cells)(
    lambda stage, step, positions, signs, begin, end, at, pair: (
        lambda stage, step, positions, signs, begin, end, at, pair: _add_cells(
            stage, step, positions, signs, begin, end, at, pair
        )
    )
)
overload(vector.add_outer)(
    lambda a, at, step, b, start, stride, depth, sums: (
        lambda a, at, step, b, start, stride, depth, sums: _add_outer(
            a, at, step, b, start, stride, depth, sums
        )
    )
)
overload(vector.add_multiple)(
    lambda y, at, value, x, start: (
        lambda y, at, value, x, start: _add_multiple(y, at, value, x, start)
    )
)
overload(vector.fetch)(lambda x, at: lambda x, at: _fetch(x, at))
