"""The start codes: which there are, and the numbers that each of them needs from a board."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mcofa.boards.memories import STRICT


@dataclass(frozen=True)
class Setting:
    """The values that a number may take: ``lowest`` to ``highest``, in steps of ``multiple_of``."""

    lowest: int
    highest: int
    multiple_of: int = 1

    def check(self, name: str, value: int) -> None:
        """Do nothing if ``value`` is one of them.

        Raises:
            ValueError: it is not.
        """
        if not self.lowest <= value <= self.highest:
            raise ValueError(f"settings.{name} is {value}; it must be {self.lowest} to {self.highest}")
        if value % self.multiple_of:
            raise ValueError(f"settings.{name} is {value}; it must be a multiple of {self.multiple_of}")


_BIT = Setting(0, 31)
_REGISTER = Setting(0, 0xFFFF_FFFC, multiple_of=4)

START_CODES: Mapping[str, Mapping[str, Setting]] = {
    "cmsdk": {},
    "stm32-usart": {},
    "nrf51": {"tx_pin": Setting(0, 31)},
    "nrf52": {"tx_pin": Setting(0, 63)},
    "stm32f7": {
        "hse_bypass": Setting(0, 1),
        "pll_m": Setting(2, 63),
        "pll_n": Setting(50, 432),
        "uart_clock_hz": Setting(1_843_200, 216_000_000),
        "uart_enable_address": _REGISTER,
        "uart_enable_bit": _BIT,
        "gpio_address": _REGISTER,
        "gpio_enable_bit": _BIT,
        "pin": Setting(0, 15),
        "alternate_function": Setting(0, 15),
    },
}
"""By name, the settings of ``firmware_templates/start/NAME.c.jinja``; all of them drive a UART.

Ranges: the fields of STMicroelectronics' RCC_PLLCFGR, RCC_AHB1ENR and GPIOx_AFR; a USART divides its clock by
at least 16, for 115200 baud. A pin of Nordic's second port counts from 32.
"""


@dataclass(frozen=True)
class Start:
    """Which ``firmware_templates/start/CODE.c.jinja`` sets clock and UART, and the numbers it needs."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    code: str
    settings: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the code's name and its settings.

        Raises:
            ValueError: no such code; a setting that is missing, unknown or out of range.
        """
        if self.code not in START_CODES:
            raise ValueError(f"code is {self.code!r}; it must be one of {', '.join(START_CODES)}")
        known = START_CODES[self.code]
        for name in self.settings:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise ValueError(
                    f"code {self.code} has no settings.{name}{hint}; it has {', '.join(known) or 'none'}"
                )
        for name, setting in known.items():
            if name not in self.settings:
                raise ValueError(f"missing key 'settings.{name}', which code {self.code} needs")
            setting.check(name, self.settings[name])
