"""The tables of rules, how they are compiled and run, and the checks that they name."""
