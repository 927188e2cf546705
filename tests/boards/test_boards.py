"""Board profiles: the shipped ones, their budgets, and what a malformed file says."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mcofa.boards import (
    ARENA_GUARD_BYTES,
    Board,
    MemoryRegion,
    Reserved,
    Use,
    board_names,
    core_named,
    core_names,
    load_board,
)
from mcofa.engines.tflm import target
from mcofa.errors import FileFormatError, MissingFileError, UnknownNameError

INVALID_FILES = sorted((Path(__file__).parents[1] / "data" / "boards").glob("invalid_*.yaml"))

# What the message must name: the key, its value and, where there is one, the limit.
INVALID: dict[str, tuple[str, ...]] = {
    "address_not_a_number": ("memories.1.address", "'0x20000000'", "integer"),
    "address_too_large": ("memories.1", "address 0xfffff000", "32-bit"),
    "alias": ("line 21", "*a", "write the value out"),
    "arena_in_flash": ("memories.0", "good_for", "'arena'", "ram"),
    "boot_word_too_large": ("boot_words", "4294967296", "0xffffffff"),
    "bytes_absurd": ("memories.1", "99,999,999,999,999", "32-bit"),
    "clock_absurd": ("clock_hz is 64000000000", "at most 2000000000"),
    "clock_not_whole": ("clock_hz", "64.5", "integer"),
    "clock_zero": ("clock_hz", "is 0", "at least 1"),
    "code_misaligned": ("memories", "0x4040", "vector table", "cortex-m4", "multiple of 128"),
    "empty": ("empty", "'name'"),
    "emulate_machine": ("emulate", "machine", "dumpdtb=escaped"),
    "emulate_option": ("emulate", "'-drive'"),
    "emulate_serial_to_a_file": ("emulate", "'file:escaped'", "-serial"),
    "emulate_value_missing": ("emulate", "''", "-serial"),
    "flag_dumps": ("toolchain", "compiler_flags holds", "'-fdump-tree-all=/tmp/escaped'"),
    "flag_other_tools": ("toolchain", "compiler_flags holds", "'-B/tmp'"),
    "flag_plugin": ("toolchain", "compiler_flags holds", "'-fplugin=./escaped.so'"),
    "flag_reads_flags_of_a_file": ("toolchain", "compiler_flags holds", "'@flags'"),
    "flag_redefines_a_word": ("toolchain", "compiler_flags holds", "'-Dmain=escaped'"),
    "flag_specs": ("toolchain", "compiler_flags holds", "'-specs=./escaped.specs'"),
    "flag_twice": ("toolchain", "compiler_flags holds", "-mcpu 2 times"),
    "flag_with_a_command": ("toolchain", "compiler_flags holds", "'-DNAME=$(touch escaped)'"),
    "flag_with_a_space": ("toolchain", "compiler_flags holds", "'-mthumb -o escaped'"),
    "flag_wrapper": ("toolchain", "compiler_flags holds", "'-wrapper'"),
    "flag_writes_a_file": ("toolchain", "compiler_flags holds", "'-o'"),
    "flags_for_another_core": ("toolchain.compiler_flags", "-mcpu=cortex-m4"),
    "flags_without_fpu": ("toolchain.compiler_flags", "-mfpu=fpv4-sp-d16"),
    "flash_absolute_path": ("flash", "'/etc/passwd'", "st-flash"),
    "flash_command_of_openocd": ("flash", "exec touch escaped", "openocd"),
    "flash_install_has_a_newline": ("flash", "install", "'\\n'"),
    "flash_other_program": ("flash", "command starts with 'rm'", "openocd"),
    "flash_path_of_a_program": ("flash", "command starts with './openocd'"),
    "flash_script": ("flash", "'../escaped.cfg'", "openocd"),
    "flash_word_with_a_newline": ("flash", "touch escaped", "st-flash"),
    "fpu_of_another_core": ("fpu is 'fpv5-d16'", "cortex-m4", "fpv4-sp-d16"),
    "key_is_a_list": ("line 22", "a key is text"),
    "laughs": ("line 2", "*a"),
    "list_at_top": ("list", "mapping"),
    "lone_surrogate": ("line 2", "surrogate"),
    "memories_not_a_list": ("memories", "65536", "array"),
    "memory_name_is_a_path": ("memories.1", "name is '../ram'"),
    "memory_name_is_empty": ("memories.1", "name is ''"),
    "missing_arena": ("memories", "0 regions", "'arena'", "exactly 1"),
    "missing_key": ("missing key 'clock_hz'",),
    "missing_memory": ("memories", "0 regions", "'arena'"),
    "name_escapes": ("name is '../../../escaped'", "1 to 64 letters"),
    "name_has_300_characters": ("name is 'aaaa", "1 to 64 letters"),
    "name_has_a_newline": ("name is 'sample\\n'",),
    "name_has_a_nul": ("name is 'sam\\x00ple'",),
    "name_is_a_command": ("name is '$(touch escaped)'",),
    "name_is_empty": ("name is ''", "1 to 64 letters"),
    "name_is_two_points": ("name is '..'", "first a letter or digit"),
    "name_turns_the_text": ("name is 'sam\\u202eple'",),
    "negative_bytes": ("memories.1", "bytes is -65536", "at least 1"),
    "negative_reserved": ("reserved", "stack_bytes is -1", "at least 0"),
    "nested_deeply": ("nested too deeply",),
    "no_elf": ("flash", "command", "{elf}"),
    "no_source": ("sources", "at least one"),
    "no_way_to_run": ("flash", "emulate"),
    "not_a_number": ("line 5", ".nan", "finite"),
    "not_utf8": ("not YAML", "#x00f6"),
    "not_yaml": ("not YAML", "line 8"),
    "notes_have_a_nul": ("notes", "'\\x00'"),
    "number_beyond_64_bits": ("line 5", "64 bits"),
    "number_of_5000_digits": ("line 5", "64 bits"),
    "overlap": ("memories", "'flash'", "'ram'", "overlap by 4,096 B"),
    "reserved_too_large": ("reserved", "72,048 B", "'ram'", "65,536 B"),
    "same_name": ("memories", "2 regions named 'ram'"),
    "start_nrf51_pin_too_large": ("start", "settings.tx_pin is 32", "0 to 31"),
    "start_pin_too_large": ("start", "settings.tx_pin is 64", "0 to 63"),
    "start_setting_missing": ("start", "missing key 'settings.tx_pin'", "nrf52"),
    "start_setting_not_whole": ("start.settings.tx_pin", "'six'", "integer"),
    "start_setting_unknown": ("start", "settings.rx_pinn", "did you mean 'tx_pin'"),
    "start_stm32f7_address_misaligned": ("start", "settings.gpio_address", "multiple of 4"),
    "start_stm32f7_pin_too_large": ("start", "settings.pin is 16", "0 to 15"),
    "start_stm32f7_without_alternate_function": ("missing key 'settings.alternate_function'", "stm32f7"),
    "start_unknown": ("start", "'nrf99'", "nrf52"),
    "start_without_uart": ("start.code cmsdk", "uart.address"),
    "tag": ("line 2", "tag", "binary"),
    "title_has_a_newline": ("title", "'\\n'", "printable"),
    "title_has_an_escape": ("title", "'\\x1b'", "printable"),
    "title_too_long": ("title", "249", "200"),
    "title_turns_the_text": ("title", "'\\u202e'", "printable"),
    "two_arenas": ("memories", "2 regions", "'arena'", "ram, ram2"),
    "uart_address_misaligned": ("uart", "0x40002001", "multiple of 4"),
    "uart_text_has_a_newline": ("uart", "tx_pin", "'\\n'"),
    "unknown_core": ("core", "'cortex-m99'", "cortex-m55"),
    "unknown_key": ("unknown key 'clock_hertz'", "did you mean 'clock_hz'", "toolchain"),
    "unknown_memory_key": ("unknown key 'memories.1.adress'", "did you mean 'address'", "good_for"),
    "unknown_use": ("memories.0.good_for.1", "'modell'", "'model'"),
    "verified_not_bool": ("verified", "0", "boolean"),
}

# Arithmetic by hand from the addresses and sizes in the cited documents: arena, model, flash; then
# where a linker script must put arena, flash and stack.
BUDGETS = {
    # arena: 256 KiB of SRAM1 and SRAM2 - 32 of guards, stack and data are in the DTCM;
    # flash: 1 MiB
    "stm32f746": (262_112, 1_048_576),
    # arena: 256 KiB - 4,096 - 2,048; flash: 1 MiB
    "nrf52840": (256_000, 1_048_576),
    # the same RAM; flash: 928 KiB behind the bootloader
    "nano33ble": (256_000, 950_272),
    # arena: 512 KiB - 4,096 - 2,048; flash: as nrf52840
    "nrf5340": (518_144, 1_048_576),
    # arena: 256 KiB - 32, stack and data are in the scratch banks; flash: 2 MiB - 256
    "rp2040": (262_112, 2_096_896),
    # arena: 512 KiB - 32; flash: 4 MiB
    "rp2350": (524_256, 4_194_304),
    # arena: 20 KiB - 2,048 - 1,024; flash: 128 KiB
    "stm32f103": (17_408, 131_072),
    # arena: 96 KiB - 4,096 - 2,048; flash: 512 KiB
    "stm32f401": (92_160, 524_288),
    # arena: 128 KiB - 4,096 - 2,048
    "stm32f411": (124_928, 524_288),
    # arena: 128 KiB - 32, stack and data are in the core-coupled memory; flash: 1 MiB
    "stm32f407": (131_040, 1_048_576),
    # arena: 96 KiB of SRAM1 - 32, stack and data are in SRAM2
    "stm32l476": (98_272, 1_048_576),
    # arena: 384 KiB - 32; flash: 2 MiB
    "stm32f767": (393_184, 2_097_152),
    # arena: 512 KiB of AXI SRAM - 32
    "stm32h743": (524_256, 2_097_152),
    # arena: as stm32h743; flash: 768 KiB between bootloader and the Cortex-M4's half
    "portenta_h7": (524_256, 786_432),
    # arena: 768 KiB - 4,096 - 2,048
    "stm32u575": (780_288, 2_097_152),
    # arena: 512 KiB of OCRAM - 32; flash: 7,936 KiB - 5,120 of boot header
    "teensy41": (524_256, 8_121_344),
    # arena: 192 KiB - 4,096 - 2,048; flash: 496 KiB behind the bootloader
    "samd51": (190_464, 507_904),
    # arena: 16 KiB - 2,048 - 1,024; flash: 256 KiB
    "microbit": (13_312, 262_144),
    # arena: 8 KiB - 2,048 - 1,024; flash: 128 KiB
    "stm32vldiscovery": (5_120, 131_072),
    # arena: 128 KiB - 4,096 - 2,048; flash: 1 MiB
    "netduinoplus2": (124_928, 1_048_576),
    # arena: 16 MiB of PSRAM - 32; flash: 4 MiB
    "mps2-an385": (16_777_184, 4_194_304),
    # flash: 4 MiB
    "mps2-an386": (16_777_184, 4_194_304),
    # arena: 4 MiB - 4,096 - 2,048; flash: 4 MiB
    "mps2-an500": (4_188_160, 4_194_304),
    "mps2-an505": (16_777_184, 4_194_304),
    # arena: 2 MiB - 32; flash: 512 KiB of ITCM
    "mps3-an547": (2_097_120, 524_288),
}

ADDRESSES = {
    "stm32f746": (0x20010000, 0x08000000, 0x20000000),
    "nrf52840": (0x20000000, 0x00000000, 0x20000000),
    "nano33ble": (0x20000000, 0x00010000, 0x20000000),
    "nrf5340": (0x20000000, 0x00000000, 0x20000000),
    "rp2040": (0x20000000, 0x10000100, 0x20040000),
    "rp2350": (0x20000000, 0x10000000, 0x20080000),
    "stm32f103": (0x20000000, 0x08000000, 0x20000000),
    "stm32f401": (0x20000000, 0x08000000, 0x20000000),
    "stm32f411": (0x20000000, 0x08000000, 0x20000000),
    "stm32f407": (0x20000000, 0x08000000, 0x10000000),
    "stm32l476": (0x20000000, 0x08000000, 0x10000000),
    "stm32f767": (0x20020000, 0x08000000, 0x20000000),
    "stm32h743": (0x24000000, 0x08000000, 0x20000000),
    "portenta_h7": (0x24000000, 0x08040000, 0x20000000),
    "stm32u575": (0x20000000, 0x08000000, 0x20000000),
    "teensy41": (0x20200000, 0x60001400, 0x20000000),
    "samd51": (0x20000000, 0x00004000, 0x20000000),
    "microbit": (0x20000000, 0x00000000, 0x20000000),
    "stm32vldiscovery": (0x20000000, 0x08000000, 0x20000000),
    "netduinoplus2": (0x20000000, 0x08000000, 0x20000000),
    "mps2-an385": (0x21000000, 0x00000000, 0x20000000),
    "mps2-an386": (0x21000000, 0x00000000, 0x20000000),
    "mps2-an500": (0x20000000, 0x00000000, 0x20000000),
    "mps2-an505": (0x80000000, 0x10000000, 0x38000000),
    "mps3-an547": (0x01000000, 0x00000000, 0x20000000),
}


def test_board_names_are_the_shipped_profiles() -> None:
    assert board_names() == sorted(BUDGETS)


def test_every_core_is_there() -> None:
    boards = [load_board(name) for name in board_names()]
    assert len(boards) >= 24
    assert {board.core for board in boards} == {name for name in core_names() if core_named(name).start_up}
    emulated = {board.name for board in boards if board.emulate}
    assert {
        "netduinoplus2",
        "stm32vldiscovery",
        "microbit",
        "mps2-an386",
        "mps2-an500",
        "mps3-an547",
    } <= emulated


@pytest.mark.parametrize("name", board_names())
class TestShippedBoard:
    """Every profile in ``boards/``."""

    def test_budgets(self, name: str) -> None:
        board = load_board(name)
        assert (board.arena_budget_bytes, board.flash_budget_bytes) == BUDGETS[name]

    def test_addresses(self, name: str) -> None:
        board = load_board(name)
        regions = (board.arena_region, board.flash_region, board.stack_region)
        assert tuple(region.address for region in regions) == ADDRESSES[name]

    def test_says_who_it_is_and_where_numbers_come_from(self, name: str) -> None:
        board = load_board(name)
        assert board.name == name
        assert board.kernels == "cmsis-nn"
        assert board.notes.strip()
        assert board.verified or "not checked" in board.notes.lower()
        for source in board.sources:
            assert source.document
            assert source.location
            assert source.commit is None or len(source.commit) == 40

    def test_the_accounting_knows_the_core(self, name: str) -> None:
        board = load_board(name)
        known = target(board.core, board.kernels)
        assert str(known.extension) == board.extension

    def test_text_has_a_way_out(self, name: str) -> None:
        board = load_board(name)
        assert board.uart is not None
        assert board.start is None or board.uart.address is not None

    def test_covers_measured_stack_and_ram(self, name: str) -> None:
        # Measured in QEMU: stack at most 1,448 B while invoking, 624 B of static RAM with 7 ops
        reserved = load_board(name).reserved
        assert reserved.stack_bytes > 1448
        assert reserved.runtime_ram_bytes > 624


def test_flash_command_holds_the_path_in_the_format_of_the_tool() -> None:
    program = Path("build dir/firmware")
    openocd, bossac = load_board("stm32f746").flash, load_board("nano33ble").flash
    assert openocd is not None
    assert bossac is not None
    assert openocd.command_for(program)[-1] == 'program "build dir/firmware.elf" verify reset exit'
    assert bossac.command_for(program)[-1] == "build dir/firmware.bin"
    assert (openocd.program_format, bossac.program_format) == ("elf", "bin")


def test_emulation_command_runs_the_program() -> None:
    board = load_board("mps2-an500")
    command = board.emulator_command(Path("firmware.elf"))
    assert command[:3] == ["qemu-system-arm", "-machine", "mps2-an500"]
    assert command[-2:] == ["-kernel", "firmware.elf"]


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown board 'stm32f74' \(did you mean stm32f746\?\)"
    ) as raised:
        load_board("stm32f74")
    assert "mcofa boards" in raised.value.next_step


def test_missing_file() -> None:
    with pytest.raises(MissingFileError, match=r"board file not found: nosuch\.yaml"):
        load_board("nosuch.yaml")


def test_folder_is_not_a_board(tmp_path: Path) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_board(str(folder))


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(FileFormatError, match="not YAML"):
        load_board(str(path))


def test_loads_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**load_board("nrf52840").to_json(), "name": "mine"}), encoding="utf-8")
    assert load_board(str(path)) == dataclasses.replace(load_board("nrf52840"), name="mine")


def test_only_shipped_boards_are_kept(tmp_path: Path) -> None:
    shipped = load_board("stm32f746")
    assert load_board("stm32f746") is shipped
    own = tmp_path / "stm32f746.yaml"
    for clock_hz in (216_000_000, 100_000_000):
        document = {**shipped.to_json(), "clock_hz": clock_hz}
        own.write_text(json.dumps(document))
        assert load_board(str(own)).clock_hz == clock_hz
    assert load_board("stm32f746") is shipped


def test_every_invalid_file_has_an_expectation() -> None:
    assert [path.stem.removeprefix("invalid_") for path in INVALID_FILES] == sorted(INVALID)


@pytest.mark.parametrize("path", INVALID_FILES, ids=lambda path: path.stem)
def test_invalid_file_names_file_and_key(path: Path) -> None:
    with pytest.raises(FileFormatError) as raised:
        load_board(str(path))
    assert raised.value.problem.startswith(f"{path}: ")
    assert "\n" not in raised.value.problem
    for fragment in INVALID[path.stem.removeprefix("invalid_")]:
        assert fragment in raised.value.problem
    assert "boards/README.md" in raised.value.next_step


@given(
    arena_bytes=st.integers(32, 96),
    data_address=st.integers(0, 128),
    data_bytes=st.integers(1, 64),
)
def test_overlap_is_found_as_by_comparing_every_byte(
    arena_bytes: int, data_address: int, data_bytes: int
) -> None:
    arena = MemoryRegion("arena", "ram", 32, arena_bytes, ("arena",))
    data = MemoryRegion("data", "ram", data_address, data_bytes, ("data", "stack"))
    shared = set(range(32, 32 + arena_bytes)) & set(range(data_address, data_address + data_bytes))
    if shared:
        with pytest.raises(ValueError, match=f"overlap by {len(shared)} B"):
            _with_ram(arena, data)
    else:
        assert _with_ram(arena, data).arena_budget_bytes == (arena_bytes - ARENA_GUARD_BYTES) // 16 * 16


@given(
    ram_bytes=st.integers(0, 4096), stack_bytes=st.integers(0, 2048), runtime_ram_bytes=st.integers(0, 2048)
)
def test_arena_budget_shares_one_memory(ram_bytes: int, stack_bytes: int, runtime_ram_bytes: int) -> None:
    region = MemoryRegion("ram", "ram", 0, ram_bytes + 4096, ("arena", "data", "stack"))
    board = _with_ram(region, reserved=Reserved(stack_bytes, runtime_ram_bytes, 0))
    left_over = region.bytes - stack_bytes - runtime_ram_bytes - board.arena_budget_bytes
    assert 0 <= left_over < 16
    assert board.arena_budget_bytes % 16 == 0


def test_import_needs_neither_pydantic_nor_yaml() -> None:
    program = "import sys, mcofa.boards; print([m for m in ('pydantic', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _with_ram(*ram: MemoryRegion, reserved: Reserved | None = None) -> Board:
    flash = MemoryRegion("flash", "flash", 0x10000, 1024, ("code", "model"))
    return dataclasses.replace(
        load_board("nrf52840"), memories=(flash, *ram), reserved=reserved or Reserved(0, 0, 0)
    )


def test_a_board_goes_through_json_unchanged() -> None:
    for name in board_names():
        board = load_board(name)
        assert Board.from_json(json.loads(json.dumps(board.to_json())), "here") == board


def test_json_that_is_no_board_says_where_it_was_found() -> None:
    document = {**load_board("nrf52840").to_json(), "clock_hz": "fast"}
    with pytest.raises(FileFormatError, match=r"^manifest\.json, board: clock_hz is 'fast'"):
        Board.from_json(document, "manifest.json, board")


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML", ""])
def test_a_path_is_a_board_whatever_it_ends_in(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_text(yaml.safe_dump(load_board("nrf52840").to_json()), encoding="utf-8")
    assert load_board(str(path)) == load_board("nrf52840")


@pytest.mark.parametrize("path", ["no/such/board", "./nosuch", "nosuch.yml", "nosuch.YAML"])
def test_a_path_that_leads_nowhere_is_no_unknown_name(path: str) -> None:
    with pytest.raises(MissingFileError, match="board file not found"):
        load_board(path)


def test_a_date_is_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({**load_board("nrf52840").to_json(), "title": "DAY"}).replace("DAY", "2026-01-01")
    )
    assert load_board(str(path)).title == "2026-01-01"


@pytest.mark.parametrize("offset", range(16))
@pytest.mark.parametrize("uses", [("arena",), ("arena", "data", "stack")])
def test_the_arena_starts_at_the_first_multiple_of_16(offset: int, uses: tuple[Use, ...]) -> None:
    ram = MemoryRegion("ram", "ram", 0x20000000 + offset, 4096 - offset, uses)
    rest = () if "data" in uses else (MemoryRegion("other", "ram", 0x10000000, 1024, ("data", "stack")),)
    board = _with_ram(ram, *rest, reserved=Reserved(64, 96, 0))
    taken_bytes = 64 + 96 if "data" in uses else ARENA_GUARD_BYTES
    first = 0x20000000 + offset
    while first % 16:
        first += 1
    assert board.arena_budget_bytes == (ram.end - first - taken_bytes) // 16 * 16
