"""Audiences as SQL over the event export: fields, statements, previews."""
