"""An option that would have no effect is a usage error: every option of every command has its entry here.

An option that the code does not read at all is ruff's finding (ARG001).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from tiny_models import small_network

from mcofa.cli import cli, main

ALWAYS = None
"""For an option that has an effect wherever its command runs."""


@dataclass(frozen=True)
class Sometimes:
    """Words with which the option has an effect, and words with which it has none."""

    effective: str
    ignored: tuple[str, ...]


AOT_KERNELS = "--board stm32f746 --engine aot --kernels cmsis-nn"
AOT_TFLM = "--board stm32f746 --engine aot --tflm zephyr-4.1"
ARCHS = "cost --space ofa --archs b.csv"
DESIGN = "design-space --board gone.yaml --data-shape 28x28x1 --classes 2 --out s.yaml"
NOWHERE = "search --max-peak-items 20000"

OPTIONS: dict[str, Sometimes | None] = {
    "boards --json": ALWAYS,
    "boards show --json": ALWAYS,
    "spaces --json": ALWAYS,
    "spaces show --board": ALWAYS,
    "spaces show --engine": ALWAYS,
    "spaces show --stream-input": Sometimes(
        "spaces show s.yaml --engine aot --stream-input",
        ("spaces show mcofa-micro --stream-input", "spaces show mcofa-micro --engine tflm --stream-input"),
    ),
    "spaces show --json": ALWAYS,
    "spaces draw --board": ALWAYS,
    "spaces draw --engine": ALWAYS,
    "spaces draw --stream-input": Sometimes(
        "spaces draw s.yaml --out drawn.svg --engine aot --stream-input",
        ("spaces draw mcofa-micro --out drawn.svg --stream-input",),
    ),
    "spaces draw --out": ALWAYS,
    "spaces draw --json": ALWAYS,
    "design-space --board": ALWAYS,
    "design-space --data-shape": ALWAYS,
    "design-space --classes": ALWAYS,
    "design-space --resolution": ALWAYS,
    "design-space --engine": ALWAYS,
    "design-space --stream-input": Sometimes(
        f"{DESIGN} --engine aot --stream-input", (f"{DESIGN} --stream-input",)
    ),
    "design-space --max-latency-ms": ALWAYS,
    "design-space --name": ALWAYS,
    "design-space --out": ALWAYS,
    "design-space --json": ALWAYS,
    "train --step": ALWAYS,
    "train --phase": Sometimes("train no.yaml --step kernel --phase 1", ("train no.yaml --phase 1",)),
    "train --out": ALWAYS,
    "train --json": ALWAYS,
    "measure --count": ALWAYS,
    "measure --seed": ALWAYS,
    "measure --board": ALWAYS,
    "measure --data": ALWAYS,
    "measure --finetune-epochs": ALWAYS,
    "measure --out": ALWAYS,
    "measure --json": ALWAYS,
    "fit-predictor --space": ALWAYS,
    "fit-predictor --out": ALWAYS,
    "fit-predictor --note": ALWAYS,
    "fit-predictor --held-out": ALWAYS,
    "fit-predictor --json": ALWAYS,
    "import-ofa --space": ALWAYS,
    "import-ofa --out": ALWAYS,
    "import-ofa --json": ALWAYS,
    "cost --space": ALWAYS,
    "cost --arch": Sometimes("cost --space ofa --arch a.json", (f"{ARCHS} --arch a.json",)),
    "cost --archs": Sometimes(ARCHS, (f"{ARCHS} --arch a.json",)),
    "cost --board": ALWAYS,
    "cost --engine": Sometimes(
        "cost --space ofa --arch a.json --board stm32f746 --engine tflm",
        ("cost --space ofa --arch a.json --engine tflm", f"{ARCHS} --engine aot"),
    ),
    "cost --stream-input": Sometimes(
        "cost --space ofa --arch a.json --board stm32f746 --engine aot --stream-input",
        (
            "cost --space ofa --arch a.json --stream-input",
            "cost --space ofa --arch a.json --board stm32f746 --stream-input",
            f"{ARCHS} --board stm32f746 --engine tflm --stream-input",
        ),
    ),
    "cost --kernels": Sometimes(
        "cost --space ofa --arch a.json --board stm32f746 --kernels cmsis-nn",
        (
            "cost --space ofa --arch a.json --kernels cmsis-nn",
            f"cost --space ofa --arch a.json {AOT_KERNELS}",
        ),
    ),
    "cost --tflm": Sometimes(
        "cost --space ofa --arch a.json --board stm32f746 --tflm zephyr-4.1",
        (
            "cost --space ofa --arch a.json --tflm zephyr-4.1",
            f"cost --space ofa --arch a.json {AOT_TFLM}",
        ),
    ),
    "cost --predictor": ALWAYS,
    "cost --json": ALWAYS,
    "search --board": ALWAYS,
    "search --space": ALWAYS,
    "search --engine": Sometimes(
        "search --board stm32f746 --max-arena-bytes 1 --engine tflm", (f"{NOWHERE} --engine tflm",)
    ),
    "search --stream-input": Sometimes(
        "search --board stm32f746 --engine aot --max-arena-bytes 1 --stream-input",
        (
            f"{NOWHERE} --stream-input",
            "search --stream-input",
            "search --board all --engine tflm --stream-input",
            "search --min-top1 90 --stream-input",
        ),
    ),
    "search --kernels": Sometimes(
        "search --board mps3-an547 --max-arena-bytes 1 --engine tflm --kernels reference",
        (
            f"{NOWHERE} --kernels cmsis-nn",
            f"search {AOT_KERNELS}",
            "search --board mps3-an547 --engine aot --kernels reference",
        ),
    ),
    "search --tflm": Sometimes(
        "search --board mps3-an547 --max-arena-bytes 1 --engine tflm --tflm zephyr-4.1",
        (f"{NOWHERE} --tflm zephyr-4.1", f"search {AOT_TFLM}"),
    ),
    "search --max-arena-bytes": Sometimes("search --max-arena-bytes 1", (f"{NOWHERE} --max-arena-bytes 9",)),
    "search --max-flash-bytes": Sometimes("search --max-flash-bytes 1", (f"{NOWHERE} --max-flash-bytes 9",)),
    "search --max-model-bytes": Sometimes(
        "search --max-model-bytes 1",
        (f"{NOWHERE} --max-model-bytes 9", "search --engine aot --max-model-bytes 9"),
    ),
    "search --max-latency-ms": Sometimes("search --max-latency-ms .1", (f"{NOWHERE} --max-latency-ms 9",)),
    "search --max-peak-items": ALWAYS,
    "search --min-top1": ALWAYS,
    "search --pareto": Sometimes(
        "search --max-arena-bytes 1 --pareto macs,top1_percent",
        (
            "search --board all --pareto macs,top1_percent",
            "search --min-top1 80 --pareto macs,top1_percent",
            f"{NOWHERE} --pareto arena_bytes,top1_percent",
            "search --engine aot --pareto model_bytes,top1_percent",
        ),
    ),
    "search --finetuned": Sometimes(
        "search --finetuned --max-arena-bytes 1", ("search --finetuned --predictor p.npz",)
    ),
    "search --verify": ALWAYS,
    "search --int8": Sometimes("search --verify 1 --int8 --checkpoint no.pt", ("search --int8",)),
    "search --time-limit": ALWAYS,
    "search --predictor": Sometimes("search --predictor p.npz", ("search --predictor p.npz --finetuned",)),
    "search --checkpoint": Sometimes("search --verify 1 --checkpoint no.pt", ("search --checkpoint no.pt",)),
    "search --data": Sometimes("search --verify 1 --data d --checkpoint no.pt", ("search --data d",)),
    "search --seed": ALWAYS,
    "search --out": ALWAYS,
    "search --json": ALWAYS,
    "finetune --qat": ALWAYS,
    "finetune --epochs": ALWAYS,
    "finetune --checkpoint": ALWAYS,
    "finetune --learning-rate": ALWAYS,
    "finetune --batch-size": ALWAYS,
    "finetune --seed": ALWAYS,
    "finetune --json": ALWAYS,
    "export --engine": ALWAYS,
    "export --stream-input": Sometimes(
        "export run --stream-input", ("export streamed --engine tflm --stream-input",)
    ),
    "export --checkpoint": ALWAYS,
    "export --converter": ALWAYS,
    "export --json": ALWAYS,
    "evaluate --arch": Sometimes(
        "evaluate no.safetensors --arch largest",
        ("evaluate run --arch largest", "evaluate --arch smallest"),
    ),
    "evaluate --seed": Sometimes(
        "evaluate no.safetensors --arch random --seed 0",
        ("evaluate run --seed 0", "evaluate no.safetensors --seed 0", "evaluate no.SAFETENSORS --seed 0"),
    ),
    "evaluate --data": Sometimes("evaluate no.safetensors --data d", ("evaluate run --data d",)),
    "evaluate --json": ALWAYS,
    "verify --images": ALWAYS,
    "verify --ops": ALWAYS,
    "verify --json": ALWAYS,
    "arena --target": ALWAYS,
    "arena --engine": ALWAYS,
    "arena --stream-input": Sometimes(
        "arena no.tflite --engine aot --stream-input",
        ("arena no.tflite --stream-input", "arena m.tflite --engine tflm --stream-input"),
    ),
    "arena --kernels": Sometimes(
        "arena no.tflite --target cortex-m4 --kernels reference",
        ("arena no.tflite --target cortex-m4 --engine aot --kernels reference",),
    ),
    "arena --tflm": Sometimes(
        "arena no.tflite --target cortex-m4 --tflm zephyr-4.1",
        ("arena no.tflite --target cortex-m4 --engine aot --tflm zephyr-4.1",),
    ),
    "arena --measure": Sometimes(
        "arena no.tflite --measure",
        ("arena no.tflite --target cortex-m4 --measure", "arena no.tflite --engine aot --measure"),
    ),
    "arena --svg": ALWAYS,
    "arena --json": ALWAYS,
    "arena-check --board": ALWAYS,
    "arena-check --engine": ALWAYS,
    "arena-check --stream-input": Sometimes(
        "arena-check no.tflite --board stm32f746 --engine aot --stream-input",
        (
            "arena-check m.tflite --board stm32f746 --stream-input",
            "arena-check streamed --engine tflm --stream-input",
        ),
    ),
    "arena-check --tflm": Sometimes(
        "arena-check no.tflite --board stm32f746 --tflm zephyr-4.1",
        (f"arena-check m.tflite {AOT_TFLM}",),
    ),
    "arena-check --junit": ALWAYS,
    "arena-check --json": ALWAYS,
    "firmware --board": ALWAYS,
    "firmware --engine": ALWAYS,
    "firmware --kernels": Sometimes(
        "firmware no.tflite --out o --board stm32f746 --kernels cmsis-nn",
        (f"firmware m.tflite --out o {AOT_KERNELS}",),
    ),
    "firmware --tflm": Sometimes(
        "firmware no.tflite --out o --board stm32f746 --tflm zephyr-4.1",
        (f"firmware m.tflite --out o {AOT_TFLM}",),
    ),
    "firmware --stream-input": Sometimes(
        "firmware no.tflite --out o --board stm32f746 --engine aot --stream-input",
        (
            "firmware m.tflite --out o --board stm32f746 --stream-input",
            "firmware streamed --engine tflm --stream-input",
        ),
    ),
    "firmware --out": ALWAYS,
    "firmware --build": ALWAYS,
    "firmware --emulate": ALWAYS,
    "firmware --json": ALWAYS,
    "tflm list --json": ALWAYS,
    "report --json": ALWAYS,
}
CONDITIONAL = {option: entry for option, entry in OPTIONS.items() if entry is not None}


def options(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[str]:
    for name, child in command.commands.items() if isinstance(command, click.Group) else ():
        yield from options(child, (*words, name))
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "version":
            yield " ".join((*words, max(option.opts, key=len)))


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.tflite").write_bytes(small_network())
    Path("run").mkdir()
    Path("a.json").write_text("{}")


def test_every_option_has_its_entry() -> None:
    assert set(options(cli)) == set(OPTIONS)


@pytest.mark.parametrize(
    ("option", "words"),
    [(option, words) for option, entry in CONDITIONAL.items() for words in entry.ignored],
)
def test_an_option_without_effect_is_a_usage_error(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().rglob("*"))
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert option.split()[-1] in printed.err
    assert "Traceback" not in printed.err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(("option", "entry"), CONDITIONAL.items())
def test_an_option_with_an_effect_is_taken(
    option: str, entry: Sometimes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert option.split()[-1] in entry.effective.split()
    assert main(entry.effective.split()) == 1, "what these words miss is a file or a budget, no word"
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("group", ["boards", "spaces"])
def test_json_of_a_group_is_json_of_what_is_shown(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = {"boards": "stm32f746", "spaces": "mcofa-micro"}[group]
    shown = []
    for words in ([group, "--json", "show", name], [group, "show", name, "--json"]):
        assert main(words) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0].startswith("{")
