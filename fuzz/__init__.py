"""A million damaged inputs: each target takes any bytes, and raises if the package does with them what it must not.

``python -m fuzz`` makes inputs from what is right (`make`), damages them, and runs them in processes of its own, each with a
limit of time and of memory (`run`). ``python -m fuzz.guided TARGET`` lets atheris look for inputs that reach new code. What they
find goes to ``tests/fuzz/corpus``, which every run of the tests goes through.
"""
