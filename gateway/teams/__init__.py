"""Teams: who calls (keys), and, with the budgets, what they may spend."""
