"""torch.ops.npu: every operator of torch_npu under its schema, those that run and those that say that they do not."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable

import pytest
import torch

from tests.npu_emulator.conftest import REPOSITORY, Run


def test_kernels_take_what_the_schemas_say() -> None:
    from npu_emulator.operators import load, namespace, registry

    load()
    assert len(registry.KERNELS) > 150
    for full_name, kernel in registry.KERNELS.items():
        name, _, overload = full_name.partition(".")
        library = namespace.library_of(name)
        schema = getattr(getattr(getattr(torch.ops, library), name), overload or "default")._schema
        parameters = inspect.signature(kernel.compute).parameters
        # A form with results to write to hands the keywords on that are the plain form's.
        handed_on = [argument for argument in schema.arguments if argument.name not in parameters]
        named = [argument for argument in schema.arguments if argument.name in parameters]
        assert {one.name for one in named} == parameters.keys() - {"options"}, full_name
        assert ("options" in parameters) == bool(handed_on), full_name
        assert all(argument.kwarg_only for argument in handed_on), full_name
        if not handed_on:
            assert list(parameters) == [argument.name for argument in schema.arguments], full_name
        for argument in named:
            parameter = parameters[argument.name]
            assert (parameter.kind is parameter.KEYWORD_ONLY) == argument.kwarg_only, (full_name, argument.name)
            default = argument.default_value if argument.has_default_value() else parameter.empty
            assert parameter.default == default, (full_name, argument.name)
        assert overload in namespace.schemas(library)[name]
        assert set(kernel.either) <= parameters.keys(), full_name


def test_derivatives_ask_for_what_there_is() -> None:
    from npu_emulator.operators import load, registry

    load()
    for full_name, derivative in registry.DERIVATIVES.items():
        name, _, overload = full_name.partition(".")
        schema = getattr(getattr(torch.ops.npu, name), overload or "default")._schema
        arguments = {argument.name for argument in schema.arguments}
        results = range(len(schema.returns))
        available = arguments | {"grad", "needed"} | {f"{kind}{i}" for kind in ("grad", "result") for i in results}
        assert set(derivative.needs) <= available, full_name
        assert set(derivative.of) <= arguments, full_name


def test_every_operator_is_there() -> None:
    import torch_npu

    from npu_emulator.operators import namespace

    names = list(namespace.schemas())
    assert len(names) > 350
    assert set(names) <= set(dir(torch.ops.npu))
    assert {*names, *namespace.schemas("atb")} <= set(dir(torch_npu))
    assert namespace.schemas("atb").keys() <= set(dir(torch.ops.atb))
    for name, overloads in namespace.schemas().items():
        if all("Dimname" in schema for schema in overloads.values()):
            continue  # a type that torch has dropped
        packet = getattr(torch.ops.npu, name)
        assert getattr(torch_npu, name).overloads() == packet.overloads()
        found = {"" if overload == "default" else overload for overload in packet.overloads()}
        assert found == {overload for overload, schema in overloads.items() if "Dimname" not in schema}


def test_what_is_not_emulated_says_so() -> None:
    import torch_npu

    x = torch.ones(2, 4).npu()
    for call in (torch_npu.npu_nms_rotated, torch.ops.npu.npu_nms_rotated):
        with pytest.raises(
            NotImplementedError, match=r"npu_nms_rotated works on Ascend hardware, but the emulated NPU does not"
        ):
            call(x, x, 0.5)
    with pytest.raises(AttributeError, match="no attribute 'npu_of_nobody'"):
        torch_npu.npu_of_nobody  # noqa: B018
    with pytest.raises(AttributeError):
        torch.ops.npu.npu_of_nobody  # noqa: B018
    assert not hasattr(torch_npu, "npu_of_nobody")


def test_host_tensors_are_refused_as_by_any_operator_of_another_device() -> None:
    import torch_npu

    with pytest.raises(NotImplementedError, match=r"Could not run 'npu::npu_swiglu' with arguments from the 'CPU'"):
        torch_npu.npu_swiglu(torch.ones(2, 4))


def test_other_libraries_add_to_the_namespace() -> None:
    library = torch.library.Library("npu", "FRAGMENT")
    library.define("somebody_elses(Tensor x) -> Tensor")
    library.impl("somebody_elses", lambda x: x + 1, "PrivateUse1")
    assert torch.ops.npu.somebody_elses(torch.ones(2).npu()).tolist() == [2, 2]


def test_the_device_of_the_arguments_is_that_of_the_results() -> None:
    import torch_npu

    assert torch_npu.npu_swiglu(torch.ones(2, 4, device="npu:1")).device == torch.device("npu:1")


def test_no_graph_without_need() -> None:
    import torch_npu

    x = torch.ones(2, 4).npu().requires_grad_()
    assert torch_npu.npu_swiglu(x).requires_grad
    assert not torch_npu.npu_rms_norm(x, torch.ones(4).npu())[1].requires_grad
    with torch.no_grad():
        assert not torch_npu.npu_swiglu(x).requires_grad


# Before, torch.func's levels passed over the autograd kernels of devices that are not torch's own.
has_levels = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9),
    reason="torch.func does not reach the autograd kernels of other devices before torch 2.9",
)


def by_formula(x: torch.Tensor) -> torch.Tensor:
    gate, rest = x.chunk(2, -1)
    return torch.nn.functional.silu(gate) * rest


@has_levels
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: torch.func.vmap(f),
        lambda f: torch.func.grad(lambda x: f(x).sin().sum()),
        lambda f: torch.func.vmap(torch.func.grad(lambda x: f(x).sin().sum())),
        lambda f: torch.func.grad(lambda x: torch.func.vmap(f)(x).sin().sum()),
        lambda f: torch.func.jacrev(lambda x: f(x[0])),
        lambda f: lambda x: torch.func.vjp(f, x)[1](x[..., :4])[0],
    ],
    ids=["vmap", "grad", "vmap of grad", "grad of vmap", "jacrev", "vjp"],
)
def test_the_transforms_of_torch_func(transform: Callable[..., Callable[..., torch.Tensor]]) -> None:
    import torch_npu

    x = torch.randn(3, 2, 8)
    torch.testing.assert_close(transform(torch_npu.npu_swiglu)(x.npu()).cpu(), transform(by_formula)(x))


def test_a_second_derivative_is_not_there_and_torch_says_so_as_on_hardware() -> None:
    """torch_npu registers derivatives of operators, and none of their backward ones: torch warns, once an operator."""
    import torch_npu

    x = torch.randn(2, 8).npu().requires_grad_()
    (gradient,) = torch.autograd.grad(torch_npu.npu_swiglu(x).sum(), x, create_graph=True)
    with pytest.warns(UserWarning, match="autograd kernel was not registered") as seen:
        (gradient * gradient).sum().backward()
    assert x.grad is None
    assert [str(warning.message).partition(": ")[0] for warning in seen] == ["npu::npu_swiglu_backward"]


@has_levels
def test_there_are_no_forward_derivatives() -> None:
    import torch_npu

    x = torch.randn(2, 8).npu()
    with pytest.raises(NotImplementedError, match="Trying to use forward AD with npu_swiglu that does not support it"):
        torch.func.jvp(torch_npu.npu_swiglu, (x,), (x,))


def test_warnings_instead_of_refusals(run: Run) -> None:
    code = """
        import torch, torch_npu
        print(torch_npu.npu_swiglu(torch.ones(2, dtype=torch.float64).npu()).item())
    """
    result = run(code, NPU_EMULATOR_STRICT="0")
    assert result.returncode == 0, result.stderr
    assert "UserWarning: npu_swiglu: self is float64, expected float16 or bfloat16 or float32" in result.stderr


def test_fake_tensors_have_shapes() -> None:
    import torch_npu
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        x = mode.from_tensor(torch.ones(2, 6, 8).npu())
        gamma = mode.from_tensor(torch.ones(8).npu())
        assert torch_npu.npu_swiglu(x).shape == (2, 6, 4)
        assert [part.shape for part in torch_npu.npu_rms_norm(x, gamma)] == [(2, 6, 8), (2, 6, 1)]
        assert torch_npu.npu_dynamic_quant(x.half())[0].dtype == torch.int8
        places = torch_npu.npu_moe_token_permute(x[0], mode.from_tensor(torch.ones(6, 2).int().npu()))[1]
        assert (places.shape, places.device.type) == ((12,), "npu")


def test_first_uses_in_several_threads() -> None:
    names = [name for name in dir(torch.ops.npu) if name.startswith("npu_mhc")]
    failures: list[BaseException] = []

    def look() -> None:
        try:
            for name in names:
                getattr(torch.ops.npu, name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def stem(name: str) -> str:
    """The operator without its version, direction and form."""
    form = r"(_get_max_workspace|_mat\d|_backward|_grad|_?v\d|\dd|_functional|_cast|_saved|_)+$"
    return re.sub(form, "", name.lower().lstrip("_"))


def test_documentation_names_every_operator_that_runs() -> None:
    from npu_emulator.operators import load, registry

    load()
    text = (REPOSITORY / "docs" / "emulator.md").read_text("utf-8")
    section = text[text.index("## torch_npu's own operators") : text.index("## How it works")]
    named = {stem(word) for word in re.findall(r"`(_?npu_\w+)`", section)}
    assert {stem(name.partition(".")[0]) for name in registry.KERNELS} <= named
