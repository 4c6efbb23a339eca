"""The command line: arguments, 2023's flag names, configuration files, checks before the run, launching."""
