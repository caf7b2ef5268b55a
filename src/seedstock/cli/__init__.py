"""The command line. Every command is imported only when it runs."""
