"""Rules of billing: prices, cycles, budgets. Plain Python."""
