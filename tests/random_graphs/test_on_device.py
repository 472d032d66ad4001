"""Random programs on the device that stands for a GPU, with arguments on the host and there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import graphc
from graphc.backends.cupy.chosen import standing_in
from tests.cuda.host_device import DeviceArray, HostDevice, compiler

from .oracle import Oracle
from .programs import WORLDS, Program, programs
from .test_random_graphs import check_call, compiled, note, oracle, set_state

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")

# What is told to it waits, as a GPU is free to do.
DEVICE = HostDevice(late=True)


@pytest.mark.parametrize("numerics", ["default", "ieee"])
@given(program=programs())
@settings(max_examples=settings().max_examples // 20)  # each has several calls of g++: 20, 500 with --full
def test_a_device_computes_what_evaluate_does(numerics: str, program: Program) -> None:
    with standing_in(DEVICE):
        f = compiled(program, numerics=numerics, backend="cupy")
        for world in (*range(WORLDS), 0):
            set_state(program, world)
            right = oracle(program, world, "cupy")
            check_call(program, f, world, numerics == "ieee", right)
            if not isinstance(right, Exception):
                check_arrays(program, f, world, numerics == "ieee", right)
        note(program, f)


def check_arrays(program: Program, f: graphc.Function, world: int, ieee: bool, right: Oracle) -> None:
    """The same with arguments on the device, every other one or all: then results are there, too."""
    for step in (1, 2) if program.inputs else ():
        set_state(program, world)
        arguments: list[Any] = program.arguments(world)
        arguments[::step] = map(DEVICE.asarray, arguments[::step])
        before = [x.get() if isinstance(x, DeviceArray) else x for x in arguments]
        for i, result in enumerate(f(*arguments)):
            assert isinstance(result, DeviceArray)
            right.check(i, result.get(), ieee)
        for i, (target, _) in enumerate(program.updates):
            right.check(len(program.outputs) + i, target.get_value(), ieee)
        for x, was in zip(arguments, before, strict=True):
            if isinstance(x, DeviceArray):
                np.testing.assert_array_equal(x.get(), was)
