"""What can go wrong with the emulator itself, and the error a refused operation raises."""


class EmulatorError(RuntimeError):
    """The emulated NPU cannot be had; the message says what was found and what to do."""


class UnsupportedHost(EmulatorError):
    """This machine is not one the emulator runs on."""


class BuildError(EmulatorError):
    """The C++ backend could not be compiled."""


class RefusedOnNpu(RuntimeError):
    """An operation that runs on the host, but that Ascend hardware refuses."""
