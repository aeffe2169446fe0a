"""bfloat16 is used where it is fast."""

import pytest
import torch

from qwenimage_ref.train.precision import mixed


@pytest.mark.parametrize("has, allowed", [(True, True), (False, True), (True, False)])
def test_a_cpu_multiplies_in_bfloat16_if_it_has_amx(monkeypatch, has, allowed):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has})
    with mixed(enabled=allowed):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has and allowed else torch.float32)


def test_a_processor_of_another_kind_has_no_amx(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with mixed():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
