"""Bytes that nobody thought of, against each surface that strangers reach.

``python -m tests.fuzz TARGET [libFuzzer's flags]`` (``-max_total_time=60``); ``python -m tests.fuzz --help`` lists the
targets. With atheris (``pip install -e '.[dev,fuzz]'``) libFuzzer looks where new code is reached; without it a plain
loop mutates the same seeds. Either ends with exit code 0 where nothing broke, and leaves what broke in ``crash-*``.
"""
