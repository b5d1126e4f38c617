"""Who may ask for what: login, roles, limits, and the audit of it."""
