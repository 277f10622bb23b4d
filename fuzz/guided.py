"""``python -m fuzz.guided TARGET [libFuzzer's options, such as -runs=100000]``: inputs that reach new code, found by atheris.

Needs the optional dependency: ``pip install 'sf-bsread-writer[fuzz]'``. Half of the new inputs are made as in `make`, the other
half are libFuzzer's own changes to inputs that were worth keeping. What it finds lies where ``-artifact_prefix`` says;
``python -m fuzz.guided TARGET FILE`` runs one again, and it belongs into ``tests/fuzz/corpus``.
"""

import sys
from random import Random
from typing import Any

MOST_BYTES = 1 << 16


def main(arguments: list[str]) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - there are no builds of it for some systems

    with atheris.instrument_imports(include=["sf_bsread_writer"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 - imported to be instrumented

    name = arguments[1] if len(arguments) > 1 else ""
    if name not in TARGETS:
        raise SystemExit(f"there is no target {name!r}; known: {', '.join(TARGETS)}")
    target = TARGETS[name]

    def TestOneInput(data: bytes) -> None:  # noqa: N802 - what such a function is called everywhere
        target.run(data)

    def other_input(data: bytes, most_bytes: int, seed: int) -> bytes:
        if seed & 1:
            return target.make(Random(seed))[:most_bytes]
        mutated: bytes = atheris.Mutate(data, most_bytes)
        return mutated

    options: dict[str, Any] = {"custom_mutator": other_input}
    given = [arguments[0], f"-max_len={MOST_BYTES}", "-timeout=10", "-rss_limit_mb=2048", *arguments[2:]]
    atheris.Setup(given, TestOneInput, **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
