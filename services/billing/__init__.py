"""Credits: plans, accounts, the ledger, reservations, usage and budgets."""
