"""The commands: one a file, each with ``run(options) -> exit code``; imported when it runs."""
