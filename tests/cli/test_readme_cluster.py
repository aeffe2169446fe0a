"""The README's commands for several processes and nodes: both programs' own parsers take them."""

import re
import shlex
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from qwenimage_ref import cli
from qwenimage_ref.cli.console import UsageError

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SLURM = {"SLURM_NNODES": "8", "SLURM_JOB_ID": "17"}  # {variable: what Slurm would put there}


def launches() -> list[list[str]]:
    """The words behind `torchrun` in every command of the README"""
    text = README.replace("\\\n", " ")  # a command that goes on in the next line
    commands = re.findall(r"^.*\btorchrun (--.*)$", text, re.M)
    return [[valued(word) for word in shlex.split(command)] for command in commands]


def valued(word: str) -> str:
    """A word as the shell hands it on; of a command inside it, some name of a node"""
    word = re.sub(r"\$\(scontrol show hostnames \| head -1\)", "node-1", word)
    return re.sub(r"\$(\w+)", lambda match: SLURM[match[1]], word)


def test_one_machine_and_a_cluster_are_shown():
    assert ["--nnodes" in words for words in launches()] == [False, True]


@pytest.mark.parametrize("words", launches(), ids=["one machine", "cluster"])
def test_a_command_for_several_processes_is_parsed_and_its_batch_divides(words):
    launched = get_args_parser().parse_args(words)
    assert launched.module and launched.training_script == "qwenimage_ref.cli"
    options = cli._parser().parse_args(launched.training_script_args)
    assert options.shard and options.recompute and options.prepared == Path("prepared")
    processes = int(launched.nproc_per_node) * int(launched.nnodes.rpartition(":")[2])
    assert options.batch % processes == 0


def test_an_option_that_does_not_exist_would_be_noticed():
    words = get_args_parser().parse_args(launches()[1]).training_script_args
    for option in (word for word in words if word.startswith("--")):
        wrong = ["--no-such-option" if word == option else word for word in words]
        with pytest.raises(UsageError, match="required|unrecognized|--no-such-option"):
            cli._parser().parse_args(wrong)


def test_the_nodes_of_the_job_are_those_of_its_launch():
    """Slurm starts one torchrun a node, and each starts a process for every GPU of it."""
    job = dict(re.findall(r"--([\w-]+)=(\d+)", re.search(r"^#SBATCH (.*)$", README, re.M)[1]))
    launched = get_args_parser().parse_args(launches()[1])
    assert job["ntasks-per-node"] == "1" and job["gpus-per-node"] == launched.nproc_per_node
    assert job["nodes"] == SLURM["SLURM_NNODES"] == launched.nnodes
    assert launched.rdzv_endpoint == "node-1:29500" and launched.rdzv_id == SLURM["SLURM_JOB_ID"]
