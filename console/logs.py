"""What the packages log: a line on stderr; a fault's traceback goes masked into a crash file, never to the terminal."""

from __future__ import annotations

import logging

from console.faults import crash_file
from console.terminal import complain
from console.words import say
from inventory.errors import Text
from inventory.secret import MASKER


class Told(logging.Handler):
    """Tells a person in one line what was logged."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; with a traceback, name the file that holds it."""
        message = record.getMessage()
        if record.exc_info is None:
            complain(message)
            return
        details = MASKER.text(logging.Formatter().format(record))
        try:
            place = str(crash_file(details))
        except OSError as trouble:
            place = str(trouble)
        complain(say(Text("{message}; details: {place}", message=message, place=place)))


def listen(verbosity: int) -> None:
    """Send everything that is logged from now on to the user: warnings, with -vv also what is less."""
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.WARNING}
    logging.basicConfig(handlers=[Told()], level=levels.get(verbosity, logging.INFO), force=True)
