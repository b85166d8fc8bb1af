"""A language server for editors: findings while typing, their fixes, and the page of a rule. Needs pygls."""
