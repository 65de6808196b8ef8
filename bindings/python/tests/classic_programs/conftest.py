"""Nothing here is a test: these are programs that tests run."""

collect_ignore_glob = ["*.py"]
