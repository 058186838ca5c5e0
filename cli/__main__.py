"""`python -m cli`: the `hasp` command."""

from cli.app import app

app(prog_name="hasp")
