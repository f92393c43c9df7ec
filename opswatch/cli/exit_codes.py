"""The exit codes of every command."""

EXIT_SUCCESS = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2  # of wrong settings, too; click's code for a wrong argument
EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT
